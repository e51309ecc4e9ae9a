"""`guests.NAME.create`: a guest that passerelle makes where it is not there."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field

from service.kinds.claims import AddressClaim, Claim, Creates, Named, NeedsInGuest, PackageState, Serves
from service.model.trees import quoted
from service.resources.containers import ORDER_FILE, Container
from service.resources.files import OwnFile
from service.resources.packages import Package
from service.resources.resource import Resource
from service.resources.units import Unit
from service.spec.findings import Hit, LintRule
from service.spec.grammar import InterfaceName, text, wrong
from service.spec.host import HostSpec

PACKAGES = ("lxc", "mmdebstrap")
"""What makes guests on a host: the containers, and the system that they are made of."""
PVE_PACKAGES = ("mmdebstrap",)
UNIT = "lxc.service"
ORDER_TEXT = b"""\
# written by passerelle: a guest does not start when its bridge is not there yet
[Unit]
Wants=networking.service
After=networking.service
"""
"""Debian's unit is only after network.target, which ifupdown2's networking.service is not ordered before."""
STORAGE, DISK_GIB = "local-lvm", 8
"""Proxmox's own defaults."""
_STORAGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


def check_storage(value: str) -> str:
    """A storage of Proxmox."""
    if not _STORAGE.fullmatch(value):
        wrong(f"{quoted(value)} is not the name of a storage", "write it as `pvesm status` shows it, as in local-lvm")
    return value


Storage = Annotated[str, *text(check_storage, {"pattern": f"^{_STORAGE.pattern}$"}, "the name of a storage")]


class Create(BaseModel):
    """A guest that is created if it does not exist. An existing one, by its MAC address or number, is adopted."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    bridge: InterfaceName | None = Field(
        None, description="Its bridge, which has a DHCP server; by default the one with its address, or the only one."
    )
    start_at_boot: bool = Field(True, description="Whether the host starts it at boot.")
    storage: Storage | None = Field(None, description="Proxmox: where its disk is; local-lvm by default.")
    disk_gib: Annotated[int, Field(ge=1, le=65_536)] | None = Field(
        None, description="Proxmox: the size of its disk in GiB; 8 by default."
    )


class _Made(Protocol):
    """What this room needs of a guest."""

    @property
    def mac(self) -> str: ...
    @property
    def address(self) -> str | None: ...
    @property
    def port(self) -> str | None: ...
    @property
    def vmid(self) -> int | None: ...
    @property
    def create(self) -> Create | None: ...


CREATE_BRIDGE = LintRule("guests.create-bridge", "error", "a guest that is created has a bridge with a DHCP server")
CREATE_NEEDS_VMID = LintRule("guests.create-needs-vmid", "error", "on Proxmox a guest that is created has a number")
CREATE_ON_PROXMOX = LintRule("guests.create-on-proxmox", "error", "a storage and a disk's size are for Proxmox")
RULES = (CREATE_BRIDGE, CREATE_NEEDS_VMID, CREATE_ON_PROXMOX)


def bridge_of(guest: _Made, claims: Sequence[Claim]) -> tuple[str, str]:
    """(the bridge of a guest that is created, "") or ("", what is wrong)."""
    bridges = [c.interface for c in claims if isinstance(c, Named) and c.sort == "bridge"]
    served = {c.interface for c in claims if isinstance(c, Serves) and c.protocol == "dhcp"}
    named = guest.create.bridge if guest.create is not None else None
    if named is not None:
        found = [named] if named in bridges else []
        wrong_one = f"{named} is not a bridge of this spec"
    else:
        own = [c for c in claims if isinstance(c, AddressClaim) and ":" not in c.address and c.interface in bridges]
        found = [c.interface for c in own if guest.address and _is_in(guest.address, c.address)]
        found = found or ([] if guest.address else [name for name in dict.fromkeys(bridges) if name in served])
        wrong_one = "no bridge of this spec has a DHCP server for it"
    if len(set(found)) > 1:
        return "", f"it may be in {' or '.join(dict.fromkeys(found))}"
    if not found:
        return "", wrong_one
    return (found[0], "") if found[0] in served else ("", f"there is no DHCP server on {found[0]}")


def _is_in(address: str, own: str) -> bool:
    return ipaddress.IPv4Address(address) in ipaddress.IPv4Interface(own).network


def lint_made(section: Mapping[str, _Made], host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
    """What is wrong with the guests that are created."""
    for name, guest in section.items():
        if guest.create is None:
            continue
        bridge, why = bridge_of(guest, claims)
        if not bridge:
            right = "name its bridge in `create.bridge`, and give that a `dhcp` range in `dnsmasq`"
            yield CREATE_BRIDGE.hit((name, "create"), f"{name} would get no address: {why}", right)
        if host.platform == "proxmox" and guest.vmid is None:
            right = "write a number that no guest of the cluster has, as in `vmid: 120`"
            yield CREATE_NEEDS_VMID.hit((name, "create"), f"{name} has no number, so Proxmox cannot create it", right)
        for key in ("storage", "disk_gib"):
            if host.platform != "proxmox" and getattr(guest.create, key) is not None:
                what = f"{name} is created with plain LXC, which has no {key}"
                yield CREATE_ON_PROXMOX.hit((name, "create", key), what, "remove the line")


def claims_made(section: Mapping[str, _Made]) -> Iterator[Claim]:
    """What other sections may need to know of the guests that are created."""
    for name, guest in section.items():
        if guest.create is not None:
            yield Creates(name, guest.mac, guest.create.bridge or "", guest.vmid or 0)


def desire_made(kind: str, section: Mapping[str, _Made], host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
    """The containers, and what the host needs to make them and to start them at boot."""
    made = {name: guest for name, guest in section.items() if guest.create is not None}
    on_proxmox = host.platform == "proxmox"
    listed = {claim.package for claim in claims if isinstance(claim, PackageState)}
    for package in (PVE_PACKAGES if on_proxmox else PACKAGES) if made else ():
        if package not in listed:
            yield Package(kind, package, "present")
    if made and not on_proxmox:
        yield OwnFile(kind, ORDER_FILE, ORDER_TEXT, "unit", cause="guests start at boot")
        yield Unit(kind, UNIT, "enabled", cause="guests start at boot")
    for name, guest in made.items():
        create = guest.create or Create()
        needed = {c.package for c in claims if isinstance(c, NeedsInGuest) and c.guest == name}
        yield Container(
            kind, name, guest.mac.lower(), bridge_of(guest, claims)[0], create.start_at_boot,
            port="" if on_proxmox else guest.port or "", vmid=(guest.vmid or 0) if on_proxmox else 0,
            storage=(create.storage or STORAGE) if on_proxmox else "",
            disk_gib=(create.disk_gib or DISK_GIB) if on_proxmox else 0, packages=tuple(sorted(needed)),
        )  # fmt: skip
