"""Stanzas of the interfaces files: compared by what the next boot makes of them, changed line by line where they stand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from service.formats.interfaces.at_boot import IfaceMeaning, meaning
from service.formats.interfaces.edit import BridgeWanted, Change, RemoveLine, RemoveStanza, SetStanza, WantedStanza, edit
from service.formats.interfaces.stanzas import MAIN_FILE, InterfacesConfig
from service.formats.up_lines import AddressLine, DefaultRoute
from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Json, Seen, Unknown
from service.resources.addresses import sorted_addresses
from service.resources.boot import INTERFACES_FILES, interfaces_config
from service.resources.files import file_step, sha256
from service.resources.resource import Phase, Steps, Wishes, field_difference

GUEST_PORTS = "^(tap|veth|fwpr)"
"""Ports that ifupdown2 leaves alone when it reloads a bridge; Debian's own build detaches every guest without it
(`bridge-ports-condone-regex`, addons/bridge.py of ifupdown2 3.0.0)."""


@dataclass(frozen=True, slots=True)
class Stanza:
    """What the interfaces files should say of one interface. `gone`: nothing.

    A stanza that says it in other words, or in another file, is left as it stands.
    """

    kind: str
    name: str
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    mtu: int | None = None
    bridge: bool = False
    ports: tuple[str, ...] = ()
    stp: bool = False
    forward_delay_s: float = 0
    gone: bool = False

    @property
    def id(self) -> str:
        return f"stanza:{self.name}"

    def fields(self) -> dict[str, Json]:
        """What is wanted, field by field."""
        wanted: dict[str, Json] = {
            "auto": True,
            "addresses": sorted_addresses(self.addresses),
            "gateways": [*sorted(self.gateways)],
        }
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        if self.bridge:
            wanted |= {"ports": [*sorted(self.ports)], "stp": self.stp, "forward_delay_s": float(self.forward_delay_s)}
        return wanted

    def wishes(self) -> Wishes:
        if self.gone:
            return {}
        return {(self.name, field, "file"): want for field, want in (self.fields() | {"stanza": "present"}).items()}

    def watch(self) -> Watch:
        return Watch(files=frozenset(INTERFACES_FILES))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        config = interfaces_config(observed)
        if isinstance(config, Unknown):
            yield from field_difference(self, self.name, "stanza", "file", None if self.gone else "present", config)
            return
        found = meaning(config.value, self.name)
        if self.gone or found is None:
            want: Json = None if self.gone else "present"
            yield from field_difference(self, self.name, "stanza", "file", want, Seen("present" if found else None))
            return
        have = meant_fields(found)
        for field, wanted in self.fields().items():
            yield from field_difference(self, self.name, field, "file", wanted, Seen(have.get(field)))

    @classmethod
    def steps(cls, wanted: Sequence[Self], observed: HostObserved) -> Steps:
        config = interfaces_config(observed)
        if isinstance(config, Unknown):
            return Steps()
        changed = [(s, d) for s in wanted if (d := list(s.differences(observed)))]
        by_path: dict[str, list[tuple[Self, list[Difference]]]] = {}
        for stanza, different in changed:
            by_path.setdefault(stanza.path(config.value), []).append((stanza, different))
        steps: list[tuple[int, Step]] = []
        blobs: dict[str, bytes] = {}
        refusals: list[Refusal] = []
        if config.value.fatal and changed:
            hint = "mend that line on the host; passerelle does not own it"
            refusals.append(Refusal("not-ours", f"ifupdown2 would apply nothing of this file: {config.value.fatal}", hint))
        for path, group in sorted(by_path.items()):
            text = observed.text(path)
            before = text.value if isinstance(text, Seen) else b""
            edits = [change for stanza, _ in group for change in stanza.edits(config.value, path)]
            content = edit(before, edits)
            why = "; ".join(f"{s.kind}: {s.name}: {', '.join(d.field for d in ds)}" for s, ds in group)
            steps.append((Phase.FILE, file_step(path, content, "0644", observed, why)))
            blobs[sha256(content)] = content
        return Steps(steps=tuple(steps), blobs=blobs, refusals=tuple(refusals))

    def path(self, config: InterfacesConfig) -> str:
        """The file in which the stanza stands, or belongs."""
        found = meaning(config, self.name)
        return found.places[0].path if found and found.places else MAIN_FILE

    def edits(self, config: InterfacesConfig, path: str) -> Iterator[Change]:
        """The changes to that file's lines."""
        if self.gone:
            yield RemoveStanza(self.name)
            return
        found = meaning(config, self.name)
        for line in found.up_lines if found else ():
            extra = [e for e in line.effects if self.is_extra(e)]
            if line.at_boot and line.path == path and len(line.effects) == 1 and extra:
                yield RemoveLine(line.line)
        bridge = BridgeWanted(tuple(sorted(self.ports)), self.stp, self.forward_delay_s) if self.bridge else None
        yield SetStanza(
            self.name,
            WantedStanza(
                addresses=tuple(str(a) for a in sorted_addresses(self.addresses)),
                gateways=tuple(sorted(self.gateways)),
                mtu=self.mtu,
                bridge=bridge,
                auto=True,
                condone_regex=GUEST_PORTS if self.bridge else None,
            ),
        )

    def is_extra(self, effect: object) -> bool:
        """Whether a shell line's effect adds an address or a default route that the spec does not know."""
        if isinstance(effect, AddressLine):
            return effect.action == "add" and effect.dev == self.name and effect.cidr not in self.addresses
        return isinstance(effect, DefaultRoute) and effect.action == "add" and effect.dev in ("", self.name)


def meant_fields(found: IfaceMeaning) -> dict[str, Json]:
    """What the files make of an interface, in a stanza's fields: options and shell lines together."""
    effects = found.boot_effects()
    added = [e.cidr for e in effects if isinstance(e, AddressLine) and e.action == "add" and e.dev == found.name]
    gateways = [e.via or e.dev for e in effects if isinstance(e, DefaultRoute) and e.action == "add"]
    fields: dict[str, Json] = {
        "auto": found.at_boot,
        "addresses": sorted_addresses(tuple({*found.addresses, *added})),
        "gateways": [*sorted({*found.gateways, *gateways})],
        "mtu": found.mtu,
    }
    if found.bridge is not None:
        ports: list[Json] = [*sorted(found.bridge.ports)]
        fields |= {"ports": ports, "stp": found.bridge.stp, "forward_delay_s": float(found.bridge.forward_delay_s)}
    return fields
