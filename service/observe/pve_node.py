"""What a Proxmox node says of its own firewall and SDN, from an observation, and what has to be watched for it.

backend_of(observed) -> Backend         which program has the rules, pve-firewall or proxmox-firewall
sdn_of(observed) -> Seen[Sdn] | Unknown
"""

from dataclasses import dataclass

from service.firewall.pve.files import read_host
from service.firewall.pve.node import HOST_FILE, NFTABLES, PROXMOX_FIREWALL, PVE_FIREWALL
from service.firewall.terms.model import Level
from service.formats import pve_sdn
from service.formats.pve_sdn import Sdn, read_sdn
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Seen, Unknown
from service.observe.derived import derived

HOST_FW = "/etc/pve/local/host.fw"
UNITS = {PVE_FIREWALL: "pve-firewall.service", PROXMOX_FIREWALL: "proxmox-firewall.service"}
_SDN = (pve_sdn.ZONES, pve_sdn.VNETS, pve_sdn.SUBNETS, pve_sdn.RUNNING)
NODE_WATCH = Watch(files=frozenset({HOST_FW, *_SDN}), units=frozenset(UNITS.values()))
"""Questions to every Proxmox node."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The program that host.fw chooses, "" where that is not known; `why` says so in words. `trouble` is what does not
    fit it, "" if nothing."""

    program: str
    why: str
    trouble: str = ""


@derived
def backend_of(observed: HostObserved) -> Backend:
    """Which of Proxmox's two programs makes the rules (pve-firewall(8), "nftables"): host.fw decides, the units say
    whether it runs."""
    text = observed.text(HOST_FW)
    if isinstance(text, Unknown):
        return Backend("", f"{HOST_FW}: {text.why}")
    level = read_host(text.value if isinstance(text, Seen) else b"", HOST_FILE, Level("cluster", "")).level
    program = PROXMOX_FIREWALL if level.on(NFTABLES, default=False) else PVE_FIREWALL
    where = level.option_where(NFTABLES)
    why = f"{where} has {NFTABLES}: {level.options[NFTABLES]}" if where else f"host.fw has no {NFTABLES}: 1"
    unit = observed.fact(f"unit:{UNITS[program]}")
    if isinstance(unit, Unknown):
        return Backend(program, why, f"whether {UNITS[program]} runs is not known: {unit.why}")
    if isinstance(unit, Absent):
        return Backend(program, why, f"{UNITS[program]} is not installed, so no rule of these files is in force")
    if not (isinstance(unit.value, dict) and unit.value.get("active") is True):
        return Backend(program, why, f"{UNITS[program]} does not run, so no rule of these files is kept in force")
    return Backend(program, why)


@derived
def sdn_of(observed: HostObserved) -> Seen[Sdn] | Unknown:
    """The SDN that is in force."""
    files: dict[str, bytes] = {}
    for path in (*_SDN, pve_sdn.INTERFACES):
        text = observed.text(path)
        if isinstance(text, Unknown):
            return Unknown(f"{path}: {text.why}")
        if isinstance(text, Seen):
            files[path] = text.value
    return Seen(read_sdn(files))
