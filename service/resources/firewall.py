"""The firewall's own nft table: what the kernel has now, rule by rule, and the file that the boot loads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from service.firewall.host_firewall import HostFirewall
from service.firewall.nft_table import FAMILY, TABLE, NftChain, Table, render_table
from service.hostside.passerelle_host import nft_normal
from service.model.changes import Difference, Where
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import digest_of
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.resources.files import OwnFile
from service.resources.nat import LOADER, LOADER_FILE, loader
from service.resources.resource import Phase, Resource, Steps, Wishes, field_difference

NAME = f"{FAMILY} {TABLE}"
TABLE_FACT = f"nft:{NAME}"
FIREWALL_FILE = "/etc/passerelle/nft.d/firewall.nft"
PHASE = Phase.NAT + 5
"""One table changes as a whole: after the network that it speaks of, before the daemons."""

MAX_SHOWN = 200


@dataclass(frozen=True)
class FirewallTable:
    """The table, its file and its loader. `firewall` None = wanted absent; nobody else's table is looked at."""

    kind: str
    firewall: HostFirewall | None

    @property
    def id(self) -> str:
        return TABLE_FACT

    @cached_property
    def table(self) -> Table | None:
        """The table as nft takes it and lists it."""
        return render_table(self.firewall) if self.firewall is not None else None

    def derived(self) -> Iterator[tuple[str, str]]:
        """(thing, cause) of what nobody wrote."""
        if self.firewall is not None:
            yield from self.firewall.causes()

    def wishes(self) -> Wishes:
        wishes: dict[tuple[str, str, Where], Json] = {}
        if self.table is not None:
            wishes[(NAME, "table", "live")] = "present"
            for chain in self.table.chains:
                wishes[(f"{NAME} {chain.name}", "hook", "live")] = chain.head()
                wishes[(f"{NAME} {chain.name}", "rules", "live")] = _words(chain)
        for part in self.parts():
            wishes |= part.wishes()
        return wishes

    def watch(self) -> Watch:
        return Watch(files=frozenset({FIREWALL_FILE, LOADER_FILE}), units=frozenset({LOADER}))

    def parts(self) -> list[Resource]:
        """Our own file and its loader; without a firewall the file goes, the loader is the NAT's to remove."""
        if self.table is None:
            return [OwnFile(self.kind, FIREWALL_FILE, None, "nft", phase=PHASE, on_confirm=True)]
        file = OwnFile(
            self.kind,
            FIREWALL_FILE,
            self.table.file,
            "nft",
            phase=Phase.ON_CONFIRM,
            on_confirm=True,
            cause="loaded at boot",
        )
        return [file, *loader(self.kind)]

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        yield from self.live(observed.fact(TABLE_FACT))
        for part in self.parts():
            yield from part.differences(observed)

    def live(self, seen: Observed[Json]) -> Iterator[Difference]:
        """Where the kernel's table is not as wanted, chain by chain."""
        want: Json = "present" if self.table is not None else None
        have: Observed[Json] = seen if isinstance(seen, Unknown | Absent) else Seen("present")
        different = list(field_difference(self, NAME, "table", "live", want, have))
        if different or self.table is None or not isinstance(seen, Seen):
            yield from different
            return
        live = _Live.of(seen.value)
        for chain in self.table.chains:
            name = f"{NAME} {chain.name}"
            head = live.heads.get(chain.name)
            yield from field_difference(self, name, "hook", "live", chain.head(), Seen(head))
            yield from field_difference(self, name, "rules", "live", _words(chain), Seen(live.words(chain)))
        known = {chain.name for chain in self.table.chains}
        for extra in sorted(live.heads.keys() - known):
            yield from field_difference(self, f"{NAME} {extra}", "chain", "live", None, Seen("present"))
        if live.others:
            others: Json = live.others
            yield from field_difference(self, NAME, "others", "live", None, Seen(others))

    @classmethod
    def steps(cls, wanted: Sequence[Self], observed: HostObserved) -> Steps:
        total = Steps()
        for firewall in wanted:
            if any(d.unknown for d in firewall.differences(observed)):
                continue
            parts = [type(part).steps([part], observed) for part in firewall.parts()]
            live = tuple(firewall.live_steps(observed))
            total = Steps(
                steps=(*live, *(step for part in parts for step in part.steps)),
                blobs={name: blob for part in parts for name, blob in part.blobs.items()},
                checks=(
                    *((("nft", NAME),) if live and firewall.table is not None else ()),
                    *(check for part in parts for check in part.checks),
                ),
            )
        return total

    def live_steps(self, observed: HostObserved) -> Iterator[tuple[int, Step]]:
        """The kernel's side: the table as a whole, in one transaction."""
        seen = observed.fact(TABLE_FACT)
        different = list(self.live(seen))
        if not different:
            return
        value = seen.value if isinstance(seen, Seen) else None
        before: Json = {"normal": value["normal"]} if isinstance(value, dict) else None
        after: Json = None
        if self.table is not None:
            normal: list[Json] = [*nft_normal(_bodies(self.table))]
            after = {"load": self.table.load, "normal": normal}
        why = f"{self.kind}: {', '.join(f'{d.resource} {d.field}' for d in different[:6])}"
        yield PHASE, Step(TABLE_FACT, before, after, why)


@dataclass(frozen=True, slots=True)
class _Live:
    """The kernel's table in its normal form, taken apart. `others` are objects that ours never has."""

    heads: Mapping[str, Json]
    rules: Mapping[str, list[Json]]
    others: list[Json]

    @classmethod
    def of(cls, value: Json) -> "_Live":
        heads: dict[str, Json] = {}
        rules: dict[str, list[Json]] = {}
        others: list[Json] = []
        listed = value.get("normal") if isinstance(value, dict) else None
        for item in listed if isinstance(listed, list) else []:
            kind, body = next(iter(item.items())) if isinstance(item, dict) else ("", None)
            if not isinstance(body, dict):
                continue
            if kind == "chain":
                heads[str(body.get("name"))] = {k: v for k, v in body.items() if k not in ("family", "table", "name")}
            elif kind == "rule":
                rules.setdefault(str(body.get("chain")), []).append(body)
            elif kind != "table":
                others.append(f"{kind} {body.get('name')}"[:MAX_SHOWN])
        return cls(heads, rules, others)

    def words(self, chain: NftChain) -> list[Json]:
        """The kernel's rules in the words of the wanted ones; others as nft has them."""
        known = dict(zip(map(_key, _rules_of(chain)), _words(chain), strict=True))
        return [known.get(_key(body), f"nft: {_shown(body)}") for body in self.rules.get(chain.name, [])]


def _words(chain: NftChain) -> list[Json]:
    """Every rule as nft reads it; a long one cut, with its digest."""
    return [
        text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… {digest_of(text)[:19]}"
        for text in (line.text for line in chain.lines)
    ]


def _key(body: Json) -> str:
    kept = {k: v for k, v in body.items() if k not in ("family", "table", "chain")} if isinstance(body, dict) else body
    return digest_of(kept)


def _shown(body: Json) -> str:
    return str(body.get("expr") if isinstance(body, dict) else body)[:MAX_SHOWN]


def _rules_of(chain: NftChain) -> list[Json]:
    objects: list[dict[str, Json]] = [{"rule": {"expr": line.expr}} for line in chain.lines]
    return [item["rule"] for item in nft_normal(objects)]


def _bodies(table: Table) -> list[dict[str, Json]]:
    return [item for item in table.normal if isinstance(item, dict)]
