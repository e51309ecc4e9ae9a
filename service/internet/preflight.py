"""The checks before the first order of a certificate: what the CA would see, seen from here. No order is wasted.

They run on the controller, which is outside of the host. Renewals need none of them.
"""

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Any

from service.internet.asking import ask
from service.internet.resolver import Found, Resolver
from service.model.sites.caa import forbidden
from service.model.sites.seen import Check, Preflight
from service.model.sites.wanted import IDENTITY_PATH, Authority, SiteWanted
from service.model.trees import shown

HTTP_PORT = 80
MOST_DIRECTORY = 64 * 1024


class Checks:
    """`http_port` is 80 but for tests."""

    def __init__(self, resolver: Resolver, *, http_port: int = HTTP_PORT) -> None:
        self._resolver = resolver
        self._http_port = http_port

    async def run(self, site: SiteWanted, at: int) -> Preflight:
        """Every check of every name, side by side. A challenge over DNS needs no port 80."""
        authority = await self._authority(site.authority)
        over_http = authority.challenge == "http-01"
        for_names = [self._of_name(site, name, authority, over_http=over_http) for name in site.names]
        found = await asyncio.gather(*for_names)
        return Preflight(at, tuple(check for checks in found for check in checks))

    async def _of_name(self, site: SiteWanted, name: str, authority: Authority, *, over_http: bool) -> list[Check]:
        caa = self._caa(name, authority)
        if not over_http:
            return [await caa]
        four, six, caa_check = await asyncio.gather(
            self._resolver.addresses(name, 4), self._resolver.addresses(name, 6), caa
        )
        resolves, ipv6 = await asyncio.gather(self._resolves(site, name, four), self._ipv6(site, name, six))
        checks = [resolves, ipv6, caa_check]
        if not resolves.why:
            checks.append(await self._port_80(site, name, four.records))
        return checks

    async def _resolves(self, site: SiteWanted, name: str, found: Found) -> Check:
        """Another address may lead here, too, as where a router before the host has the public one: the proxy says."""
        wanted = [one for one in site.addresses if ":" not in one]
        if found.why or not found.records:
            return _unresolved(found, name, wanted)
        elsewhere = await self._elsewhere(site, name, found, wanted)
        other = ", ".join(elsewhere[:5])
        if not other:
            return Check("resolves")
        expected = f"{', '.join(wanted) or 'an address'} of {site.host}"
        if len(elsewhere) < len(found.records):
            what = f"{name} resolves to {other} besides {expected}, and the CA may connect there."
            return Check("resolves", f"{what} Fix: remove the other A records.")
        return Check("resolves", f"{name} resolves to {other}, not to {expected}. {_fix_address(name, wanted)}")

    async def _ipv6(self, site: SiteWanted, name: str, found: Found) -> Check:
        """Let's Encrypt tries IPv6 first, where there is an AAAA record."""
        wanted = [one for one in site.addresses if ":" in one]
        if found.why and not found.is_known:
            return Check("ipv6", f"{found.why}. The check is repeated.", is_known=False)
        other = await self._elsewhere(site, name, found, wanted)
        if not other:
            return Check("ipv6")
        what = f"{name} has the AAAA record {', '.join(other[:3])}, and the CA tries IPv6 first."
        if wanted:
            return Check("ipv6", f"{what} Fix: set its AAAA record to {wanted[0]}.")
        return Check("ipv6", f"{what} This host publishes the site over IPv4 only. Fix: remove the AAAA record.")

    async def _elsewhere(self, site: SiteWanted, name: str, found: Found, wanted: Sequence[str]) -> list[str]:
        """The addresses that are not the host's, and at which the proxy does not answer either."""
        other = [one for one in found.records if one not in wanted]
        said = await asyncio.gather(*(self._why_not(site, name, one) for one in other))
        return [one for one, why in zip(other, said, strict=True) if why]

    async def _caa(self, name: str, authority: Authority) -> Check:
        found_at, found = await self._resolver.caa(name)
        if found.why:
            retry = (
                "A CA issues nothing while CAA cannot be looked up. Fix: check the zone, its DNSSEC above all."
                if found.is_known
                else "The check is repeated."
            )
            return Check("caa", f"{found.why}. {retry}", found.is_known)
        return Check("caa", forbidden(found.records, authority, name=name, found_at=found_at))

    async def _port_80(self, site: SiteWanted, name: str, addresses: Sequence[str]) -> Check:
        said = await asyncio.gather(*(self._why_not(site, name, one) for one in addresses))
        return Check("port-80", next((why for why in said if why), ""))

    async def _why_not(self, site: SiteWanted, name: str, address: str) -> str:
        """Why this address does not lead to the proxy, with the fix; empty where it does."""
        said = await ask(address, self._http_port, name, IDENTITY_PATH)
        if said.error:
            fix = f"allow TCP port 80 to {address} in every firewall between the internet and {site.host}."
            return f"port 80 of {address} cannot be reached from outside: {said.error}. Fix: {fix}"
        if said.status != 200 or said.body.strip().decode("ascii", "replace") != site.identity:
            what = f"another server than {site.proxy} answers on port 80 of {address} for {name}"
            return f"{what} (HTTP {said.status}). Fix: find out what else holds port 80 of {address}."
        return ""

    async def _authority(self, authority: Authority) -> Authority:
        """The CA with the names that its own directory says, where Git does not know them (RFC 8555, 7.1.1)."""
        if authority.names:
            return authority
        found = await self._resolver.addresses(_parts(authority.directory)[0], 4)
        names = await caa_identities(authority, *found.records[:1])
        return Authority(authority.directory, names, authority.is_staging, authority.challenge, authority.ca_pem)


def _unresolved(found: Found, name: str, wanted: Sequence[str]) -> Check:
    if not found.is_known:
        return Check("resolves", f"{found.why}. The check is repeated.", is_known=False)
    why = found.why or f"{name} has no A record"
    return Check("resolves", f"{why}. Fix: add the record `{name}. A {wanted[0] if wanted else '…'}`.")


def _fix_address(name: str, wanted: Sequence[str]) -> str:
    if not wanted:
        return "Fix: give the host a public IPv4 address in Git."
    return f"Fix: set the A record of {name} to {wanted[0]}."


async def caa_identities(authority: Authority, address: str = "") -> tuple[str, ...]:
    """What the directory says of the names by which CAA records mean its CA; () where it says nothing.

    `address` is its server's as the internet has it. Without one, this machine resolves the name.
    """
    host, port, path = _parts(authority.directory)
    try:
        tls = ssl.create_default_context(cadata=authority.ca_pem or None)
    except (ssl.SSLError, ValueError):
        return ()
    said = await ask(address or host, port, host, path, tls=tls)
    try:
        meta: Any = json.loads(said.body)["meta"]["caaIdentities"]
        return tuple(shown(one, 253).lower() for one in meta[:20] if isinstance(one, str))
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()


def _parts(url: str) -> tuple[str, int, str]:
    """Host, port and path of an https URL."""
    rest = url.removeprefix("https://")
    place, slash, path = rest.partition("/")
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        return place.strip("[]"), 443, slash + path
    return host.strip("[]"), int(port) if port.isdigit() else 443, slash + path
