"""Stanzas of the interfaces files: compared by what the next boot makes of them, changed where they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from service.errors import InputError
from service.formats.interfaces import (
    CONDONE_REGEX,
    CONF_FILE,
    FILES,
    AddressLine,
    BondMeaning,
    Change,
    DefaultRouteLine,
    IfaceMeaning,
    InterfacesConfig,
    MasqueradeLine,
    RemoveLine,
    RemoveStanza,
    SetStanza,
    UpLine,
    WantedBridge,
    WantedStanza,
    WantedVlan,
    bond_fields,
    condones,
    dhcp_clients,
    edit_files,
    meaning,
)
from service.model.changes import Difference
from service.model.observed import HostObserved, Watch
from service.model.plans import Left, Refusal
from service.model.states import Json, Seen, Unknown
from service.observe.at_boot import (
    BRIDGE_UTILS,
    IFENSLAVE,
    IFUPDOWN,
    IFUPDOWN2,
    VLAN_SCRIPT,
    interfaces_config,
    interfaces_of,
    ports_at_boot,
    texts_of,
)
from service.resources.addresses import sorted_addresses
from service.resources.bonds import MADE
from service.resources.desired import Desired, LastApplied
from service.resources.files import file_step, sha256
from service.resources.generated import SDN_FILE, made_by_sdn, not_ours
from service.resources.nat import SourceNat
from service.resources.resource import Compared, Contribution, Phase, Wishes, field_difference


@dataclass(frozen=True, slots=True)
class InterfaceStanza:
    """What the interfaces files should say of one interface. `gone`: nothing.

    A stanza that says it in other words, or in another file, is left as it is. `keeps_guests`: a bridge's stanza has a
    line that keeps its guests connected. Without it, Debian's ifupdown2 3.0.0 disconnects them at every `ifreload -a`.
    `vlan` is the link below a VLAN and its number. `taken` are masquerades (source, out) whose lines here go, because
    our own table makes them. `dynamic` are the methods by which addresses come from elsewhere, as in `inet dhcp`;
    `is_static6`: no longer by IPv6.
    """

    kind: str = field(compare=False)
    name: str
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    mtu: int | None = None
    bridge: bool = False
    ports: tuple[str, ...] = ()
    stp: bool = False
    forward_delay_s: float = 0
    keeps_guests: bool = False
    bond: BondMeaning | None = None
    taken: tuple[tuple[str, str], ...] = ()
    vlan: tuple[str, int] | None = None
    gone: bool = False
    dynamic: tuple[str, ...] = ()
    is_static6: bool = False

    @property
    def id(self) -> str:
        return f"stanza:{self.name}"

    def interfaces(self) -> Iterator[str]:
        """Itself, and the ports of a bridge or a bond."""
        yield from (self.name, *self.ports, *(self.bond.ports if self.bond is not None else ()))

    def fields(self) -> dict[str, Json]:
        """What is wanted, field by field."""
        wanted: dict[str, Json] = {
            "auto": True,
            "addresses": sorted_addresses(self.addresses),
            "gateways": [*sorted(self.gateways)],
        }
        if self.dynamic:
            wanted["dynamic"] = [*sorted(self.dynamic)]
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        if self.vlan is not None:
            wanted |= {"parent": self.vlan[0], "id": self.vlan[1]}
        if self.bridge:
            wanted |= {"ports": [*sorted(self.ports)], "stp": self.stp, "forward_delay_s": float(self.forward_delay_s)}
            if self.keeps_guests:
                wanted["keeps_guests"] = True
        if self.bond is not None:
            wanted |= bond_wishes(self.bond)
        return wanted

    def wishes(self) -> Wishes:
        if self.gone:
            return {}
        return {(self.name, name, "file"): want for name, want in (self.fields() | {"stanza": "present"}).items()}

    def watch(self) -> Watch:
        scripts = {VLAN_SCRIPT} if self.vlan is not None else set()
        packages = frozenset({IFUPDOWN, IFUPDOWN2, BRIDGE_UTILS, IFENSLAVE, *scripts})
        return Watch(files=frozenset({*FILES, CONF_FILE}), packages=packages)

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        config = interfaces_config(observed)
        if isinstance(config, Unknown):
            yield from field_difference(self, self.name, "stanza", "file", None if self.gone else "present", config)
            return
        found = meaning(config.value, self.name)
        ports = ports_at_boot(observed)
        is_port = not isinstance(ports, Unknown) and self.name in ports
        if found is None and is_port and self.is_plain and not self.gone:
            return  # the bridge brings it up
        if not self.gone and (why := why_ignored(config.value, self.name)):
            yield Difference(self.kind, self.name, "stanza", "boot", "missing", "present", None, cause=why)
            if found is None:
                return
        if self.gone and self.name in made_by_sdn(observed):
            return  # it stays, and `left_behind` names it
        if self.gone or found is None:
            want: Json = None if self.gone else "present"
            yield from field_difference(self, self.name, "stanza", "file", want, Seen("present" if found else None))
            return
        have = meant_fields(found)
        have["auto"] = have["auto"] or (is_port and self.is_plain)
        if nat := [f"{line.path}:{line.line}" for line in self.nat_lines(found)]:
            lines: Json = [*nat]
            yield from field_difference(self, self.name, "nat", "file", [], Seen(lines))
        have["dynamic"] = [*self.wanted_stanza().counting(found.dynamic)]
        compared = self.fields() if self.dynamic or not have["dynamic"] else self.fields() | {"dynamic": []}
        for name, wanted in compared.items():
            cause = why_lost(found) if name == "addresses" and config.value.program.broadcast_fails else ""
            yield from field_difference(self, self.name, name, "file", wanted, Seen(have.get(name)), cause=cause)

    @property
    def is_plain(self) -> bool:
        """Whether it is only brought up, as a bridge's port is."""
        made = self.bridge or self.bond or self.vlan
        return not (self.addresses or self.gateways or self.mtu or made or self.dynamic)

    def nat_lines(self, found: IfaceMeaning) -> list[UpLine]:
        """The shell lines that make or remove a masquerade which our own table makes, and nothing else."""
        return [
            line
            for line in found.up_lines
            if len(line.effects) == 1
            and isinstance(effect := line.effects[0], MasqueradeLine)
            and (effect.source, effect.out) in self.taken
        ]

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        config, texts = interfaces_config(observed), texts_of(observed, FILES)
        changed = [(s, d) for s, d in compared if d]
        if isinstance(config, Unknown) or isinstance(texts, Unknown) or not changed:
            return Contribution()
        hindered = {
            s.name: why for s, _ in changed if not s.gone and (why := hindrance(config.value, s, observed.host))
        }
        changed = [(stanza, different) for stanza, different in changed if stanza.name not in hindered]
        notes = (*hindered.values(), *(note for stanza, _ in changed for note in stanza.until_boot(config.value)))
        edits = [change for stanza, _ in changed for change in stanza.edits(config.value)]
        try:
            contents = edit_files(texts, edits, lambda files: interfaces_of(observed, files))
        except InputError as error:
            return Contribution(refusals=(Refusal("not-ours", error.what, hint=error.hint),), notes=notes)
        if SDN_FILE in contents:
            return Contribution(refusals=(not_ours(", ".join(stanza.name for stanza, _ in changed)),), notes=notes)
        why = "; ".join(f"{s.kind}: {s.name}: {', '.join(map(_named, ds))}" for s, ds in changed)
        steps = [(Phase.FILE, file_step(path, text, "0644", observed, why)) for path, text in sorted(contents.items())]
        return Contribution(steps=tuple(steps), blobs={sha256(text): text for text in contents.values()}, notes=notes)

    @classmethod
    def retired(cls, wanted: Sequence[Self], base: LastApplied) -> Iterator[Self]:
        """Stanzas of bridges and bonds that go."""
        names = {stanza.name for stanza in wanted}
        for (kind, name, field_name, _), want in sorted(base.wishes.items(), key=lambda item: item[0]):
            if field_name == "link" and want in MADE and name not in names:
                yield cls(kind, name, gone=True)

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Stanzas of the host's own cards: without them its next boot may bring up no network."""
        config = interfaces_config(observed)
        stanzas = [one.stanza for one in config.value.standings] if isinstance(config, Seen) else []
        bridges = {name for name, want in base.of_field("link", "live").items() if want in MADE}
        for name in sorted(bridges & made_by_sdn(observed) - {s.name for s in desired.of_type(cls) if not s.gone}):
            what = f"{name} stays: Proxmox's SDN makes it in {SDN_FILE}"
            yield Left(f"file:{SDN_FILE}", what, "if nothing needs it, remove the VNet in Proxmox (Datacenter, SDN)")
        for name in desired.no_longer(base, "stanza", "file"):
            for path in (
                sorted({stanza.path for stanza in stanzas if stanza.covers(name)}) if name not in bridges else ()
            ):
                yield Left(
                    f"file:{path}",
                    f"{path} keeps the stanza of {name}: the next boot brings it up as the spec said",
                    f"if nothing needs it, remove the stanza on {observed.host} by hand",
                )

    def remembering(self, desired: Desired, base: LastApplied) -> Self:
        """Masquerades that our own table took over and that nobody wants now: their lines here go, too. IPv6 addresses
        from elsewhere that nobody wants now are wanted no more."""
        before = base.wishes.get((self.kind, self.name, "dynamic", "file"))
        had6 = isinstance(before, list) and any(str(method).startswith("inet6 ") for method in before)
        if had6 and not self.is_static6 and not any(method.startswith("inet6 ") for method in self.dynamic):
            return replace(self, is_static6=True).remembering(desired, base)
        nats = desired.of_type(SourceNat)
        moved = SourceNat.former_rules(nats, base) if any(nat.take_over for nat in nats) else ()
        return replace(self, taken=(*self.taken, *moved)) if moved else self

    def edits(self, config: InterfacesConfig) -> Iterator[Change]:
        """The changes to the files' lines."""
        if self.gone:
            yield RemoveStanza(self.name)
            return
        found = meaning(config, self.name)
        for line in found.up_lines if found else ():
            if line.at_boot and len(line.effects) == 1 and self.is_extra(line.effects[0]):
                yield RemoveLine(line.line, path=line.path)
        for line in self.nat_lines(found) if found else ():
            yield RemoveLine(line.line, path=line.path)
        yield SetStanza(self.name, self.wanted_stanza())

    def wanted_stanza(self) -> WantedStanza:
        """What the files should say."""
        bridge = WantedBridge(tuple(sorted(self.ports)), self.stp, self.forward_delay_s) if self.bridge else None
        addresses = tuple(str(a) for a in sorted_addresses(self.addresses))
        regex = CONDONE_REGEX if self.keeps_guests else ""
        vlan = WantedVlan(self.name, *self.vlan) if self.vlan is not None else None
        return WantedStanza(
            addresses, tuple(sorted(self.gateways)), bridge, self.mtu, condone_regex=regex, vlan=vlan,
            dynamic=tuple(sorted(self.dynamic)), is_static6=self.is_static6, bond=self.bond,
        )  # fmt: skip

    def until_boot(self, config: InterfacesConfig) -> Iterator[str]:
        """What of a change from or to DHCP waits for the next boot: nothing starts or stops a client before it."""
        found = meaning(config, self.name)
        before = {m.partition(" ")[0] for m in self.wanted_stanza().counting(found.dynamic)} if found else set()
        then = {method.partition(" ")[0] for method in self.dynamic}
        for family in sorted(then - before if found else ()):
            number = 6 if family == "inet6" else 4
            yield (
                f"{self.name} keeps the IPv{number} addresses that it has until the next boot, or until somebody runs "
                f"`ifdown {self.name}; ifup {self.name}` on the host: only then its addresses come from elsewhere"
            )
        for family in sorted(before - then):
            number = 6 if family == "inet6" else 4
            yield (
                f"what gives {self.name} its IPv{number} addresses now stays until the next boot: "
                "passerelle stops no DHCP client"
            )

    def is_extra(self, effect: object) -> bool:
        """Whether a shell line's effect adds an address or a default route that the spec does not know."""
        if isinstance(effect, AddressLine):
            return effect.action == "add" and effect.dev == self.name and effect.cidr not in self.addresses
        return isinstance(effect, DefaultRouteLine) and effect.action == "add" and effect.dev in ("", self.name)


