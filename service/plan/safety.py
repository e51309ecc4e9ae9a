"""Refusals: what stops a plan before anything is written. Typed, with the numbers in the words."""

from collections.abc import Iterator, Sequence

from service.formats import pve_sdn
from service.formats.interfaces import MAIN_FILE
from service.model.changes import Drift
from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.plans import Refusal
from service.model.states import Seen
from service.observe.at_boot import LEFT_OVER, is_change_pending, renamed_at_boot
from service.observe.runner import FIX, runner_of
from service.plan.management import picture
from service.plan.sdn import sdn_clashes
from service.resources.desired import Desired
from service.resources.traits import BroughtUp, OnlyWatched, having

TOO_MUCH = 0.5
TOO_FEW_TO_COUNT = 4
"""Shares say nothing below this many: a host with two bridges may lose one."""


def refusals(
    drifts: Sequence[Drift], steps: Sequence[Step], desired: Desired, observed: HostObserved
) -> Iterator[Refusal]:
    """Everything that stops this plan, except the management path, which has its own room."""
    watched = {what for _, one in having(desired, OnlyWatched) for what in one.only_watched()}
    yield from unknown([d for d in drifts if d.difference.resource not in watched])
    yield from special_files(steps, observed)
    if steps:
        yield from left_over(steps, observed)
        if any(isinstance(observed.texts.get(path), Seen) for path in pve_sdn.FILES):
            yield from sdn_clashes(steps, observed)
        yield from going_along(steps, observed)
        yield from too_much(steps, observed)


def unknown(drifts: Sequence[Drift]) -> Iterator[Refusal]:
    """What could not be read is never overwritten: one refusal for each reason."""
    reasons = sorted({d.difference.unknown for d in drifts if d.difference.unknown})
    for reason in reasons:
        things = sorted({d.difference.resource for d in drifts if d.difference.unknown == reason})
        yield Refusal(
            "unknown",
            f"{', '.join(things[:6])} could not be read: {reason}",
            hint="nothing is changed on a host that cannot be read; see `passerelle doctor`",
        )


def special_files(steps: Sequence[Step], observed: HostObserved) -> Iterator[Refusal]:
    """A symlink, folder or device where a file of ours belongs is somebody's decision."""
    for step in steps:
        seen = observed.fact(step.fact)
        if step.fact.startswith("file:") and isinstance(seen, Seen) and isinstance(seen.value, dict):
            file_type = seen.value.get("type")
            if file_type is not None:
                path = step.fact.removeprefix("file:")
                yield Refusal(
                    "not-ours", f"{path} is a {file_type}, not a regular file", hint=f"replace {path} by a file"
                )


def not_ifupdown(
    drifts: Sequence[Drift], steps: Sequence[Step], desired: Desired, observed: HostObserved
) -> Iterator[Refusal]:
    """What ifupdown does not bring up is not written for it: the next boot would undo it, or do it twice."""
    if not steps:
        return
    kinds = ("interfaces", "bonds", "vlans", "bridges")
    differ = {d.difference.resource for d in drifts if d.difference.kind in kinds}
    groups = [tuple(one.interfaces()) for _, one in having(desired, BroughtUp)]
    names = {name for group in groups if group[0] in differ for name in group}
    for what in runner_of(observed).objections(names):
        yield Refusal("not-ifupdown", what, hint=FIX)


def names_in(desired: Desired) -> set[str]:
    """The interfaces that ifupdown should bring up, with the ports of bridges."""
    return {name for _, one in having(desired, BroughtUp) for name in one.interfaces()}


def left_over(steps: Sequence[Step], observed: HostObserved) -> Iterator[Refusal]:
    """A pending unmanaged change that the next reboot would apply over ours. pvenetcommit moves interfaces.new, and
    pve-firewall-commit moves host.fw.new, which is in the way only of a new host.fw."""
    firewall = [step.fact.removeprefix("file:") for step in steps if step.fact.endswith("/host.fw")]
    changes_main = any(step.fact == f"file:{MAIN_FILE}" for step in steps)
    for path in observed.left_overs:
        if path == LEFT_OVER and not is_change_pending(observed):
            if changes_main:
                yield Refusal(
                    "left-over",
                    f"{path} is identical to {MAIN_FILE} now, and the next reboot moves it over what this plan writes",
                    hint=f"remove {path} on the host (Proxmox GUI: Revert)",
                )
            continue
        names = renamed_at_boot(observed) if path == LEFT_OVER else {}
        if names:
            pairs = ", ".join(f"{old} to {new}" for old, new in names.items())
            yield Refusal(
                "left-over",
                f"a reboot renames {pairs}: Proxmox pins the names of network cards, and {path} waits for that reboot",
                hint=f"reboot {observed.host}, and write the new names in the spec",
            )
        elif path.endswith("/interfaces.new"):
            yield Refusal(
                "left-over",
                f"{path} is a pending change that the next reboot moves over /etc/network/interfaces",
                hint="apply or discard it where it was made (Proxmox GUI: Apply Configuration or Revert)",
            )
        elif path.endswith("/host.fw.new") and firewall:
            yield Refusal(
                "left-over",
                f"{path} is a pending change that the next reboot moves over {firewall[0]}",
                hint="reboot the host, or discard the change: `pve-network-interface-pinning` made it",
            )


def too_much(steps: Sequence[Step], observed: HostObserved) -> Iterator[Refusal]:
    """More than half of the host's links would go away."""
    links = [fact for fact, seen in observed.facts.items() if fact.startswith("link:") and isinstance(seen, Seen)]
    bridges = [fact for fact in links if isinstance(s := observed.fact(fact), Seen) and is_bridge(s.value)]
    removed = [step.fact for step in steps if step.fact.startswith("link:") and step.after is None]
    if len(bridges) >= TOO_FEW_TO_COUNT and len(removed) > TOO_MUCH * len(bridges):
        yield Refusal(
            "too-much-change",
            f"{len(removed)} of {len(bridges)} bridges would be removed",
            hint="remove them in smaller commits",
        )


def going_along(steps: Sequence[Step], observed: HostObserved) -> Iterator[Refusal]:
    """VLANs of others on a bond or a VLAN that is removed: the kernel removes them with it, and no rollback knows of
    them. The same on a bridge is refused where the bridge is compared."""
    removed = {
        step.fact.removeprefix("link:") for step in steps if step.fact.startswith("link:") and step.after is None
    }
    below = picture(observed).below if removed else {}
    for name in sorted(removed):
        seen = observed.fact(f"link:{name}")
        sort = seen.value.get("type") if isinstance(seen, Seen) and isinstance(seen.value, dict) else None
        above = sorted(vlan for vlan, link in below.items() if link == name and vlan not in removed)
        if sort in ("bond", "vlan") and above:
            yield Refusal(
                "no-way",
                f"the VLAN{'s' * (len(above) > 1)} {', '.join(above)} on {observed.host} would go with {name}",
                hint=f"remove it there with `ip link del {above[0]}`, or keep {name} in the spec",
            )


def is_bridge(value: object) -> bool:
    """Whether a captured link is a bridge."""
    return isinstance(value, dict) and value.get("type") == "bridge"
