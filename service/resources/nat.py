"""Source NAT: what is masqueraded now and after a boot, by whatever makes it; ours in a table of our own."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from service.firewall.nft.words import table_words
from service.formats import nat_rules
from service.model.changes import Difference, Where
from service.model.facts import Step
from service.model.observed import HostObserved, MasqueradeInForce, Watch
from service.model.plans import Refusal
from service.model.states import Absent, Json, Seen, Unknown
from service.observe.derived import derived
from service.resources.desired import Desired, LastApplied
from service.resources.files import OwnFile
from service.resources.guest_names import take_over_hint
from service.resources.nat_makers import NAT_WATCH, Maker, makers, of_rule, without_makers
from service.resources.resource import (
    Compared,
    Contribution,
    Phase,
    Resource,
    Wishes,
    field_difference,
    part_steps,
    value_or_none,
)
from service.resources.units import Unit

TABLE = "inet passerelle_nat"
TABLE_FACT = f"nft:{TABLE}"
NAT_FILE = "/etc/passerelle/nft.d/nat.nft"
LOADER = "passerelle-nft.service"
LOADER_FILE = f"/etc/systemd/system/{LOADER}"
LOADER_TEXT = b"""\
# written by passerelle: loads its own nft tables before the network is up
[Unit]
Description=passerelle: own nft tables
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target networking.service
Wants=network-pre.target
ConditionDirectoryNotEmpty=/etc/passerelle/nft.d

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /etc/passerelle/nft.d/*.nft | /usr/sbin/nft -f -'

[Install]
WantedBy=sysinit.target
"""

Rule = tuple[str, str]
"""(source network, outgoing interface)"""


@dataclass(frozen=True, slots=True)
class SourceNat:
    """All source NAT wanted on a host. Without `rules` our own table, file and loader go; no one else's is touched.

    A rule that a file of somebody else makes at boot is met there. `take_over`: our own table makes all of them, and
    the lines in `stanzas` of the spec go. `former` were wanted at the last apply and are not now.
    `loader_shared`: another table of ours is loaded by the same unit, which stays.
    """

    kind: str = field(compare=False)
    rules: tuple[Rule, ...]
    loader_shared: bool = False
    take_over: bool = False
    former: tuple[Rule, ...] = ()
    stanzas: tuple[str, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        return "nat:masquerade"

    def wishes(self) -> Wishes:
        wishes: dict[tuple[str, str, Where], Json] = {}
        for rule in self.rules:
            wishes |= {(label(rule), "masquerade", "live"): 1, (label(rule), "masquerade", "boot"): 1}
        for part in self.parts(self.rules):
            wishes |= part.wishes()
        return wishes

    def watch(self) -> Watch:
        return Watch(files=frozenset({NAT_FILE, LOADER_FILE}), units=frozenset({LOADER})) | NAT_WATCH

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        for rule in self.rules:
            yield from field_difference(self, label(rule), "masquerade", "live", 1, live_count(rule, observed))
            yield from field_difference(self, label(rule), "masquerade", "boot", 1, boot_count(rule, observed))
        for maker in self.left_makers(observed):
            where: Json = maker.where
            yield from field_difference(self, label(maker.rule), "masquerade", "boot", None, Seen(where))
        own = self.own_rules(observed)
        if isinstance(own, Unknown):
            return
        yield from self.table_differences(own, observed)
        for part in self.parts(own):
            yield from part.differences(observed)

    @staticmethod
    def former_rules(nats: Sequence["SourceNat"], base: LastApplied) -> tuple[Rule, ...]:
        """What was applied before and is not wanted now."""
        wanted = {label(rule) for nat in nats for rule in nat.rules}
        return tuple(rule_of(name) for name in sorted(base.of_field("masquerade", "live")) if name not in wanted)

    def remembering(self, desired: Desired, base: LastApplied) -> Self:
        """Rules of the last apply: where a line elsewhere still makes one, that is reported, or taken over."""
        rules = self.former_rules(desired.of_type(SourceNat), base)
        return replace(self, former=rules) if rules else self

    def left_makers(self, observed: HostObserved) -> list[Maker]:
        """Places that still make a rule which the spec does not name any more."""
        made = makers(observed)
        return [] if isinstance(made, Unknown) else [maker for maker in made if maker.rule in self.former]

    def table_differences(self, own: Sequence[Rule], observed: HostObserved) -> Iterator[Difference]:
        """Our own table: what is in it beyond the wanted rules, or in another form than we load it."""
        seen = observed.fact(TABLE_FACT)
        if isinstance(seen, Absent):
            return
        if isinstance(seen, Unknown):
            yield from field_difference(self, TABLE, "table", "live", None, seen)
            return
        want: Json = nat_rules.render_nat_table(own)[1] if own else None
        have = seen.value.get("normal") if isinstance(seen.value, dict) else None
        missing = any(live_count(rule, observed) != Seen(1) for rule in own)
        if have != want and not missing:
            wanted, found_now = (None if table is None else table_words(table) for table in (want, have))
            yield from field_difference(self, TABLE, "table", "live", wanted, Seen(found_now))

    def own_rules(self, observed: HostObserved) -> tuple[Rule, ...] | Unknown:
        """The rules that our own table has to make: all but those that a file of somebody else makes at boot."""
        made = makers(observed)
        if isinstance(made, Unknown):
            return made
        elsewhere = set() if self.take_over else {maker.rule for maker in made}
        return tuple(rule for rule in self.rules if rule not in elsewhere)

    def met(self, observed: HostObserved) -> Iterator[tuple[str, str]]:
        """(rule, where) of those that somebody else's file makes at boot."""
        made = makers(observed)
        if not isinstance(made, Unknown):
            yield from ((f"nat {label(maker.rule)}", maker.where) for maker in made if maker.rule in self.rules)

    def parts(self, own: Sequence[Rule]) -> list[Resource]:
        """Our own file and its loader, or their absence."""
        if not own:
            gone: list[Resource] = [OwnFile(self.kind, NAT_FILE, None, "nft", phase=Phase.NAT, on_confirm=True)]
            if not self.loader_shared:
                gone.append(Unit(self.kind, LOADER, "absent", boot_only=True))
                gone.append(OwnFile(self.kind, LOADER_FILE, None, "unit", phase=Phase.UNIT_UP))
            return gone
        text = nat_rules.render_nat_file(own)
        return [
            OwnFile(self.kind, NAT_FILE, text, "nft", phase=Phase.ON_CONFIRM, on_confirm=True, cause="loaded at boot"),
            *loader(self.kind),
        ]

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        total = Contribution()
        for nat, different in compared:
            own = nat.own_rules(observed)
            if isinstance(own, Unknown) or any(d.unknown for d in different):
                continue
            parts = part_steps(nat.parts(own), observed)
            made = makers(observed)
            others = () if isinstance(made, Unknown) else tuple(m for m in made if m.rule in nat.rules)
            live = list(nat.live_steps(own, others, observed))
            left = nat.left_makers(observed)
            moved = without_makers((*others, *left), observed, f"{nat.kind}: taken over into {NAT_FILE}")
            if stuck := tuple(nat.stuck((*others, *left))):
                moved = Contribution(refusals=stuck)
            if not nat.take_over:
                moved = Contribution(refusals=(*nat.not_loaded(others, observed), *nat.not_gone(left, observed)))
            loads = any(step.fact == TABLE_FACT and step.after is not None for _, step in live)
            total = Contribution(
                steps=(*live, *moved.steps, *(step for part in parts for step in part.steps)),
                blobs={**moved.blobs, **{name: blob for part in parts for name, blob in part.blobs.items()}},
                checks=(*([("nft", TABLE)] if loads else []), *(check for part in parts for check in part.checks)),
                refusals=moved.refusals,
                notes=tuple(nat.left_now(observed)) if live and nat.take_over else (),
            )
        return total

    def stuck(self, made: Sequence[Maker]) -> Iterator[Refusal]:
        """Shell lines that no stanza of the spec can let go: taken over, their rules would be there twice."""
        for maker in made if self.take_over else ():
            what = f"{maker.where} makes {label(maker.rule)}"
            if maker.sort == "line" and not maker.alone:
                hint = "write that rule on a line of its own first, or remove it there"
                yield Refusal("not-ours", f"{what} and more, so the line is not taken over", hint=hint)
            elif maker.sort == "line" and maker.interface not in self.stanzas:
                what += f" in the stanza of {maker.interface}, which is not in the spec, so the line is not taken over"
                yield Refusal("not-ours", what, hint="remove the line there. Then passerelle makes the rule itself")

    def not_loaded(self, others: Sequence[Maker], observed: HostObserved) -> Iterator[Refusal]:
        """Rules that an nft script makes at boot and that are not there now: nothing of ours can load them."""
        for maker in others:
            if maker.sort == "script" and live_count(maker.rule, observed) == Absent():
                yield Refusal(
                    "not-ours",
                    f"{maker.where} makes {label(maker.rule)} at boot, but it is not there now",
                    hint=take_over_hint("nat", observed.host, maker.path),
                )

    def not_gone(self, left: Sequence[Maker], observed: HostObserved) -> Iterator[Refusal]:
        """Rules that are wanted no more and that somebody else's file still makes."""
        for maker in left:
            yield Refusal(
                "not-ours",
                f"{maker.where} makes {label(maker.rule)}, which the spec does not name any more",
                hint=take_over_hint("nat", observed.host, maker.path),
            )

    def left_now(self, observed: HostObserved) -> Iterator[str]:
        """Rules in tables of somebody else, which stay until these are loaded again."""
        for rule in self.rules:
            for made in found(rule, observed):
                if made.table not in (f"nft {TABLE}", "iptables nat"):
                    yield f"{label(rule)} is made by {made.table}, too, until that is reloaded or the host boots"

    def live_steps(
        self, own: Sequence[Rule], others: Sequence[Maker], observed: HostObserved
    ) -> Iterator[tuple[int, Step]]:
        """The kernel's side: our table as a whole, and single iptables rules where the interfaces file makes them."""
        seen = observed.fact(TABLE_FACT)
        missing = [
            rule for rule in own if total(rule, observed, ours=True) == 0 and total(rule, observed, ours=False) == 0
        ]
        reload = bool(missing) or any(d.resource == TABLE for d in self.table_differences(own, observed))
        before: Json = (
            {"normal": seen.value["normal"]} if isinstance(seen, Seen) and isinstance(seen.value, dict) else None
        )
        if reload:
            after: Json = None
            if own:
                load, normal = nat_rules.render_nat_table(own)
                after = {"load": load, "normal": normal}
            why = f"{self.kind}: {', '.join(label(rule) for rule in missing) or 'own table'}"
            yield Phase.NAT, Step(TABLE_FACT, before, after, why)
        ours_loaded = bool(own) and (reload or before is not None)
        for rule in (*self.rules, *(self.former if self.take_over else ())):
            count = iptables_count(rule, observed)
            target = 0 if rule in self.former else min(count, 0 if ours_loaded else 1)
            if rule not in own and rule in self.rules:  # whoever else makes it, one is enough
                is_made = any(m.table not in (f"nft {TABLE}", "iptables nat") for m in found(rule, observed))
                by_line = any(maker.sort == "line" for maker in of_rule(rule, others))
                target = 0 if is_made else max(min(count, 1), int(by_line))
            if count != target:
                why = f"{self.kind}: {label(rule)} is made {count} times by iptables"
                yield Phase.NAT + 1, Step(f"masquerade:{label(rule)}", count, target, why)


def loader(kind: str) -> tuple[Resource, ...]:
    """The unit that loads the files of all own nft tables, before the network is up."""
    cause = "loads the own nft tables at boot"
    return (
        OwnFile(kind, LOADER_FILE, LOADER_TEXT, "unit", cause=cause),
        Unit(kind, LOADER, "enabled", cause=cause, boot_only=True),
    )


def rule_of(name: str) -> Rule:
    """The rule of a label."""
    source, _, out = name.partition(">")
    return source, out


def label(rule: Rule) -> str:
    """`10.10.10.0/24>enp1s0`, the name of a masquerade fact."""
    return f"{rule[0]}>{rule[1]}"


def live_count(rule: Rule, observed: HostObserved) -> "Seen[Json] | Absent | Unknown":
    """How often the rule is made now, by anyone. What ours makes, too, is not counted in tables that are not ours."""
    if isinstance(observed.masquerades, Unknown):
        return observed.masquerades
    ours = total(rule, observed, ours=True)
    count = ours + (iptables_count(rule, observed) if ours else total(rule, observed, ours=False))
    return Seen(count) if count else Absent()


def boot_count(rule: Rule, observed: HostObserved) -> "Seen[Json] | Absent | Unknown":
    """How often the next boot would make it: our own file, or files of somebody else."""
    made = makers(observed)
    if isinstance(made, Unknown):
        return made
    text = observed.text(NAT_FILE)
    if isinstance(text, Unknown):
        return text
    others = made_at_boot(observed).get(rule, [])
    count = len(others) + own_at_boot(observed)[rule]
    return Seen(count, ", ".join(others)) if count else Absent()


@derived
def made_at_boot(observed: HostObserved) -> Mapping[Rule, list[str]]:
    """Where files of somebody else make each rule."""
    made = makers(observed)
    places: dict[Rule, list[str]] = {}
    for maker in () if isinstance(made, Unknown) else made:
        places.setdefault(maker.rule, []).append(maker.where)
    return places


@derived
def own_at_boot(observed: HostObserved) -> Counter[Rule]:
    """How often our own file makes each rule."""
    text = observed.text(NAT_FILE)
    return Counter(nat_rules.parse_nat_file(text.value) if isinstance(text, Seen) else ())


@derived
def made_now(observed: HostObserved) -> Mapping[Rule, list[MasqueradeInForce]]:
    """The observed makers of each rule."""
    made: dict[Rule, list[MasqueradeInForce]] = {}
    for one in observed.masquerades.value if isinstance(observed.masquerades, Seen) else ():
        made.setdefault((one.source, one.out), []).append(one)
    return made


def total(rule: Rule, observed: HostObserved, *, ours: bool) -> int:
    """How often the rule is now in our own table, or anywhere else."""
    return sum(m.count for m in found(rule, observed) if (m.table == f"nft {TABLE}") == ours)


def iptables_count(rule: Rule, observed: HostObserved) -> int:
    """How often the iptables of the host makes it; what only iptables-legacy shows is not its."""
    return sum(m.count for m in found(rule, observed) if m.table == "iptables nat")


def found(rule: Rule, observed: HostObserved) -> list[MasqueradeInForce]:
    """All observed makers of a rule."""
    return made_now(observed).get(rule, [])


__all__ = ["LOADER", "LOADER_FILE", "NAT_FILE", "TABLE", "SourceNat", "loader", "value_or_none"]
