"""What follows from `web`: what is published, what reaches what, where requests go, which certificates are wanted."""

import json
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from service.kinds.claims import (
    HOST,
    Claim,
    GuestDomain,
    NeedsForwarding,
    NeedsInGuest,
    NeedsLoader,
    NeedsPackage,
    Proxies,
    Publishes,
    Reaches,
    Reservation,
    Serves,
)
from service.kinds.published import addresses_of, network_of, target_of
from service.kinds.web.nginx import Target
from service.kinds.web.section import HTTP, HTTPS, KEY, Acme, WebSection
from service.kinds.web.values import DIRECTORIES, LETSENCRYPT, STAGING, WILDCARD, pem_of
from service.model.sites.wanted import identity_of

PORTS = ((HTTP, HTTP), (HTTPS, HTTPS))
DNS = ((53, 53),)
PACKAGES = ("ca-certificates", "nginx", "openssl", "python3-venv")
"""nginx, and what the program needs that orders certificates (service/guestside)."""
CA_FILE = "acme-ca.pem"
IN_THE_GUEST = "/etc/passerelle"


def web_claims(section: WebSection) -> Iterator[Claim]:
    """Everything that the other sections need to know. Rules and their order
    stay the same when a site comes or goes that leads to a known place."""
    if not section.sites:
        return
    proxy, sites = section.proxy, section.sites
    names = tuple(name for own, site in sites.items() for name in site.names(own))
    yield Proxies(proxy, tuple((own, site.names(own)) for own, site in sites.items()))
    public = tuple(name for name in names if not name.startswith(WILDCARD))
    yield Publishes((KEY,), section.interface or "", "tcp", PORTS, proxy, names=public)
    yield NeedsForwarding(f"web: ports 80 and 443 lead to {proxy}")
    yield NeedsPackage("nftables", "web")
    yield NeedsLoader("web")
    yield from (NeedsInGuest(proxy, package, "web") for package in PACKAGES)
    yield Reaches("", proxy, "tcp", PORTS, f"web: {proxy} answers for sites", (KEY, "proxy"))
    upstreams: dict[tuple[str, int], str] = {}
    for own, site in sites.items():
        upstreams.setdefault((site.to, site.port), own)
    for (to, port), own in sorted(upstreams.items()):
        if to != proxy:
            yield Reaches(proxy, to, "tcp", ((port, port),), f"web: {proxy} leads to {to}", (KEY, "sites", own))
    for proto in ("udp", "tcp"):
        yield Reaches(proxy, HOST, proto, DNS, f"web: {proxy} resolves names", (KEY, "proxy"))
    authority = urlsplit(section.acme.url).port or HTTPS
    yield Reaches(proxy, "", "tcp", ((authority, authority),), f"web: {proxy} orders certificates", (KEY, "acme"))
    if authority != HTTPS:
        own_client = f"web: {proxy} installs what orders certificates"
        yield Reaches(proxy, "", "tcp", ((HTTPS, HTTPS),), own_client, (KEY, "acme"))


def resolver_of(proxy: str, claims: Sequence[Claim]) -> str:
    """The address at which the host answers DNS queries of the proxy; "" where it answers none."""
    address = target_of(proxy, claims)
    near = network_of(address, claims) if address else None
    if near is None or not any(isinstance(c, Serves) and (c.protocol, c.interface) == ("dns", near[0]) for c in claims):
        return ""
    return addresses_of(near[0], claims)[0]


def upstream_of(to: str, port: int, proxy: str, claims: Sequence[Claim]) -> Target | None:
    """Where requests go: the address of a guest that has a fixed one, else its name. None where it is neither."""
    address = target_of(to, claims)
    if address:
        return Target(address, port)
    resolver = resolver_of(proxy, claims)
    if not resolver or not any(isinstance(claim, Reservation) and claim.name == to for claim in claims):
        return None
    domain = next((claim.domain for claim in claims if isinstance(claim, GuestDomain)), "")
    return Target(f"{to}.{domain}" if domain else to, port, resolver)


def identity_in(host: str, proxy: str, claims: Sequence[Claim]) -> str:
    """What the proxy of a host answers at IDENTITY_PATH."""
    mac = next((claim.mac for claim in claims if isinstance(claim, Reservation) and claim.name == proxy), "")
    return identity_of(host, proxy, mac)


def certificates_file(section: WebSection) -> bytes:
    """What the program in the guest orders and from whom; a certificate for each site that has one, each on a line."""
    rows = [
        json.dumps({"name": own, "names": [*site.names(own)]})
        for own, site in sorted(section.sites.items())
        if site.https
    ]
    acme = json.dumps(_acme(section.acme), indent=1, sort_keys=True)
    listed = ",\n  ".join(rows)
    text = f'{{"version": 1,\n "acme": {acme},\n "certificates": [\n  {listed}\n ]}}\n'
    return text.encode("ascii")


def _acme(acme: Acme) -> dict[str, object]:
    return {
        "directory": acme.url,
        "staging": DIRECTORIES[STAGING] if acme.directory == LETSENCRYPT else None,
        "ca_file": f"{IN_THE_GUEST}/{CA_FILE}" if acme.ca else None,
        "email": acme.email,
        "profile": acme.profile,
        "terms_agreed": acme.terms_agreed,
        "challenge": {"dns-01": acme.dns_hook} if acme.dns_hook else "http-01",
    }


def ca_file(acme: Acme) -> bytes | None:
    """The roots of an own certificate authority."""
    return "".join(pem_of(one) for one in acme.ca).encode("ascii") if acme.ca else None
