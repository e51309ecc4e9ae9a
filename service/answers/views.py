"""What was seen of a host, as JSON."""

from collections.abc import Mapping
from dataclasses import asdict

from service.model.observed import HostObserved
from service.model.states import Absent, Json, Seen, Unknown
from service.resources.desired import Desired


def shown_with_met(observed: HostObserved, desired: Desired | None) -> dict[str, Json]:
    """An observation as JSON, with what is met outside our own files."""
    met: list[Json] = [{"thing": t, "where": w} for t, w in (desired.met(observed) if desired else ())]
    return shown(observed) | {"met": met}


def shown(observed: HostObserved) -> dict[str, Json]:
    """An observation as JSON: facts, daemons, leases; Unknown with its reason, Absent as null."""
    facts: dict[str, Json] = {name: state(seen) for name, seen in sorted(observed.facts.items())}
    return {
        "boot_id": observed.boot_id,
        "os": observed.os,
        "armed": observed.armed,
        "facts": facts,
        "packages": {name: state(seen) for name, seen in sorted(observed.packages.items())},
        "masquerades": rows(observed.masquerades),
        "listeners": rows(observed.listeners),
        "leases": rows(observed.leases),
        "bans": bans(observed.bans),
        "left_overs": [*observed.left_overs],
        "path": None if observed.path is None else asdict(observed.path),
    }


def bans(seen: "Seen[Mapping[str, tuple[str, ...]]] | Absent | Unknown") -> Json:
    """fail2ban's jails that are up, and whom they ban; null while it does not run."""
    if isinstance(seen, Unknown):
        return {"unknown": seen.why}
    return {jail: [*banned] for jail, banned in seen.value.items()} if isinstance(seen, Seen) else None


def state(seen: "Seen[Json] | Seen[str] | Absent | Unknown") -> Json:
    """One thing observed."""
    if isinstance(seen, Unknown):
        return {"unknown": seen.why}
    return seen.value if isinstance(seen, Seen) else None


def rows(seen: "Seen[tuple[object, ...]] | Absent | Unknown") -> Json:
    """A list of values observed."""
    if isinstance(seen, Unknown):
        return {"unknown": seen.why}
    return [asdict(item) for item in seen.value] if isinstance(seen, Seen) else []  # type: ignore[call-overload]  # dataclasses
