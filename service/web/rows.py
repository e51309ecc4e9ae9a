"""Rows of long tables, each made once for as long as it is the same."""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from service.web.templating import environment

MOST = 20_000


class Rows:
    """The rows that a template makes, each of one item of a list of the API. A template of rows knows nothing but its
    item, and no clock: so the same item is the same row."""

    def __init__(self, template: str, name: str, *, most: int = MOST) -> None:
        self._template = template
        self._name = name
        self._most = most
        self._kept: OrderedDict[str, Markup] = OrderedDict()
        self._kept_lines: OrderedDict[bytes, str] = OrderedDict()

    def of(self, items: Sequence[Mapping[str, Any]]) -> list[Markup]:
        """One row for each item."""
        template, kept = environment().get_template(self._template), self._kept
        rows = []
        for item in items:
            key = repr(item)
            row = kept.get(key)
            if row is None:
                row = kept[key] = Markup(template.render({self._name: item}))  # noqa: S704 (made by the template)
            rows.append(row)
        self._bound()
        return rows

    def of_lines(self, lines: Sequence[bytes]) -> Markup:
        """The rows of items that are JSON still, each on a line of its own: a row that is known needs no reading."""
        template, kept = environment().get_template(self._template), self._kept_lines
        rows = [kept.get(line) for line in lines]
        for number, row in enumerate(rows):
            if row is None:
                line = lines[number]
                rows[number] = kept[line] = template.render({self._name: json.loads(line)})
        self._bound()
        return Markup("\n".join(rows))  # type: ignore[arg-type]  # noqa: S704 (made by the template)

    def _bound(self) -> None:
        for kept in (self._kept, self._kept_lines):
            while len(kept) > self._most:
                kept.popitem(last=False)