SEVERAL = f"set multiple_vlan_aware_bridge_support=1 in {CONF_FILE}"


def why_ignored(config: InterfacesConfig, name: str) -> str:
    """Which stanza of an interface ifupdown2 takes for none; empty: it takes all."""
    ignored = [one.stanza for one in config.ignored if one.stanza.covers(name)]
    if not ignored:
        return ""
    where = ", ".join(f"{stanza.path}:{stanza.first_line}" for stanza in ignored)
    return (
        f"{config.program.label} ignores the stanza of {name} in {where} at boot: another one says `bridge-vlan-aware "
        "yes` above it"
    )


def hindrance(config: InterfacesConfig, stanza: InterfaceStanza, host: str) -> str:
    """Why no stanza would bring the interface up at boot, and the fix; empty: one would. Nothing else waits for it."""
    if why := why_ignored(config, stanza.name):
        return f"{why}. Fix: {SEVERAL} on {host}, or take `bridge-vlan-aware yes` out of one of the stanzas"
    if any(method.endswith(" dhcp") for method in stanza.dynamic) and not config.program.has_dhcp:
        known = dhcp_clients(is_classic=config.program.is_classic)
        return (
            f"{config.program.name} finds no DHCP client that it can start for {stanza.name} ({', '.join(known)}). "
            "Fix: add `packages: {isc-dhcp-client: present}` to the spec"
        )
    if stanza.mtu is not None and config.program.is_classic and "inet dhcp" in stanza.dynamic:
        return (
            f"at boot {config.program.name} sets no MTU of {stanza.name}, because it has its address by DHCP. "
            "Fix: remove `mtu`, or install ifupdown2"
        )
    if stanza.bridge and not config.program.makes_bridges:
        return (
            f"at boot {config.program.name} makes no bridge without the package bridge-utils, so it does not make "
            f"{stanza.name}. Fix: add `packages: {{bridge-utils: present}}` to the spec"
        )
    if stanza.vlan is not None and config.program.is_classic and stanza.name != f"{stanza.vlan[0]}.{stanza.vlan[1]}":
        by_script = stanza.name == f"vlan{stanza.vlan[1]}"
        if not by_script or not config.program.makes_vlans:
            fix = f"name it {stanza.vlan[0]}.{stanza.vlan[1]}"
            more = ", or add `packages: {vlan: present}` to the spec" if by_script else ""
            return f"at boot {config.program.name} does not make the VLAN {stanza.name} on {host}. Fix: {fix}{more}"
    if stanza.bond is not None and not config.program.makes_bonds:
        return (
            f"at boot {config.program.name} makes no bond without the package ifenslave, so it does not make "
            f"{stanza.name}. Fix: add `packages: {{ifenslave: present}}` to the spec"
        )
    return ""


