"""What adopt works on: the files of a host, and what is known of its units and packages."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.formats import ethers, nat_files, pve_guests
from service.formats.interfaces import CONF_FILE, BootProgram, boot_program, classic_program
from service.formats.interfaces import FILES as INTERFACES_FILES
from service.kinds.dnsmasq import ORDER_FILE
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Seen, Unknown
from service.observe.at_boot import BRIDGE_UTILS, IFENSLAVE, IFUPDOWN, IFUPDOWN2, LEFT_OVER, program_of
from service.resources import bans, firewall, forwards, kernel_at_boot
from service.resources.dnsmasq_config import FILES as DNSMASQ_FILES
from service.resources.guests_known import SOURCES
from service.resources.nat import NAT_FILE

HOSTNAME_FILE = "/etc/hostname"
HOSTS_FILE = "/etc/hosts"
KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
FIREWALL_LEFT_OVER = "/etc/pve/local/host.fw.new"
SDN_ZONES = "/etc/pve/sdn/zones.cfg"
LINK_FILES = ("/usr/local/lib/systemd/network/*", "/etc/systemd/network/*")
"""Files that give network cards their names; Proxmox's own pinning writes into the first folder."""
PVE_MEMBERS = "/etc/pve/.members"
PVE_FIREWALL = ("/etc/pve/firewall/*", "/etc/pve/local/host.fw")
FAIL2BAN_FILES = ("/etc/fail2ban/jail.local", "/etc/fail2ban/jail.conf", "/etc/fail2ban/jail.d/*")
UNITS = (
    "dnsmasq.service", "named.service", "nftables.service", "netfilter-persistent.service", "fail2ban.service",
    "networking.service", "ssh.service", "systemd-resolved.service", "systemd-networkd.service",
    "NetworkManager.service",
)  # fmt: skip
PACKAGES = (
    "bind9", "bridge-utils", "dnsmasq", "fail2ban", "ifenslave", "ifupdown", "ifupdown2", "iptables-persistent",
    "nftables", "openssh-server", "pve-cluster", "pve-manager",
)  # fmt: skip

WATCH = Watch(
    files=frozenset({
        *INTERFACES_FILES, CONF_FILE, *DNSMASQ_FILES, *nat_files.NFT_FILES, nat_files.IPTABLES_FILE, ethers.PATH,
        *kernel_at_boot.FILES, *SOURCES, NAT_FILE, firewall.FIREWALL_FILE, firewall.BRIDGE_FILE, forwards.FORWARDS_FILE,
        bans.JAILS_FILE, HOSTNAME_FILE, HOSTS_FILE, KEY_FILE, LEFT_OVER, FIREWALL_LEFT_OVER, PVE_MEMBERS, *PVE_FIREWALL,
        *FAIL2BAN_FILES, *(f"{folder}/*" for folder in pve_guests.FOLDERS), *LINK_FILES, "/etc/netplan/*", SDN_ZONES,
        ORDER_FILE,
    }),
    units=frozenset(UNITS),
    packages=frozenset(PACKAGES),
    sysctls=frozenset({kernel_at_boot.FORWARDING}),
)  # fmt: skip
"""Everything that is looked at, on a host or in a tree of files."""


@dataclass(frozen=True, slots=True)
class Material:
    """`files` are those that are there, by absolute path; `unread` says why others could not be read.

    `units` are enabled, disabled, masked or absent, only where that is known; `packages` are installed or not,
    likewise; `ifupdown2` is its version where it is installed and known.
    `live` is what a running host showed at the same moment; None for a tree of files.
    """

    files: Mapping[str, bytes]
    units: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, bool] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    live: HostObserved | None = None
    ifupdown2: str = ""

    def boot_program(self) -> BootProgram:
        """The program that brings the network up at boot, as far as it is known."""
        if self.live is not None:
            return program_of(self.live)
        if self.packages.get(IFUPDOWN) is True and self.packages.get(IFUPDOWN2) is not True:
            there = {name: self.packages.get(name) is not False for name in (BRIDGE_UTILS, IFENSLAVE)}
            return classic_program("", makes_bridges=there[BRIDGE_UTILS], makes_bonds=there[IFENSLAVE])
        return boot_program(self.ifupdown2, self.files.get(CONF_FILE))

    def is_off(self, unit: str) -> bool:
        """Whether the unit is known not to start at boot."""
        return self.units.get(unit, "enabled") not in ("enabled", "enabled-runtime", "static", "alias", "generated")

    def is_on(self, unit: str) -> bool:
        """Whether the unit is known to start at boot."""
        return unit in self.units and not self.is_off(unit)

    def below(self, *patterns: str) -> dict[str, bytes]:
        """The files at some paths; `/*` takes a folder's files."""
        return {
            path: data
            for path, data in sorted(self.files.items())
            if any(path == p or (p.endswith("/*") and path.rpartition("/")[0] == p[:-2]) for p in patterns)
        }


def of_observed(observed: HostObserved) -> Material:
    """The same from an observation of `WATCH`."""
    units: dict[str, str] = {}
    for name in UNITS:
        seen = observed.fact(f"unit:{name}")
        if isinstance(seen, Seen) and isinstance(seen.value, dict):
            units[name] = str(seen.value.get("enabled"))
        elif isinstance(seen, Absent):
            units[name] = "absent"
    ifupdown2 = observed.packages.get(IFUPDOWN2)
    return Material(
        files={path: text.value for path, text in observed.texts.items() if isinstance(text, Seen)},
        units=units,
        packages={
            name: isinstance(seen, Seen)
            for name, seen in observed.packages.items()
            if isinstance(seen, Seen | Absent)
        },
        unread={path: text.why for path, text in observed.texts.items() if isinstance(text, Unknown)},
        live=observed,
        ifupdown2=ifupdown2.value if isinstance(ifupdown2, Seen) else "",
    )  # fmt: skip
