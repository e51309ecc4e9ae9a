"""Who brings the network up at boot: ifupdown, which passerelle writes files for, or another program.

systemd-networkd says in /run/systemd/netif/links/INDEX which of its files an interface has (`NETWORK_FILE=`),
NetworkManager in /run/NetworkManager/devices/INDEX which connection (`connection-uuid=`); netplan writes the files of
either. Only units that start at boot, or run, count: both folders outlive their program.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from service.model.observed import HostObserved
from service.model.states import Absent, Seen
from service.observe.at_boot import IFUPDOWN, IFUPDOWN2
from service.observe.derived import derived

NETWORKING = "networking.service"
OTHERS = {"systemd-networkd.service": "systemd-networkd", "NetworkManager.service": "NetworkManager"}
STARTS = ("enabled", "enabled-runtime", "static", "generated", "indirect", "alias", "linked")
FIX = (
    "Fix: remove `interfaces` and `bridges` from the spec, or change to ifupdown2. To change, write "
    "/etc/network/interfaces on the host and install ifupdown2. Disable the other program. Reboot while somebody is at "
    "the console"
)


@dataclass(frozen=True, slots=True)
class NetworkRunner:
    """`by_ifupdown` is None where it is not known. `others` are other programs that start at boot or run, `kept` the
    interfaces that one of them configures, each with the program and its file in words."""

    by_ifupdown: bool | None = None
    others: tuple[str, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_foreign(self) -> bool:
        """Whether it is known that ifupdown brings nothing up."""
        return self.by_ifupdown is False

    def objections(self, interfaces: Collection[str]) -> Iterator[str]:
        """Why what passerelle writes for some interfaces would not count at the next boot: one sentence each."""
        if not interfaces:
            return
        if self.is_foreign:
            by = " and ".join(self.others) or "a program that passerelle does not know"
            yield (
                f"the network of this host is brought up by {by}, not by ifupdown: the next boot ignores "
                "/etc/network/interfaces, so a change written there would be gone after a reboot"
            )
            return
        for name in sorted(set(interfaces) & self.kept.keys()):
            yield (
                f"{name} is brought up by {self.kept[name]}, not by ifupdown: a stanza for it in "
                "/etc/network/interfaces would make two programs set it at the next boot"
            )


@derived
def runner_of(observed: HostObserved) -> NetworkRunner:
    """Who brings the network of an observed host up."""
    others = tuple(name for unit, name in OTHERS.items() if counts(observed, unit))
    keepers = observed.keepers.value if isinstance(observed.keepers, Seen) else ()
    programs = {*others, *(("netplan",) if others else ())}
    kept = {keeper.interface: keeper.label() for keeper in keepers if keeper.interface and keeper.program in programs}
    netplan = sorted(keeper.file for keeper in keepers if keeper.program == "netplan")
    shown = tuple(f"{name} (netplan: {', '.join(netplan)})" if netplan else name for name in others)
    return NetworkRunner(by_ifupdown(observed), shown, kept)


def by_ifupdown(observed: HostObserved) -> bool | None:
    """Whether `networking.service` starts at boot and one of the two ifupdowns is there; None where it is unknown."""
    packages = [observed.packages.get(name) for name in (IFUPDOWN, IFUPDOWN2)]
    if all(isinstance(seen, Absent) for seen in packages):
        return False if isinstance(observed.fact(f"unit:{NETWORKING}"), Seen | Absent) and not is_on(observed) else None
    unit = observed.fact(f"unit:{NETWORKING}")
    if isinstance(unit, Absent):
        return False
    return is_on(observed) if isinstance(unit, Seen) else None


def is_on(observed: HostObserved) -> bool:
    """Whether `networking.service` is known to start at boot."""
    unit = observed.fact(f"unit:{NETWORKING}")
    return isinstance(unit, Seen) and isinstance(unit.value, dict) and unit.value.get("enabled") in STARTS


def counts(observed: HostObserved, unit: str) -> bool:
    """Whether another program starts at boot or runs."""
    seen = observed.fact(f"unit:{unit}")
    value = seen.value if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}
    return value.get("active") is True or value.get("enabled") in STARTS
