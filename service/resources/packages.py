"""Debian packages: installed before the switch is armed, removed by a step of what is confirmed.

The host says first what apt would do (`HostObserved.weighed`). All that would come or go is in the plan. What would go
or change and is not named is refused, and so is whatever the connection, the switch or the boot depend on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from service.hostside.vital import package_objections
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, PackageChange, Refusal
from service.model.states import Json, Seen, Unknown
from service.model.weighed import PackageMove, Way, Weighed
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference

RISK = "packages are removed. Without a network a rollback restores them only from a copy on the host"
HINTS = {
    "beyond-named": "name every package that may go in `packages`, or do it by hand on the host",
    "vital": "remove the line from `packages`, or do it by hand on the console",
    "no-way": "look for its name with `apt-cache search` on the host",
}


@dataclass(frozen=True, slots=True)
class Package:
    """A package that should be there, or not."""

    kind: str = field(compare=False)
    name: str
    state: Literal["present", "absent"]

    @property
    def id(self) -> str:
        return f"package:{self.name}"

    def wishes(self) -> Wishes:
        return {(self.name, "package", "live"): self.wanted()}

    def wanted(self) -> Json:
        """`present`, or None for absent."""
        return "present" if self.state == "present" else None

    def watch(self) -> Watch:
        return Watch(packages=frozenset({self.name}), weighed=frozenset({(self.id, self.state)}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        seen = observed.packages.get(self.name, Unknown(f"package {self.name} was not looked at"))
        if isinstance(seen, Unknown):
            yield from field_difference(self, self.name, "package", "live", self.wanted(), seen)
            return
        have: Json = "present" if isinstance(seen, Seen) else None
        yield from field_difference(self, self.name, "package", "live", self.wanted(), Seen(have))

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Packages that the spec named `present`: who else needs them by now is not known."""
        for name, want in desired.no_longer(base, "package", "live").items():
            if want == "present" and isinstance(observed.packages.get(name), Seen):
                yield Left(
                    f"package:{name}",
                    f"package {name} stays installed",
                    f"if nothing needs it, write `{name}: absent`",
                )

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        different = [p for p, found in compared if found and not any(d.unknown for d in found)]
        if not different:
            return Contribution()
        if isinstance(observed.weighed, Unknown) or not isinstance(observed.weighed, Seen):
            why = observed.weighed.why if isinstance(observed.weighed, Unknown) else "the host has not been queried"
            return Contribution(refusals=(not_weighed([p.name for p in different], why),))
        weighed = observed.weighed.value
        install = [p.name for p in different if p.state == "present"]
        remove = [p.name for p in different if p.state == "absent"]
        packages, refusals, notes = [], [*kept_tables(remove, observed)], []
        for way, names in (("install", install), ("remove", remove)):
            moves, refused = judged(way, names, weighed)  # type: ignore[arg-type]  # one of the two ways
            refusals += refused
            packages += [change(move, names) for move in moves]
            notes += list(brought(way, moves, names))
        return Contribution(
            steps=tuple((Phase.PACKAGE_DOWN, removal(move, observed)) for move in packages if move.action == "remove"),
            packages=tuple(packages),
            refusals=tuple(refusals),
            notes=tuple(notes),
        )


def judged(way: Way, names: Sequence[str], weighed: Weighed) -> tuple[tuple[PackageMove, ...], list[Refusal]]:
    """What would come or go for these names, and what speaks against it."""
    if not names:
        return (), []
    if way == "install" and (missing := [name for name in weighed.unavailable if name in names]):
        what = f"apt on the host knows no package {', '.join(missing)}"
        return (), [Refusal("no-way", what, HINTS["no-way"])]
    moves = weighed.moves(way)
    if not isinstance(moves, Seen):
        return (), [not_weighed(names, moves.why if isinstance(moves, Unknown) else "the host did not say")]
    listed = [[move.name, move.version, move.old] for move in moves.value]
    said = package_objections(way, list(names), listed, {n: list(f) for n, f in weighed.flags.items()})
    return moves.value, [Refusal(rule, sentence, HINTS[rule]) for rule, sentence in said]  # type: ignore[arg-type]


def not_weighed(names: Sequence[str], why: str) -> Refusal:
    """A refusal where nobody can say what apt would do."""
    what = f"nobody knows what apt would do with {', '.join(names)}: {why}"
    return Refusal(
        "unknown", what, "repair apt on the host. passerelle installs and removes nothing without a simulation"
    )


def kept_tables(remove: Sequence[str], observed: HostObserved) -> Iterator[Refusal]:
    """nftables stays where a table of ours is."""
    ours = sorted(fact for fact, seen in observed.facts.items() if fact.startswith("nft:") and isinstance(seen, Seen))
    if "nftables" in remove and ours:
        what = f"nftables would be removed: the host has the table {ours[0].removeprefix('nft:')}, which it loads"
        yield Refusal("vital", what, HINTS["vital"])


def change(move: PackageMove, names: Sequence[str]) -> PackageChange:
    """A move of apt as the plan has it."""
    action: Literal["install", "remove"] = "install" if move.version else "remove"
    return PackageChange(move.name, action, move.version or move.old, named=move.name in names)


def brought(way: str, moves: Sequence[PackageMove], names: Sequence[str]) -> Iterator[str]:
    """What comes along, in words."""
    others = [move.name for move in moves if move.version and move.name not in names]
    if way == "install" and others:
        yield f"{', '.join(names)} brings along {', '.join(others)}"


def removal(package: PackageChange, observed: HostObserved) -> Step:
    """The step that removes one."""
    seen = observed.packages.get(package.name)
    version = seen.value if isinstance(seen, Seen) else package.version
    why = f"packages: {package.name} is wanted absent"
    return Step(f"package:{package.name}", {"version": version}, None, why, risk=RISK)