def why_lost(found: IfaceMeaning) -> str:
    """What a `broadcast` line costs an interface where ifupdown2 fails at it, and what to do; empty: it has none."""
    line = found.broadcast
    if line is None:
        return ""
    lost = ", ".join(line.addresses) or "no address"
    return f"ifupdown2 3.0.0 fails at `broadcast` in {line.where} and does not set {lost}. Fix: remove the line"


def _named(difference: Difference) -> str:
    return f"{difference.field} ({difference.cause})" if difference.cause else difference.field


def given(found: IfaceMeaning, address: str) -> bool:
    """Whether a DHCP server gives the addresses of this one's family: the boot sets no such line."""
    return ("inet6 dhcp" if ":" in address else "inet dhcp") in found.dynamic


def meant_fields(found: IfaceMeaning) -> dict[str, Json]:
    """What the files make of an interface, in a stanza's fields: options and shell lines together."""
    effects = found.boot_effects()
    added = [e.cidr for e in effects if isinstance(e, AddressLine) and e.action == "add" and e.dev == found.name]
    here = ("", found.name)  # a line may set the route of another interface
    gateways = [
        e.via or e.dev for e in effects if isinstance(e, DefaultRouteLine) and e.action == "add" and e.dev in here
    ]
    fields: dict[str, Json] = {
        "auto": found.at_boot,
        "addresses": sorted_addresses(tuple({*(a for a in found.addresses if not given(found, a)), *added})),
        "gateways": [*sorted({*found.gateways, *gateways})],
        "mtu": found.mtu,
    }
    if found.vlan is not None:
        fields |= {"parent": found.vlan.parent, "id": found.vlan.id}
    if found.bridge is not None:
        ports: list[Json] = [*sorted(found.bridge.ports)]
        fields |= {"ports": ports, "stp": found.bridge.stp, "forward_delay_s": float(found.bridge.forward_delay_s)}
        fields["keeps_guests"] = condones(found.condone_regex, CONDONE_REGEX)
    if found.bond is not None:
        fields |= bond_wishes(found.bond)
    return fields


def bond_wishes(bond: BondMeaning) -> dict[str, Json]:
    """The settings of a bond that count in its mode, in a stanza's fields."""
    return {name: [*want] if isinstance(want, tuple) else want for name, want in bond_fields(bond).items()}
