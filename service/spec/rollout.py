"""In which portions a revision goes to the hosts: `rollout` of fleet.yaml, and `depends_on` of hosts.

across(section, hosts, described) -> findings      names that no host has, and loops
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.model.rollouts import Policy, Share
from service.model.trees import quoted
from service.spec.findings import Finding, Hit, LintRule, finding
from service.spec.grammar import HostName, duration, duration_s, wrong
from service.spec.host import HostSpec, Shared

KEY = "rollout"
UNKNOWN = LintRule("rollout.unknown-host", "error", "`depends_on` and `rollout: last` name hosts of the fleet")
LOOP = LintRule("rollout.loop", "error", "no host waits for itself, and none for one that comes last")
SHRINKING = LintRule("rollout.shrinking", "error", "no wave is smaller than the one before it")
RULES = (UNKNOWN, LOOP, SHRINKING)
MOST_WAVES = 20
MOST_NAMED = 100
_SHARE = re.compile(r"(?:[1-9][0-9]{0,4})|(?:[1-9][0-9]?|100)%")


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_share(value: str) -> str:
    if not _SHARE.fullmatch(value):
        wrong(f"{quoted(value)} is not a number of hosts", "write a number such as 1, or a percentage such as 10%")
    return value


HostShare = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_check_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 99999},
                {
                    "type": "string",
                    "pattern": f"^({_SHARE.pattern})$",
                    "examples": ["10%"],
                    "$comment": "a number, or a percentage",
                },
            ]
        }
    ),
]


class RolloutSection(BaseModel):
    """In which portions a revision goes to the hosts that it changes."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    waves: Annotated[tuple[HostShare, ...], Field(min_length=1, max_length=MOST_WAVES)] = Field(
        ("1", "10%", "50%", "100%"),
        description="How many of the changed hosts have it after each wave, in all. The rest follows after the last.",
    )
    soak: Annotated[str, *duration(1, 86400)] = Field(
        "2m", description="The pause after the last host of a wave, before the next wave begins."
    )
    max_failures: int = Field(
        1, ge=1, le=10_000, description="After so many hosts on which it failed, the rollout halts."
    )
    max_unavailable: HostShare | None = Field(
        None, description="How many hosts may be in a change at once, or away after it. Without it any number."
    )
    last: Annotated[tuple[HostName, ...], Field(max_length=MOST_NAMED)] = Field(
        (), description="Hosts that come after all others, each alone: those on the service's own way to the fleet."
    )

    def policy(self) -> Policy:
        """The same as a value."""
        most = Share.parse(self.max_unavailable) if self.max_unavailable is not None else None
        waves = tuple(Share.parse(wave) for wave in self.waves)
        return Policy(waves, duration_s(self.soak), self.max_failures, most, self.last)


def lint_section(section: RolloutSection) -> Iterator[Hit]:
    """What is wrong in the section alone. A number and a percentage are not compared: the fleet's size decides."""
    waves = [Share.parse(wave) for wave in section.waves]
    for index in range(1, len(waves)):
        before, wave = waves[index - 1], waves[index]
        if before.is_percent == wave.is_percent and wave.number < before.number:
            what = f"after wave {index + 1} there would be {wave} in all, after the one before it {before}"
            yield SHRINKING.hit((KEY, "waves", index), what, "write how many hosts have the change in all")


def across(
    last: Collection[str], shared: Shared, hosts: Mapping[str, HostSpec], described: Collection[str]
) -> Iterator[Finding]:
    """The names of hosts. `described` are those that have a file, also one with errors."""
    for index, name in enumerate(last):
        if name not in described:
            hit = UNKNOWN.hit((KEY, "last", index), f"no file of hosts/ describes `{name}`", "correct it, or remove it")
            yield finding(shared.file, shared.position(hit.path), hit)
    for spec in hosts.values():
        for index, name in enumerate(spec.depends_on):
            path = ("depends_on", index)
            if name not in described:
                yield spec.finding(
                    UNKNOWN.hit(path, f"no file of hosts/ describes `{name}`", "correct it, or remove it")
                )
            elif name in last and spec.name not in last:
                what = f"`rollout` of fleet.yaml lets {name} come last, so {spec.name} cannot wait for it"
                yield spec.finding(LOOP.hit(path, what, "remove one of the two"))
    yield from _loops(hosts)


def _loops(hosts: Mapping[str, HostSpec]) -> Iterator[Finding]:
    """Hosts that wait for each other: each loop once, at its first host by name."""
    ended: set[str] = set()
    for start in sorted(hosts):
        way: list[tuple[str, Iterator[str]]] = [(start, iter(hosts[start].depends_on))] if start not in ended else []
        on_way = {start}
        while way:
            name, rest = way[-1]
            needed = next((one for one in rest if one in hosts and one not in ended), None)
            if needed is None:
                ended.add(name)
                on_way.discard(name)
                way.pop()
            elif needed in on_way:
                what = (
                    f"{name} waits for {needed}, which waits for {name}"
                    if needed != name
                    else f"{name} waits for itself"
                )
                if needed != name and hosts[needed].depends_on and name not in hosts[needed].depends_on:
                    what = f"{name} waits for {needed}, which waits for {name} through other hosts"
                index = hosts[name].depends_on.index(needed)
                yield hosts[name].finding(LOOP.hit(("depends_on", index), what, "remove one of the names"))
            else:
                on_way.add(needed)
                way.append((needed, iter(hosts[needed].depends_on)))


def goes_last(policy: Policy, hosts: Mapping[str, HostSpec]) -> frozenset[str]:
    """The hosts that come after all others, each alone: those that fleet.yaml names, and those through which the
    service reaches others. One that another host depends on comes before that."""
    ways = {spec.connection.jump_host for spec in hosts.values()} - {""}
    needed = {name for spec in hosts.values() for name in spec.depends_on}
    return frozenset(policy.last) | ((ways & hosts.keys()) - needed)


__all__ = ["KEY", "RULES", "RolloutSection", "across", "goes_last", "lint_section"]
