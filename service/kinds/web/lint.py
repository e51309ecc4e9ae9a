"""What is wrong in `web` beyond its types: the proxy, the way to it, and where its sites lead. Git alone says it."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_network

from service.kinds.claims import AddressClaim, Claim, Creates, Masquerades, Named, Publishes, Reservation
from service.kinds.published import addresses_of, network_of, publishes, target_of, uplink_of
from service.kinds.web.derived import upstream_of
from service.kinds.web.lint_names import RULES as OF_NAMES
from service.kinds.web.lint_names import lint_names
from service.kinds.web.section import HTTP, HTTPS, KEY, Site, WebSection
from service.spec.findings import Hit, LintRule, Path
from service.spec.host import HostSpec

UNKNOWN_PROXY = LintRule("web.unknown-proxy", "error", "`proxy` is a guest of the spec", by_absence=True)
PROXY_WITHOUT_ADDRESS = LintRule("web.proxy-without-address", "error", "the proxy has a fixed address", by_absence=True)
PROXY_NOT_MADE = LintRule(
    "web.proxy-not-made", "error", "passerelle creates the proxy, or adopts it, so that it has its folders",
    by_absence=True,
)  # fmt: skip
PROXY_OUTSIDE = LintRule(
    "web.proxy-outside", "error", "the proxy is in a network of the host other than that of `in`", by_absence=True
)
NO_WAY_IN = LintRule(
    "web.no-way-in", "error", "an interface with an IPv4 address leads to the proxy from outside", by_absence=True
)
NO_WAY_OUT = LintRule(
    "web.no-way-out", "warning", "the proxy reaches the certificate authority by `nat`", by_absence=True
)
PORT_TAKEN = LintRule("web.port-taken", "error", "ports 80 and 443 lead to the proxy alone")
MANAGEMENT_PORT = LintRule("web.management-port", "error", "the port by which the host is managed is the host's own")
UNKNOWN_UPSTREAM = LintRule(
    "web.unknown-upstream", "error", "`to` is a guest of the spec, or an address in a network of the host",
    by_absence=True,
)  # fmt: skip
UNRESOLVED = LintRule(
    "web.upstream-not-resolved", "error", "the proxy can resolve the name of an upstream without a fixed address",
    by_absence=True,
)  # fmt: skip
LOOP = LintRule("web.loop", "error", "a site does not lead back to the proxy's own sites")
REDIRECT = LintRule("web.redirect-without-https", "error", "a site redirects to HTTPS only if it answers there")
BURST = LintRule("web.burst-alone", "error", "`burst` says something of `requests`")
CLIENTS = LintRule("web.clients-without-effect", "warning", "each entry of `allow` has an effect")
RULES = (
    UNKNOWN_PROXY, PROXY_WITHOUT_ADDRESS, PROXY_NOT_MADE, PROXY_OUTSIDE, NO_WAY_IN, NO_WAY_OUT, PORT_TAKEN,
    MANAGEMENT_PORT, UNKNOWN_UPSTREAM, UNRESOLVED, LOOP, REDIRECT, BURST, CLIENTS, *OF_NAMES,
)  # fmt: skip


def lint_web(section: WebSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    """Findings; paths start in the section."""
    yield from _proxy(section, claims)
    yield from _way_in(section, host, claims)
    for own, site in section.sites.items():
        path = ("sites", own)
        yield from _upstream(path, section.proxy, site, claims)
        yield from _site(path, site)
    yield from lint_names(section, claims)


def _proxy(section: WebSection, claims: Sequence[Claim]) -> Iterator[Hit]:
    guests = {claim.name: claim.address for claim in claims if isinstance(claim, Reservation)}
    if section.proxy not in guests:
        right = f"name a guest ({_named(guests)}), or add {section.proxy} to `guests`"
        yield UNKNOWN_PROXY.hit(("proxy",), f"the spec has no guest {section.proxy}", right)
        return
    is_made = any(isinstance(claim, Creates) and claim.guest == section.proxy for claim in claims)
    if section.sites and not is_made:
        what = f"{section.proxy} has no `create`, so it has no folder with the files of sites"
        right = f"add `create: {{}}` to {section.proxy}; a guest that exists already is adopted"
        yield PROXY_NOT_MADE.hit(("proxy",), what, right)
    address = guests[section.proxy]
    if not address:
        what = f"{section.proxy} has no fixed address, to which ports 80 and 443 could lead"
        yield PROXY_WITHOUT_ADDRESS.hit(("proxy",), what, f"give {section.proxy} an `address` in `guests`")
        return
    near = network_of(address, claims)
    if near is None or near[0] == (section.interface or uplink_of(claims)):
        where = f"in the network of {near[0]} itself" if near else "outside every network of this host"
        right = "write an address in the network of a bridge behind this host"
        yield PROXY_OUTSIDE.hit(("proxy",), f"{section.proxy} has the address {address}, {where}", right)
        return
    leaving = (IPv4Network(claim.source) for claim in claims if isinstance(claim, Masquerades))
    own = IPv4Address(address)
    if own.is_private and not any(own in network for network in leaving):
        what = f"{section.proxy} has a private address, {address}, and no `nat` for what it sends"
        right = f"add {near[1]} to `nat`, so that {section.proxy} reaches the certificate authority"
        yield NO_WAY_OUT.hit(("proxy",), what, right)


def _way_in(section: WebSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    path: Path = ("in",) if section.interface else ()
    known = sorted({claim.interface for claim in claims if isinstance(claim, Named)})
    interface = section.interface or uplink_of(claims)
    if not interface:
        what = "the spec has no IPv4 default route, so nothing says by which interface clients come in"
        yield NO_WAY_IN.hit(path, what, f"add `in`, an interface of the spec ({_named(known)})")
        return
    if interface not in known:
        yield NO_WAY_IN.hit(path, f"the spec has no interface or bridge {interface}", f"name one of {_named(known)}")
        return
    own = addresses_of(interface, claims)
    if not own:
        yield NO_WAY_IN.hit(path, f"{interface} has no IPv4 address in the spec", "name the interface that has one")
        return
    for other in publishes(claims):
        if other.section != KEY and other.interface == interface and other.proto == "tcp":
            yield from _taken(path, other, host)
    if host.connection.address in own and host.connection.port in (HTTP, HTTPS):
        what = f"tcp/{host.connection.port} is the SSH port of this host, and it would lead to {section.proxy}"
        yield MANAGEMENT_PORT.hit(path, what, "let sshd listen on another port, and write it as `connection.port`")


def _taken(path: Path, other: Publishes, host: HostSpec) -> Iterator[Hit]:
    held = [port for port in (HTTP, HTTPS) if any(first <= port <= last for first, last in other.ports)]
    if held:
        file, line = host.where(other.path)
        ports = " and ".join(f"tcp/{port}" for port in held)
        what = f"{ports} of {other.interface} already leads to {other.to} ({file}:{line})"
        yield PORT_TAKEN.hit(path, what, f"remove it there, and publish {other.to} as a site")


def _upstream(path: Path, proxy: str, site: Site, claims: Sequence[Claim]) -> Iterator[Hit]:
    guests = {claim.name: claim.address for claim in claims if isinstance(claim, Reservation)}
    target = target_of(site.to, claims)
    at = (*path, "to")
    if not target and site.to not in guests:
        yield UNKNOWN_UPSTREAM.hit(
            at, f"the spec has no guest {site.to}", f"name a guest ({_named(guests)}), or write an address"
        )
    elif target and network_of(target, claims) is None:
        nets = [c.address for c in claims if isinstance(c, AddressClaim) and ":" not in c.address]
        what = f"{target} is outside every network of this host"
        yield UNKNOWN_UPSTREAM.hit(at, what, f"write an address in one of its networks ({_named(nets)})")
    elif not target and target_of(proxy, claims) and upstream_of(site.to, site.port, proxy, claims) is None:
        what = f"{site.to} has no fixed address, and the host answers no DNS queries of {proxy} for its name"
        right = f"give {site.to} an `address` in `guests`, or serve DNS on the bridge of {proxy} with `dnsmasq`"
        yield UNRESOLVED.hit(at, what, right)
    if proxy in (site.to, _guest_at(target, guests)) and site.port in (HTTP, HTTPS):
        what = f"port {site.port} of {proxy} is where the sites are answered, so it would ask itself"
        yield LOOP.hit(at, what, "name the guest that has the content, or another port")


def _guest_at(address: str, guests: dict[str, str]) -> str:
    return next((name for name, own in guests.items() if own and own == address), "")


def _site(path: Path, site: Site) -> Iterator[Hit]:
    if site.redirect_https and not site.https:
        what = "the site has no HTTPS to redirect to: `https` is false"
        yield REDIRECT.hit((*path, "redirect_https"), what, "remove one of the two")
    if site.limits is not None and site.limits.burst is not None and site.limits.requests is None:
        what = "`burst` is beyond a rate of requests, and there is none"
        yield BURST.hit((*path, "limits", "burst"), what, "add `requests`, such as 20/s, or remove `burst`")
    denied = [_span(clients) for clients in site.deny or ()]
    seen: list[tuple[int, int, int]] = []
    for number, clients in enumerate(site.allow or ()):
        own = _span(clients)
        for others, why in ((denied, "`deny` refuses all of it first"), (seen, "an entry before it already has it")):
            if any(v == own[0] and first <= own[1] and own[2] <= last for v, first, last in others):
                yield CLIENTS.hit((*path, "allow", number), f"{clients} has no effect: {why}", "remove it")
                break
        seen.append(own)


def _span(clients: str) -> tuple[int, int, int]:
    """(4 or 6, first, last)."""
    network = ip_network(clients)
    return network.version, int(network.network_address), int(network.broadcast_address)


def _named(names: Sequence[str] | dict[str, str]) -> str:
    return ", ".join(sorted(names)[:12]) or "none yet"
