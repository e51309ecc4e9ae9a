"""Writes about published sites: the state of each, where anything of it changed.

Events: those that follow from two looks (`service/model/events/sites.py`), `site.gone` for one that left Git.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from service.history.reading import columns_of
from service.history.store.writing import Writing, clean, tell
from service.history.tables import sites
from service.history.words import insert_or_replace_columns
from service.model.events import SiteGone
from service.model.sites.news import news_of
from service.model.sites.records import SiteRecord

CHANGING = ("names", "state", "weight", "message", "fix", "seen", "since")
_SITES = select(*columns_of(sites, SiteRecord)).where(sites.c.host == bindparam("of_host"))
_CHANGED = insert_or_replace_columns(sites, ["host", "site"], CHANGING)
"""Made once: this is read in each round of each host with sites."""


class SiteWrites(Writing):
    """The transitions of sites: one transaction for all of a host's."""

    def seen_sites(self, host: str, seen: Sequence[SiteRecord], *, at: datetime) -> int:
        """All sites of a host as they are at `at`; those that are not among them left Git. How many changed. Nothing is
        written where nothing did."""
        seen = [replace(one, message=clean(one.message), fix=clean(one.fix)) for one in seen]
        with self._database.read() as connection:
            if not any(_changed(_before(connection, host), seen)):
                return 0
        with self._database.write() as connection:
            before = _before(connection, host)
            changed, gone = _changed(before, seen)
            for one in changed:
                for event in news_of(before.get(one.site), one):
                    tell(connection, event, at=at)
            if changed:
                connection.execute(_CHANGED, [_row(one, before.get(one.site), at) for one in changed])
            for name in gone:
                connection.execute(delete(sites).where(sites.c.host == host, sites.c.site == name))
                tell(connection, SiteGone(host=host, site=name), at=at)
        return len(changed) + len(gone)


def _before(connection: Connection, host: str) -> dict[str, SiteRecord]:
    found = connection.execute(_SITES, {"of_host": host}).mappings()
    return {row["site"]: SiteRecord(**row) for row in found}


def _changed(before: dict[str, SiteRecord], seen: Sequence[SiteRecord]) -> tuple[list[SiteRecord], list[str]]:
    """(new or changed, gone)"""
    names = {one.site for one in seen}
    changed = [one for one in seen if one.site not in before or not one.is_as(before[one.site])]
    return changed, [name for name in before if name not in names]


def _row(one: SiteRecord, before: SiteRecord | None, at: datetime) -> dict[str, Any]:
    is_same_state = before is not None and before.state == one.state
    names = one.seen.get("names")
    return {
        "host": one.host, "site": one.site, "state": one.state, "weight": one.weight, "message": one.message,
        "fix": one.fix, "seen": dict(one.seen),
        "names": f" {' '.join(str(name) for name in names)} " if isinstance(names, list) else f" {one.site} ",
        "since": before.since if before is not None and is_same_state else at,
    }  # fmt: skip
