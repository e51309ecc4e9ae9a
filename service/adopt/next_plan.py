"""What the first plan after adopting would change: of the spec that was written, on the host that was read.

seen_in(material) -> HostObserved              the host as far as it is known; a tree of files shows no kernel
watch_of(host, text, shared) -> Watch           what has to be looked at for it
first_plan(host, text, shared, observed) -> FirstPlan
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.adopt.alone import read_alone
from service.adopt.material import WATCH, Material
from service.formats.interfaces import CONF_FILE
from service.formats.sysctl_files import MAIN_LINK
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.changes import Difference
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.observe.at_boot import IFUPDOWN2
from service.resources.desired import LastApplied
from service.resources.ending import with_ends
from service.resources.resource import Compared, Resource, compare
from service.spec.host import HostSpec


def seen_in(material: Material) -> HostObserved:
    """The observation of a running host; of a tree what its files say, and of all else that it is not known."""
    if material.live is not None:
        return material.live
    texts: dict[str, Observed[bytes]] = {path: Seen(data) for path, data in material.files.items()}
    texts |= {path: Unknown(why) for path, why in material.unread.items()}
    for path in WATCH.files:
        if not path.endswith("/*") and path != CONF_FILE:  # a tree without it is a part of a host
            texts.setdefault(path, Absent())
    texts.setdefault(MAIN_LINK, Unknown("a tree may lack links"))  # without it Debian 13 does not read /etc/sysctl.conf
    absent = {f"file:{path}": Absent() for path, text in texts.items() if isinstance(text, Absent)}
    folders: dict[str, Observed[Json]] = {f"file:{p[:-1]}": Absent() for p in WATCH.files if p.endswith("/*")}
    facts: dict[str, Observed[Json]] = {
        f"unit:{unit}": Seen({"enabled": state}) for unit, state in material.units.items()
    }
    facts |= absent
    for path, data in material.files.items():
        facts[f"file:{path}"] = Seen({"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)})
    packages: dict[str, Observed[str]] = {
        name: Seen("installed") if is_there else Absent() for name, is_there in material.packages.items()
    }
    if material.ifupdown2:
        packages[IFUPDOWN2] = Seen(material.ifupdown2)
    return HostObserved(
        host="", observed_at=datetime(1970, 1, 1, tzinfo=UTC), facts=facts, texts=texts, packages=packages,
        unlisted=folders,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FirstPlan:
    """What the first plan would have to do: differences that are known, and why it would be refused."""

    changes: tuple[Difference, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def watch_of(host: str, text: str, shared: Mapping[str, str]) -> Watch:
    """What a plan of a spec looks at on its host; nothing for a text that makes no spec."""
    spec = _spec(host, text, shared)
    return desire(spec, KINDS).watch if spec is not None else Watch()


def _spec(host: str, text: str, shared: Mapping[str, str]) -> HostSpec | None:
    return read_alone(host, text, shared).hosts.get(host)


def first_plan(host: str, text: str, shared: Mapping[str, str], observed: HostObserved) -> FirstPlan:
    """Of a spec that is the only one with these files. What is not known of a tree is not announced."""
    spec = _spec(host, text, shared)
    if spec is None:
        return FirstPlan()
    desired = with_ends(desire(spec, KINDS), LastApplied())
    groups: dict[type[Resource], list[Compared[Resource]]] = {}
    for one in compare(desired.resources, observed):
        groups.setdefault(type(one[0]), []).append(one)
    found = [d for group in groups.values() for _, different in group for d in different if not d.unknown]
    refusals = [
        refusal
        for resource_type, group in groups.items()
        if any(d for _, different in group for d in different if not d.unknown)
        for refusal in resource_type.steps(group, observed).refusals
    ]
    return FirstPlan(tuple({d.key: d for d in found}.values()), tuple(dict.fromkeys(refusals)))
