"""An nft table of our own: what the kernel has now, rule by rule, and the file that the boot loads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from service.firewall.nft.table import Table
from service.firewall.nft.words import chain_words, rule_words, thing_words
from service.hostside.canonical import nft_normal
from service.model.changes import Difference, Where
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import digest_of
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.files import OwnFile
from service.resources.nat import LOADER, LOADER_FILE, loader
from service.resources.resource import Compared, Contribution, Phase, Resource, Wishes, field_difference, part_steps

MAX_SHOWN = 200
"""Characters of a rule in a difference. The file of the table, which is in the plan, too, has all of it."""


@dataclass(frozen=True)
class OwnTable:
    """A table, its file and its loader. `table` None = wanted absent; nobody else's table is looked at.

    `name` is nft's, as in `inet passerelle`; `file` the path that the boot loads; `phase` when the kernel's side
    changes. The resources that are tables say how they come by these.
    """

    kind: str = field(compare=False)

    @property
    def name(self) -> str:
        """As nft has it: family and name."""
        raise NotImplementedError

    @property
    def file(self) -> str:
        """The file that the boot loads."""
        raise NotImplementedError

    @property
    def phase(self) -> int:
        """When the kernel's table changes."""
        raise NotImplementedError

    @property
    def table(self) -> Table | None:
        """The table as nft takes it and lists it; None = wanted absent."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The table's fact."""
        return f"nft:{self.name}"

    @cached_property
    def normal(self) -> list[Json]:
        """The normal form of what the kernel will list."""
        return [*nft_normal(_bodies(self.table))] if self.table is not None else []

    @cached_property
    def words(self) -> Mapping[str, list[Json]]:
        """The rules of each chain in the words in which the kernel will list them: a rule that was wanted once always
        reads the same."""
        wanted = _Live.of({"normal": self.normal})
        return {chain.name: wanted.words(chain.name) for chain in (self.table.chains if self.table is not None else ())}

    def wishes(self) -> Wishes:
        """As `Resource` says."""
        wishes: dict[tuple[str, str, Where], Json] = {}
        if self.table is not None:
            wishes[(self.name, "table", "live")] = "present"
            for chain in self.table.chains:
                wishes[(f"{self.name} {chain.name}", "hook", "live")] = _head(chain.head())
                wishes[(f"{self.name} {chain.name}", "rules", "live")] = self.words[chain.name]
        for part in self.parts():
            wishes |= part.wishes()
        return wishes

    def watch(self) -> Watch:
        """As `Resource` says."""
        return Watch(files=frozenset({self.file, LOADER_FILE}), units=frozenset({LOADER}))

    def parts(self) -> list[Resource]:
        """Our own file and its loader; without a table the file goes, the loader is the NAT's to remove."""
        if self.table is None:
            return [OwnFile(self.kind, self.file, None, "nft", phase=self.phase, on_confirm=True)]
        file = OwnFile(
            self.kind, self.file, self.table.file, "nft",
            phase=Phase.ON_CONFIRM, on_confirm=True, cause="loaded at boot",
        )  # fmt: skip
        return [file, *loader(self.kind)]

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        """As `Resource` says."""
        yield from self.live(observed.fact(self.id))
        for part in self.parts():
            yield from part.differences(observed)

    def live(self, seen: Observed[Json]) -> Iterator[Difference]:
        """Where the kernel's table is not as wanted, chain by chain."""
        want: Json = "present" if self.table is not None else None
        have: Observed[Json] = seen if isinstance(seen, Unknown | Absent) else Seen("present")
        different = list(field_difference(self, self.name, "table", "live", want, have))
        if different or self.table is None or not isinstance(seen, Seen):
            yield from different
            return
        live = _Live.of(seen.value)
        for chain in self.table.chains:
            name = f"{self.name} {chain.name}"
            yield from field_difference(self, name, "hook", "live", _head(chain.head()), live.head(chain.name))
            yield from field_difference(
                self, name, "rules", "live", self.words[chain.name], Seen(live.words(chain.name))
            )
        known = {chain.name for chain in self.table.chains}
        for extra in sorted(live.heads.keys() - known):
            yield from field_difference(self, f"{self.name} {extra}", "chain", "live", None, Seen("present"))
        if live.others:
            others: Json = live.others
            yield from field_difference(self, self.name, "others", "live", None, Seen(others))

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        """As `Resource` says."""
        total = Contribution()
        for own, different in compared:
            if any(d.unknown for d in different):
                continue
            parts = part_steps(own.parts(), observed)
            live = tuple(own.live_steps([d for d in different if own.is_about(d)], observed))
            total = Contribution(
                steps=(*total.steps, *live, *(step for part in parts for step in part.steps)),
                blobs={**total.blobs, **{name: blob for part in parts for name, blob in part.blobs.items()}},
                checks=(
                    *total.checks,
                    *((("nft", own.name),) if live and own.table is not None else ()),
                    *(check for part in parts for check in part.checks),
                ),
            )
        return total

    def is_about(self, difference: Difference) -> bool:
        """Whether a difference is one of the kernel's table, and not of the file or the loader."""
        return difference.where == "live" and f"{difference.resource} ".startswith(f"{self.name} ")

    def live_steps(self, different: Sequence[Difference], observed: HostObserved) -> Iterator[tuple[int, Step]]:
        """The kernel's side: the table as a whole, in one transaction. `different` is where it is not as wanted."""
        if not different:
            return
        seen = observed.fact(self.id)
        value = seen.value if isinstance(seen, Seen) else None
        before: Json = {"normal": value["normal"]} if isinstance(value, dict) else None
        after: Json = None
        if self.table is not None:
            after = {"load": self.table.load, "normal": self.normal}
        why = f"{self.kind}: {', '.join(f'{d.resource} {d.field}' for d in different[:6])}"
        yield self.phase, Step(self.id, before, after, why)


@dataclass(frozen=True, slots=True)
class _Live:
    """The kernel's table in its normal form, taken apart. `others` are objects that ours never has."""

    heads: Mapping[str, Mapping[str, Json]]
    rules: Mapping[str, list[Json]]
    others: list[Json]

    @classmethod
    def of(cls, value: Json) -> "_Live":
        heads: dict[str, Mapping[str, Json]] = {}
        rules: dict[str, list[Json]] = {}
        others: list[Json] = []
        listed = value.get("normal") if isinstance(value, dict) else None
        for item in listed if isinstance(listed, list) else []:
            kind, body = next(iter(item.items())) if isinstance(item, dict) and item else ("", None)
            if not isinstance(body, dict):
                continue
            if kind == "chain":
                heads[str(body.get("name"))] = body
            elif kind == "rule":
                rules.setdefault(str(body.get("chain")), []).append(body)
            elif kind != "table" or body.get("flags"):  # dormant: none of its rules holds
                others.append(_cut(thing_words(kind, body)))
        return cls(heads, rules, others)

    def head(self, chain: str) -> Observed[Json]:
        """What the kernel has of a chain next to its rules."""
        return Seen(_head(self.heads[chain])) if chain in self.heads else Absent()

    def words(self, chain: str) -> list[Json]:
        """The kernel's rules, in the words of the wanted ones."""
        return [_cut(rule_words(body)) for body in self.rules.get(chain, [])]


def _head(body: Mapping[str, Json]) -> str:
    return chain_words(body) or "none"


def _cut(text: str) -> str:
    """A long text cut, with its digest: two that differ behind the cut are not the same."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… {digest_of(text)[:19]}"


def _bodies(table: Table) -> list[dict[str, Json]]:
    return [item for item in table.normal if isinstance(item, dict)]
