"""What the internet sees of sites, for the loop: a few sites at a time."""

import asyncio
from collections.abc import Sequence

from service.internet.preflight import HTTP_PORT, Checks
from service.internet.resolver import NameServer, Resolver
from service.internet.serving import HTTPS_PORT, answer_of, read_certificate
from service.model.sites.seen import Answer, CertificateServed, Preflight
from service.model.sites.wanted import SiteWanted

AT_ONCE = 8
MOST_ADDRESSES = 8


class Sight:
    """Looks from this machine. The ports are 80 and 443 but for tests."""

    def __init__(
        self, servers: Sequence[NameServer], *, http_port: int = HTTP_PORT, https_port: int = HTTPS_PORT
    ) -> None:
        self._resolver = Resolver(servers)
        self._checks = Checks(self._resolver, http_port=http_port)
        self._http_port = http_port
        self._https_port = https_port
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def preflight(self, site: SiteWanted, at: int) -> Preflight:
        """The checks before the first order, run at `at` (epoch seconds)."""
        async with self._turn:
            return await self._checks.run(site, at)

    async def answers(self, site: SiteWanted) -> tuple[Answer, ...]:
        """How the site answers at each address to which its name resolves now; at those of the host while no name
        server says any."""
        async with self._turn:
            found = await self._resolver.addresses(site.name, 4)
            if found.is_known and not found.records:
                return (Answer("", error=found.why or f"{site.name} has no A record"),)
            port = self._https_port if site.is_https else self._http_port
            addresses = found.records or site.addresses
            asked = [answer_of(one, site.name, port=port, is_https=site.is_https) for one in addresses[:MOST_ADDRESSES]]
            return tuple(await asyncio.gather(*asked))

    def certificate(self, der: bytes) -> CertificateServed | None:
        """What a certificate says that somebody else was shown; None where it cannot be read."""
        return read_certificate(der)
