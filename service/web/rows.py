"""Rows of long tables, each made once for as long as it is the same."""

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
        while len(kept) > self._most:
            kept.popitem(last=False)
        return rows
