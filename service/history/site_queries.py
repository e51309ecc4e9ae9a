"""Reads about published sites."""

from sqlalchemy import select

from service.history.database import Database
from service.history.reading import columns_of, of_host, ordered
from service.history.tables import sites
from service.model.listings import SiteListing
from service.model.runs import Page
from service.model.sites.records import SiteRecord


class SiteQueries:
    """The part of `Queries` that is about sites."""

    _database: Database

    def sites(self, asked: SiteListing) -> Page[SiteRecord]:
        """Sites by host and name."""
        query = select(*columns_of(sites, SiteRecord)).where(of_host(sites.c.host, asked.host, asked.visible))
        for column, value in ((sites.c.state, asked.state), (sites.c.weight, asked.weight)):
            query = query.where(column == value) if value else query
        if asked.name:
            query = query.where(sites.c.names.contains(f" {asked.name} ", autoescape=True))
        query = ordered(query, sites, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            rows = list(connection.execute(query).mappings())
        last = rows[asked.limit - 1] if len(rows) > asked.limit else None
        return Page(
            tuple(SiteRecord(**row) for row in rows[: asked.limit]),
            (last["host"], last["site"]) if last is not None else None,
        )
