"""The sites of a host: as Git wants them, and what was seen of each. Pure.

sites_of(spec, claims) -> SiteWanted, …          what checks and people need of each site
looks_at(sites, observed, checked, probed)       all that is known of each, for its state
"""

from collections.abc import Mapping, Sequence

from service.formats.certificate_status import read_status
from service.kinds.claims import Claim, Reservation
from service.kinds.guests import Guest
from service.kinds.published import addresses_of, published_of, target_of, uplink_of
from service.kinds.web.derived import identity_in
from service.kinds.web.section import KEY, Acme, Site, WebSection
from service.kinds.web.values import LETSENCRYPT, STAGING, pem_of
from service.model.observed import HostObserved
from service.model.sites.seen import Preflight, Probes
from service.model.sites.states import SiteLook
from service.model.sites.told import CertificateTold, GuestTold
from service.model.sites.wanted import LETS_ENCRYPT, Authority, SiteWanted
from service.model.states import Absent, Observed, Seen, Unknown
from service.spec.host import HostSpec


def sites_of(spec: HostSpec, claims: Sequence[Claim]) -> tuple[SiteWanted, ...]:
    """The sites of `web`, by name. None where the spec has no such section."""
    section = spec.sections.get(KEY)
    if not isinstance(section, WebSection):
        return ()
    proxy = next((one for one in claims if isinstance(one, Reservation) and one.name == section.proxy), None)
    if proxy is None:
        return ()
    guests = spec.sections.get("guests")
    guest = guests.get(section.proxy) if isinstance(guests, Mapping) else None
    authority = authority_of(section.acme)
    six = (one for one in published_of(claims, spec) if one.section == KEY and one.family == 6)
    addresses = (
        *addresses_of(section.interface or uplink_of(claims), claims),
        *dict.fromkeys(address for one in six for address in one.addresses),
    )
    return tuple(
        SiteWanted(
            host=spec.name, name=own, names=site.names(own), proxy=section.proxy, mac=proxy.mac,
            proxy_address=target_of(section.proxy, claims), upstream=_upstream(site), addresses=addresses,
            identity=identity_in(spec.name, section.proxy, claims), authority=authority, platform=spec.platform,
            vmid=guest.vmid if isinstance(guest, Guest) else None, is_https=site.https,
        )
        for own, site in sorted(section.sites.items())
    )  # fmt: skip


def authority_of(acme: Acme) -> Authority:
    """The CA that `web` names."""
    is_known = acme.directory in (LETSENCRYPT, STAGING)
    return Authority(
        acme.url,
        names=(LETS_ENCRYPT,) if is_known else (),
        is_staging=acme.directory == STAGING,
        challenge="dns-01" if acme.dns_hook else "http-01",
        ca_pem="".join(pem_of(one) for one in acme.ca or ()),
    )


def _upstream(site: Site) -> str:
    return f"{site.scheme}://{site.to}:{site.port}"


def told_by(observed: HostObserved, proxy: str) -> Observed[GuestTold]:
    """What the program in the guest says; Absent where it has not said anything yet. Large for a large status."""
    text = observed.guest_status.get(proxy, Unknown(f"the guest {proxy} was not looked into"))
    return read_status(text.value) if isinstance(text, Seen) else text


def looks_at(
    sites: Sequence[SiteWanted], observed: HostObserved, told: Observed[GuestTold],
    checked: Mapping[str, Preflight], probed: Mapping[str, Probes],
) -> tuple[SiteLook, ...]:  # fmt: skip
    """All that is known of each site. `told` is what `told_by` read, `checked` and `probed` are by the site's name."""
    return tuple(
        SiteLook(
            one, _of_site(told, one.name), is_guest_down=_is_down(observed, one.proxy),
            program_trouble=told.value.trouble if isinstance(told, Seen) else "",
            preflight=checked.get(one.name), probes=probed.get(one.name),
        )
        for one in sites
    )  # fmt: skip


def _of_site(told: Observed[GuestTold], name: str) -> Observed[CertificateTold]:
    if not isinstance(told, Seen):
        return told
    found = told.value.certificates.get(name)
    return Absent() if found is None else Seen(found)


def _is_down(observed: HostObserved, proxy: str) -> bool:
    """Whether the host says that the guest does not run."""
    fact = observed.fact(f"guest:{proxy}")
    return isinstance(fact, Seen) and isinstance(fact.value, dict) and fact.value.get("running") is False
