"""What a plan does to guests: leases that a new range strands, names that go, guests whose MAC or address changes."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, ip_address

from service.formats import dnsmasq
from service.model.observed import HostObserved, Lease
from service.model.states import Seen, Unknown
from service.observe.at_boot import texts_of
from service.resources.desired import Desired
from service.resources.dnsmasq_config import FILES, OWN_FILE, DnsmasqConfig, directives_of
from service.resources.guest_names import GUESTS_FILE, GuestNames

SHOWN = 6
Range = tuple[int, int]
"""First and last address of a range, as numbers."""


def impact(desired: Desired, observed: HostObserved) -> Iterator[str]:
    """Sentences with numbers; none where nothing changes for a guest."""
    leases = active(observed)
    if leases:
        yield from stranded(desired, observed, leases)
        for names in desired.resources:
            if isinstance(names, GuestNames):
                yield from renamed(names, observed, {lease.mac: lease for lease in leases})


def active(observed: HostObserved) -> tuple[Lease, ...]:
    """IPv4 leases that had not run out when they were seen."""
    if not isinstance(observed.leases, Seen):
        return ()
    now = observed.observed_at.timestamp()
    return tuple(one for one in observed.leases.value if one.mac and (one.expires == 0 or one.expires > now))


def stranded(desired: Desired, observed: HostObserved, leases: Sequence[Lease]) -> Iterator[str]:
    """Leases whose address is in a range now and will be in none."""
    texts = texts_of(observed, FILES)
    if isinstance(texts, Unknown):
        return
    taken = {path: texts[path] for path in texts if path in (FILES[0], *dnsmasq.taken(texts))}
    now = [span for data in taken.values() for span in ranges(directives_of(data))]
    then = [span for path, data in taken.items() if path != OWN_FILE for span in ranges(directives_of(data))]
    config = next((one for one in desired.resources if isinstance(one, DnsmasqConfig)), None)
    then += ranges(config.directives) if config is not None else []
    kept = {(mac.lower(), address) for _, mac, address in config.guests} if config is not None else set()
    lost = [
        lease
        for lease in leases
        if inside(lease.address, now) and not inside(lease.address, then) and (lease.mac, lease.address) not in kept
    ]
    if lost:
        lost.sort(key=lambda lease: int(ip_address(lease.address)))
        shown = ", ".join(f"{lease.address} ({lease.name or lease.mac})" for lease in lost[:SHOWN])
        more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        count = f"{len(lost)} active lease{'s' * (len(lost) > 1)}"
        yield f"strands {count}: {shown}{more}; these guests get another address when they renew"


def ranges(directives: Sequence[tuple[str, str]]) -> list[Range]:
    """The ranges of addresses that some directives give out."""
    found = []
    for key, value in directives:
        if key != "dhcp-range":
            continue
        parts = [part.strip() for part in value.split(",") if ":" not in part]
        try:
            found.append((int(IPv4Address(parts[0])), int(IPv4Address(parts[1]))))
        except (ValueError, IndexError):
            continue
    return found


def inside(address: str, spans: Sequence[Range]) -> bool:
    """Whether an address is in one of the ranges."""
    number = int(ip_address(address))
    return any(first <= number <= last for first, last in spans)


def renamed(names: GuestNames, observed: HostObserved, leases: Mapping[str, Lease]) -> Iterator[str]:
    """Names that go away or to another MAC, addresses that change, of guests that have a lease now."""
    file, text = names.own_file(observed), observed.text(GUESTS_FILE)
    if isinstance(file, Unknown) or not isinstance(text, Seen):
        return
    before = {entry.name: entry for entry in dnsmasq.parse_hosts(text.value).entries}
    after = {entry.name: entry for entry in dnsmasq.parse_hosts(file.content or b"").entries}
    for name, old in before.items():
        lease, new = leases.get(old.mac), after.get(name)
        if lease is None:
            continue
        if new is None:
            now = next((entry.name for entry in after.values() if entry.mac == old.mac), "")
            yield f"the name {name} goes away: {lease.address} is {now or 'nobody'} then"
        elif new.mac != old.mac:
            yield f"the name {name} goes from {old.mac}, which has {lease.address} now, to {new.mac}"
        elif new.address not in ("", old.address, lease.address):
            yield f"{name} keeps {lease.address} until it renews, and has {new.address} then"
