"""Looks at a site, for tests: a moment, a site, what its guest says."""

from typing import Any

from service.model.sites.seen import Answer, CertificateServed, Probes
from service.model.sites.states import SiteLook
from service.model.sites.told import Attempt, CertificateHeld, CertificateTold, RenewalWindow
from service.model.sites.wanted import Authority, SiteWanted, identity_of
from service.model.states import Seen

NOW = 1_790_000_000  # 2026-09-21 14:13:20 UTC
DAY = 86_400
MINUTE = 60
LETS_ENCRYPT = Authority("https://acme.example/directory", ("letsencrypt.org",))

SITE = SiteWanted(
    host="pve1",
    name="www.example.org",
    names=("www.example.org", "example.org"),
    proxy="proxy",
    mac="bc:24:11:00:00:02",
    proxy_address="10.10.10.20",
    upstream="http://dev:8080",
    addresses=("198.51.100.11",),
    identity=identity_of("pve1", "proxy", "bc:24:11:00:00:02"),
    authority=LETS_ENCRYPT,
)
ISSUED = CertificateHeld("issued", NOW - 30 * DAY, NOW + 60 * DAY, "CN=R13", "4a1f")
SELF_SIGNED = CertificateHeld("self-signed", NOW - MINUTE, NOW + 365 * DAY, "CN=passerelle", "1")
WINDOW = RenewalWindow(NOW + 29 * DAY, NOW + 31 * DAY, "ari")
REFUSED = Attempt(
    NOW - 3 * MINUTE,
    "failed",
    "challenge",
    "urn:ietf:params:acme:error:connection",
    "198.51.100.11: Fetching http://www.example.org/.well-known/acme-challenge/x: Connection refused",
)
LIMITED = Attempt(
    NOW - 3 * MINUTE, "failed", "order", "urn:ietf:params:acme:error:rateLimited", "too many certificates"
)


def told(**values: Any) -> CertificateTold:
    """What the guest says of the site's certificate."""
    return CertificateTold("www.example.org", SITE.names, **values)


def look(certificate: CertificateTold | None = None, **values: Any) -> SiteLook:
    """All that is known of the site: by default a certificate that is in order."""
    seen = certificate or told(held=ISSUED, window=WINDOW)
    return SiteLook(values.pop("wanted", SITE), values.pop("guest", Seen(seen)), **values)


def served(**values: Any) -> CertificateServed:
    """The certificate that the handshake showed."""
    given: dict[str, Any] = {
        "names": SITE.names,
        "not_after": ISSUED.not_after,
        "issuer": "CN=R13",
        "serial": "4a1f",
    } | values
    return CertificateServed(**given)


def answered(status: int = 200, address: str = "198.51.100.11", **values: Any) -> Answer:
    """An answer with the right certificate."""
    return Answer(address, status, certificate=values.pop("certificate", served()), **values)


def probes(inside: Answer | None = None, *outside: Answer) -> Probes:
    """What was seen a minute ago."""
    return Probes(NOW - MINUTE, inside, outside)
