"""What is wrong with the names of `web`, and with their certificates, as far as Git alone says it."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from service.kinds.claims import Claim
from service.kinds.published import publishes
from service.kinds.web.section import KEY, WebSection
from service.kinds.web.values import DIRECTORIES, WILDCARD
from service.spec.findings import Hit, LintRule, Path
from service.spec.host import HostSpec

NAME_TWICE = LintRule("web.name-twice", "error", "a name belongs to one site")
ON_TWO_HOSTS = LintRule("web.name-on-two-hosts", "warning", "a name belongs to a site of one host")
NAME_OF_FORWARD = LintRule("web.name-of-forward", "error", "a name leads to one guest")
NOT_PUBLIC = LintRule("web.name-not-public", "error", "Let's Encrypt issues certificates for public names")
WILDCARD_NEEDS_DNS = LintRule("web.wildcard", "error", "a wildcard is proved by dns-01")
COVERED = LintRule("web.covered-by-wildcard", "error", "no name is covered by a wildcard of its own site")
TOO_MANY = LintRule("web.too-many-names", "error", "a certificate has no more names than its issuer allows")
TERMS = LintRule("web.terms", "error", "the terms of the certificate authority are agreed to")
OWN_CA = LintRule("web.own-ca", "warning", "roots are given only for an own certificate authority")
NO_ROOT = LintRule(
    "web.no-root", "warning", "an own certificate authority without a public name has its root here", by_absence=True
)
RULES = (
    NAME_TWICE, ON_TWO_HOSTS, NAME_OF_FORWARD, NOT_PUBLIC, WILDCARD_NEEDS_DNS, COVERED, TOO_MANY, TERMS, OWN_CA,
    NO_ROOT,
)  # fmt: skip

SPECIAL = frozenset(
    {
        "alt", "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain",
        "localhost", "mail", "onion", "private", "test",
    }
)  # fmt: skip
"""Top-level domains that the public DNS does not have. Some are reserved (RFC 6761, 6762, 7686, 8375, 9476). ICANN
keeps others back for private networks (resolutions of 2018-02-04 and 2024-07-29; RFC 6762, appendix G)."""


def lint_names(section: WebSection, claims: Sequence[Claim]) -> Iterator[Hit]:
    """Findings; paths start in the section."""
    yield from _acme(section)
    first: dict[str, str] = {}
    others = {name: c.to for c in publishes(claims) if c.section != KEY for name in c.names}
    for own, site in section.sites.items():
        names = site.names(own)
        for number, name in enumerate(names):
            path = _path(own, number)
            earlier = first.setdefault(name, own)
            if earlier != own or name in names[:number]:
                yield NAME_TWICE.hit(path, f"{name} is already a name of {earlier}", "keep one of the two")
            elif others.get(name, section.proxy) != section.proxy:
                what = f"`forwards` already publishes {name} for {others[name]}"
                yield NAME_OF_FORWARD.hit(path, what, "keep one of the two")
            yield from _name(path, name, names, section, https=site.https)
        if site.https and len(names) > section.acme.most_names:
            profile = f" with the profile {section.acme.profile}" if section.acme.profile else ""
            what = f"the certificate would have {len(names)} names, more than {section.acme.most_names}{profile}"
            yield TOO_MANY.hit(("sites", own, "aliases"), what, "make two sites of it")


def lint_names_of_fleet(hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
    """Names that two hosts have."""
    first: dict[str, str] = {}
    for spec in hosts.values():
        section = spec.sections.get(KEY)
        if not isinstance(section, WebSection):
            continue
        for own, site in section.sites.items():
            for number, name in enumerate(site.names(own)):
                host = first.setdefault(name, spec.name)
                if host != spec.name:
                    right = "remove it from one of them, unless the site is moving"
                    yield spec.name, ON_TWO_HOSTS.hit(_path(own, number), f"{name} is also a name on {host}", right)


def _acme(section: WebSection) -> Iterator[Hit]:
    acme = section.acme
    if section.sites and not acme.terms_agreed:
        what = "the terms of the certificate authority are not agreed to, so it issues nothing"
        yield TERMS.hit(("acme",), what, "read them, and write `terms_agreed: true`")
    is_known = acme.directory in DIRECTORIES
    if is_known and acme.ca:
        what = f"{acme.directory} is verified by the usual roots, and `ca` would take their place"
        yield OWN_CA.hit(("acme", "ca"), what, "remove `ca`")
    host = urlsplit(acme.url).hostname or ""
    if not is_known and not acme.ca and not (is_public(host) and not _is_address(host)):
        what = f"{host} is not a public name, so no usual root vouches for it"
        yield NO_ROOT.hit(("acme", "directory"), what, "add the root of the certificate authority as `ca`")


def _name(path: Path, name: str, names: Sequence[str], section: WebSection, *, https: bool) -> Iterator[Hit]:
    if not https:
        return
    if section.acme.directory in DIRECTORIES and not is_public(name):
        what = f"the public DNS has no name {name}, and Let's Encrypt issues nothing for it"
        yield NOT_PUBLIC.hit(path, what, "write a public name, or `https: false`, or use an own certificate authority")
    if name.startswith(WILDCARD) and section.acme.dns_hook is None:
        what = f"{name} can only be proved by a record in DNS (dns-01)"
        yield WILDCARD_NEEDS_DNS.hit(path, what, "write the names out, or add `acme.dns_hook`")
    above = f"{WILDCARD}{name.partition('.')[2]}"
    if section.acme.directory in DIRECTORIES and not name.startswith(WILDCARD) and above in names:
        what = f"{name} is one of {above}, and Let's Encrypt refuses a certificate with both"
        yield COVERED.hit(path, what, "remove one of the two")


def is_public(name: str) -> bool:
    """Whether the public DNS may have the name."""
    labels = name.removeprefix(WILDCARD).split(".")
    return len(labels) > 1 and labels[-1] not in SPECIAL and not labels[-1].isdigit()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _path(own: str, number: int) -> Path:
    return ("sites", own, "aliases", number - 1) if number else ("sites", own)
