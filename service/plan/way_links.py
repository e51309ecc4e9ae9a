"""Whether the way between host and service keeps a link: cards with something at the other end, bonds and bridges over
them.

    link_refusals(observed, steps) -> refusals     what a plan would do to the links below the way
"""

from collections.abc import Iterator, Mapping, Sequence

from service.model.facts import Step
from service.model.observed import Card, HostObserved, ManagementPath
from service.model.plans import Refusal
from service.plan.management import HINT, Picture, after, carriers, picture
from service.plan.next_boot import GUEST_PORT
from service.resources.bonds import NEED_DOWN


def link_refusals(observed: HostObserved, steps: Sequence[Step]) -> tuple[Refusal, ...]:
    """Refusals of rule `management-path`; empty where the way keeps its link, or where nobody knows of one now."""
    if not steps or observed.path is None:
        return ()
    now = picture(observed)
    lost = links_lost(observed.path, now, after(now, steps), observed, steps)
    return tuple(Refusal("management-path", what, hint=HINT) for what in lost)


def links_lost(
    path: ManagementPath, now: Picture, then: Picture, observed: HostObserved, steps: Sequence[Step]
) -> Iterator[str]:
    """A way that has a link keeps one that is known to be there; no bond below it goes down for a change."""
    here, devices = carriers(path, now), carriers(path, then)
    if not here or not devices:
        return
    device, cards = devices[0], observed.cards
    if has_link(here[0], now, cards) is True and _after(device, now, then, cards) is not True:
        cables = sorted(name for name in below(device, then, cards) if name != device) or [device]
        yield (
            f"{device}, which carries {path.server}, would have no link: nothing is known to be at the other end of "
            f"{', '.join(cables)}. A card that is down shows that only once it is up"
        )
    under = below(here[0], now, cards)
    for step in steps:
        kind, _, name = step.fact.partition(":")
        if kind == "link" and name in under and (changed := _needs_down(step)):
            yield (
                f"{name}, which carries {path.server}, would go down: the kernel changes {' and '.join(changed)} of a "
                "bond only while it is down"
            )


def _needs_down(step: Step) -> list[str]:
    if not isinstance(step.before, dict) or not isinstance(step.after, dict):
        return []
    return [name for name in NEED_DOWN if name in step.after and step.before.get(name) != step.after[name]]


def ports(device: str, state: Picture) -> list[str]:
    """The ports of a bridge or a bond, without those of guests."""
    return sorted(name for name, master in state.enslaved.items() if master == device and not GUEST_PORT.match(name))


def below(device: str, state: Picture, cards: Mapping[str, Card]) -> set[str]:
    """The device and every link below it."""
    found: set[str] = set()
    todo = [device]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        todo += ports(name, state)
        todo += [lower] if (lower := _lower(name, cards)) else []
    return found


def has_link(device: str, state: Picture, cards: Mapping[str, Card]) -> bool | None:
    """Whether something is at the other end of a card, or of one below the device. None: nobody knows."""
    ends = [name for name in below(device, state, cards) if not ports(name, state) and not _lower(name, cards)]
    known = [cards[name].carrier if name in cards else None for name in ends]
    return True if True in known else None if None in known else False


def _after(device: str, now: Picture, then: Picture, cards: Mapping[str, Card]) -> bool | None:
    """The same after the plan. A bridge or bond that loses all its ports has no link, whatever was seen of it."""
    emptied = {name for name in below(device, then, cards) if ports(name, now) and not ports(name, then)}
    return False if emptied else has_link(device, then, cards)


def _lower(name: str, cards: Mapping[str, Card]) -> str:
    """The link that a VLAN is on."""
    return cards[name].below if name in cards else name.rpartition(".")[0]
