"""`vlans`: VLANs on cards and bridges, their addresses and the default route."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from service.kinds.addressing import (
    Addressed,
    addressing_claims,
    addressing_rules,
    gateways_of,
    lint_addressing,
    taken_rules,
)
from service.kinds.claims import Claim, Named
from service.kinds.from_elsewhere import families_of, methods_of
from service.model.observed import Watch
from service.resources.addresses import Addresses
from service.resources.links import Link
from service.resources.resource import Resource
from service.resources.stanzas import InterfaceStanza
from service.spec.findings import Hit, LintRule
from service.spec.grammar import InterfaceName
from service.spec.host import HostSpec


class Vlan(Addressed):
    """One VLAN (IEEE 802.1Q) on a link of the host. A name such as vmbr0.20 says both keys, and they may be left out.

    passerelle makes it in the running kernel and in the interfaces files.
    """

    parent: InterfaceName | None = Field(
        None, description="The interface or bridge that it is on; as the name says, if that is PARENT.ID."
    )
    id: int | None = Field(None, ge=1, le=4094, description="Its number; as the name says, if that is PARENT.ID.")


VlansSection: TypeAlias = Annotated[Mapping[InterfaceName, Vlan], Field(max_length=256)]

_ADDRESSING = addressing_rules("vlans")
NAME_TAKEN = LintRule("vlans.name-taken", "error", "a VLAN has a name of its own")
INCOMPLETE = LintRule("vlans.incomplete", "error", "a VLAN has a parent and a number, by its name or by its keys")
DISAGREES = LintRule("vlans.name-disagrees", "error", "a VLAN's name and its keys say the same")
UNKNOWN_PARENT = LintRule(
    "vlans.unknown-parent", "error", "a VLAN's parent is an interface or a bridge of the spec", by_absence=True
)
NESTED = LintRule("vlans.nested", "error", "a VLAN is not on another VLAN")
DUPLICATE_ID = LintRule("vlans.duplicate-id", "error", "a parent has each number once")
MTU_ABOVE_PARENT = LintRule("vlans.mtu-above-parent", "error", "a VLAN's MTU is not above its parent's")


class Vlans:
    """VLANs by name, with addresses, gateways, parent and number."""

    name = "vlans"
    section: Any = VlansSection
    rules: tuple[LintRule, ...] = (
        *_ADDRESSING.all(),
        NAME_TAKEN,
        INCOMPLETE,
        DISAGREES,
        UNKNOWN_PARENT,
        NESTED,
        DUPLICATE_ID,
        MTU_ABOVE_PARENT,
    )

    def lint(self, section: VlansSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        yield from lint_addressing(section, claims, _ADDRESSING)
        named = {c.interface: c.sort for c in claims if isinstance(c, Named) and c.sort != "vlan"}
        first: dict[tuple[str, int], str] = {}
        for name, vlan in section.items():
            if name in named:
                what = f"{name} is the name of {'a bridge' if named[name] == 'bridge' else 'an interface'}, too"
                yield NAME_TAKEN.hit((name,), what, f"keep {name} in one of the sections")
            yield from _own(name, vlan)
            parent, number = vlan_of(name, vlan)
            if not parent or not number:
                continue
            path: tuple[str | int, ...] = (name, "parent") if vlan.parent else (name,)
            if parent in section or "." in parent:
                what = f"{parent} is a VLAN, and a VLAN inside a VLAN is not managed"
                yield NESTED.hit(path, what, "name an interface or a bridge")
            elif parent not in named:
                what = f"the spec has no interface or bridge {parent}"
                yield UNKNOWN_PARENT.hit(path, what, f"add `{parent}: {{}}` to `interfaces`")
            other = first.setdefault((parent, number), name)
            if other != name:
                what = f"{other} is VLAN {number} of {parent} already"
                yield DUPLICATE_ID.hit((name, "id") if vlan.id else (name,), what, "keep one of the two")
            below = mtu_of(parent, host)
            if vlan.mtu and below and vlan.mtu > below:
                what = f"the MTU {vlan.mtu} is above that of {parent}, {below}: the kernel refuses it"
                yield MTU_ABOVE_PARENT.hit((name, "mtu"), what, f"write at most {below}, or give {parent} a larger one")

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: VlansSection) -> Iterator[Claim]:
        yield from addressing_claims(section, "vlan")

    def desire(
        self,
        section: VlansSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        bridges = {claim.interface for claim in claims if isinstance(claim, Named) and claim.sort == "bridge"}
        for name, vlan in (section or {}).items():
            parent, number = vlan_of(name, vlan)
            if not parent or not number:
                continue  # lint stops it
            yield Link(self.name, name, mtu=vlan.mtu, vlan=(parent, number), on_bridge=parent in bridges)
            yield Addresses(self.name, name, tuple(vlan.addresses), families_of(vlan))
            yield InterfaceStanza(
                self.name, name, tuple(vlan.addresses), gateways_of(vlan), vlan.mtu, vlan=(parent, number),
                taken=taken_rules(host, claims), dynamic=methods_of(vlan),
            )  # fmt: skip

    def watch(self) -> Watch:
        return Watch()


def vlan_of(name: str, vlan: Vlan) -> tuple[str, int]:
    """The parent and the number: as the keys say, else as the name does; "" and 0 where neither says it."""
    below, number = said_by(name)
    return vlan.parent or below, vlan.id or number


def said_by(name: str) -> tuple[str, int]:
    """What a name says: (parent, number) of `eno1.20`, ("", number) of `vlan20`, else nothing."""
    below, dot, number = name.rpartition(".")
    if dot:
        return below, int(number)
    named = re.fullmatch(r"vlan0*([1-9][0-9]{0,3})", name)
    return "", int(named[1]) if named else 0


def mtu_of(name: str, host: HostSpec) -> int | None:
    """The MTU that the spec gives a link; None: that of the device."""
    for section in ("interfaces", "bridges", "bonds"):
        written = host.sections.get(section)
        if isinstance(written, Mapping) and name in written:
            mtu: int | None = written[name].mtu
            return mtu
    return None


def _own(name: str, vlan: Vlan) -> Iterator[Hit]:
    """A name and keys that do not say one VLAN."""
    below, number = said_by(name)
    for key, said, written in (("parent", below, vlan.parent), ("id", number, vlan.id)):
        if said and written and said != written:
            yield DISAGREES.hit(
                (name, key),
                f"by its name {name} has the {key} {said}, not {written}",
                f"remove `{key}`, or give the VLAN another name",
            )
        elif not said and not written:
            yield INCOMPLETE.hit(
                (name,), f"{name} has no `{key}`, and its name does not say it", f"add `{key}`, or write PARENT.ID"
            )
