"""`web`: sites on 80 and 443, answered by a guest with nginx, with certificates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.guestside.shipped import files as program_files
from service.kinds.claims import Claim, Creates, NeedsInGuest, Reservation
from service.kinds.published import target_of
from service.kinds.web.derived import CA_FILE, ca_file, certificates_file, identity_in, upstream_of, web_claims
from service.kinds.web.lint import RULES, lint_web
from service.kinds.web.lint_names import lint_names_of_fleet
from service.kinds.web.nginx import MAIN_FILE, main_file, site_file
from service.kinds.web.section import KEY, WebSection
from service.model.observed import Watch
from service.resources.guest_folders import GuestFolder
from service.resources.guest_packages import GuestPackages
from service.resources.proxies import Proxy
from service.resources.proxy_files import NGINX_FILES, proxy_file
from service.resources.resource import Resource
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec

CERTIFICATES_FILE = "certificates.json"


class Web:
    """Sites on ports 80 and 443: the guest that answers, certificates, and where requests go."""

    name = KEY
    section: Any = WebSection
    rules: tuple[LintRule, ...] = RULES

    def lint(self, section: WebSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_web(section, host, claims)

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from lint_names_of_fleet(hosts)

    def claims(self, section: WebSection) -> Iterator[Claim]:
        yield from web_claims(section)

    def desire(self, section: WebSection | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        at = next((c for c in claims if isinstance(c, Reservation) and section and c.name == section.proxy), None)
        if section is None or at is None or not section.sites:
            return
        files, cause = files_of(host.name, section, claims), f"web: sites of {section.proxy}"
        yield from (proxy_file(self.name, at.name, name, content, cause) for name, content in files.items())
        number = at.vmid if host.platform == "proxmox" else 0
        yield GuestFolder(self.name, at.name, frozenset(files), at.mac, number)
        comes = any(isinstance(claim, Creates) and claim.guest == at.name for claim in claims)
        sites = tuple(own for own, site in section.sites.items() if site.https)
        needed = sorted({c.package for c in claims if isinstance(c, NeedsInGuest) and c.guest == at.name})
        yield GuestPackages(self.name, at.name, str(number or at.mac), tuple(needed))
        yield Proxy(self.name, at.name, str(number or at.mac), files, comes, at.address, sites, cause)

    def watch(self) -> Watch:
        return Watch()


def files_of(host: str, section: WebSection, claims: Sequence[Claim]) -> dict[str, bytes]:
    """{name in the folder of the proxy: content} of all files that the sites need."""
    ipv6 = bool(target_of(section.proxy, claims, 6))
    files = {MAIN_FILE: main_file(ipv6=ipv6), CERTIFICATES_FILE: certificates_file(section)}
    roots, identity = ca_file(section.acme), identity_in(host, section.proxy, claims)
    if roots is not None:
        files[CA_FILE] = roots
    files |= {name: text.encode() for name, text in {**program_files(), **NGINX_FILES}.items()}
    for own, site in sorted(section.sites.items()):
        target = upstream_of(site.to, site.port, section.proxy, claims)
        if target is not None:
            files[f"sites/{own}.conf"] = site_file(own, site, target, identity, ipv6=ipv6)
    return files
