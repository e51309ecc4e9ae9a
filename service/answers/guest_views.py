"""What people ask about the guests behind a host: who is who, how full the pools are, a lease made fixed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from ipaddress import ip_address

from service.errors import InputError, NeverSeen, NotFound, NotKnown
from service.kinds.claims import Claim
from service.kinds.guests_seen import active_leases, declared, guests_seen, name_findings, pools_of
from service.model.guests import GuestSeen, PoolFill
from service.model.observed import HostObserved, Lease
from service.model.states import Json, Unknown
from service.spec.editing import Change, edited, unified
from service.spec.grammar import check_name
from service.spec.host import HostSpec


class GuestViews:
    """Answers from what was `seen` of a host last. `file_of` gives the text of a host's spec file, `lost` the
    leases of a host that another guest with the same client-id took."""

    def __init__(
        self, seen: Callable[[str], HostObserved | None], claims_of: Callable[[HostSpec], Sequence[Claim]],
        file_of: Callable[[str], str | None], lost: Callable[[str], Sequence[Lease]],
    ) -> None:  # fmt: skip
        self._seen = seen
        self._claims_of = claims_of
        self._file_of = file_of
        self._lost = lost

    def guests(self, spec: HostSpec) -> Mapping[str, Json]:
        """{"items": guests, "findings": disputed names, shared leases}. NeverSeen before the host was seen, NotKnown
        where its leases could not be read."""
        claims, observed, lost = self._claims_of(spec), self._observed(spec), self._lost(spec.name)
        items: list[Json] = [_guest(one) for one in guests_seen(claims, observed, lost)]
        findings: list[Json] = [asdict(one) for one in name_findings(claims, observed, lost)]
        return {"host": spec.name, "at": observed.observed_at.isoformat(), "items": items, "findings": findings}

    def pools(self, spec: HostSpec) -> tuple[PoolFill, ...]:
        """How full each range is. Errors as `guests`."""
        return pools_of(spec.name, self._claims_of(spec), self._observed(spec))

    async def fix(self, spec: HostSpec, commit: str, ip: str) -> Mapping[str, Json]:
        """The patch of the host's spec file that gives the holder of a lease its address for good. Nothing is written.

        NotFound where nobody has a lease of that address now.
        """
        observed = self._observed(spec)
        address = str(ip_address(ip))
        lease = next((one for one in active_leases(observed) if one.address == address), None)
        if lease is None:
            raise NotFound(f"nobody has a lease of {address} on {spec.name} now")
        text = await asyncio.to_thread(self._file_of, spec.name)
        if text is None:
            raise InputError("the repository cannot be read now", hint="passerelle status")
        path, value = fixed(lease, self._claims_of(spec), spec)
        after = edited(text, [(path, value)])
        return {
            "host": spec.name, "commit": commit, "file": spec.file, "patch": unified(spec.file, text, after),
        }  # fmt: skip

    def _observed(self, spec: HostSpec) -> HostObserved:
        """What was seen of the host, its leases too: nobody has none where they could not be read."""
        observed = self._seen(spec.name)
        if observed is None:
            raise NeverSeen(f"{spec.name} was never seen")
        if isinstance(observed.leases, Unknown):
            raise NotKnown(f"the leases of {spec.name} could not be read: {observed.leases.why}")
        return observed


def fixed(lease: Lease, claims: Sequence[Claim], spec: HostSpec) -> Change:
    """The change of the spec that makes a lease fixed. InputError where it is fixed already, or cannot be."""
    if ":" in lease.address or not lease.mac:
        raise InputError(f"{lease.address} is not an IPv4 address: only those are given out by the spec")
    rows = {mac: (name, address) for name, mac, address in declared(claims)}
    taken = next((name for _, (name, address) in rows.items() if address == lease.address), "")
    if lease.mac in rows:
        name, address = rows[lease.mac]
        if address == lease.address:
            raise InputError(f"{name} has {address} fixed already")
        return ("guests", name, "address"), lease.address
    if taken:
        raise InputError(f"{lease.address} is reserved for {taken}, but {lease.mac} has it")
    names = {name for name, _ in rows.values()}
    name = _free_name(lease, names | {spec.name})
    guest: dict[str, Json] = {"mac": lease.mac, "address": lease.address}
    if "guests" not in spec.sections:
        return ("guests",), {name: guest}
    return ("guests", name), guest


def _free_name(lease: Lease, taken: set[str]) -> str:
    """The name that the guest sent where it may be one, else one made of its MAC."""
    label = lease.name.split(".")[0].lower()
    try:
        if label and check_name(label) not in taken:
            return label
    except ValueError:
        pass
    return "guest-" + lease.mac.replace(":", "")[-6:]


def _guest(one: GuestSeen) -> dict[str, Json]:
    return asdict(one)
