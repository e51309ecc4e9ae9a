"""What sets IPv4 forwarding at boot, and the host's other kernel settings."""

from service.adopt.interfaces_read import significant
from service.adopt.material import Material
from service.adopt.next_plan import seen_in
from service.adopt.sdn import of_proxmox
from service.adopt.sketch import Sketch
from service.formats import sysctl_files
from service.formats.interfaces import Forwarding, InterfacesConfig, meanings
from service.model.states import Json, Observed, Seen
from service.resources.kernel_at_boot import FORWARDING, OWN_FILE
from service.resources.sysctls import Sysctl

SECTION = "nat"


def read_forwarding(material: Material, config: InterfacesConfig, sketch: Sketch) -> None:
    """What sets forwarding at boot, which NAT needs."""
    at_boot = Sysctl(SECTION, FORWARDING, "1", "").at_boot(seen_in(material))
    _kernel_settings(material, config, at_boot, sketch)


def tell_missing_forwarding(material: Material, sketch: Sketch) -> None:
    """If the spec has NAT and nothing sets forwarding at boot, the first plan does. Ask it after lint."""
    at_boot = Sysctl(SECTION, FORWARDING, "1", "").at_boot(seen_in(material))
    if SECTION in sketch.values and isinstance(at_boot, Seen) and at_boot.value != "1":
        said = f"{at_boot.where} sets it to {at_boot.value}" if at_boot.where else "no file that was read sets it"
        what = f"NAT needs net.ipv4.ip_forward at boot, and {said}: the first plan writes it into {OWN_FILE}"
        sketch.notes.add("danger", SECTION, "", what)


def _kernel_settings(material: Material, config: InterfacesConfig, at_boot: Observed[Json], sketch: Sketch) -> None:
    """Lines about forwarding, in force or not, and all other kernel settings of the host's own files."""
    counts = at_boot.where if isinstance(at_boot, Seen) and at_boot.value == "1" else ""
    foreign = of_proxmox(config).names
    for name, have in meanings(config).items():
        for line in have.up_lines if name not in foreign else ():
            if have.at_boot and line.at_boot and any(isinstance(effect, Forwarding) for effect in line.effects):
                where = f"{line.path}:{line.line}"
                is_in = where == counts and SECTION in sketch.values
                words = f"{name}: {line.phase} {line.text}"
                sketch.notes.add("understood" if is_in else "unmanaged", SECTION, where, words, (SECTION,))
    for path, data in material.files.items():
        if not path.startswith(("/etc/sysctl.conf", "/etc/sysctl.d/")) or path == sysctl_files.MAIN_LINK:
            continue
        for setting in sysctl_files.parse(data):
            if sysctl_files.canonical(setting.key) == sysctl_files.canonical(FORWARDING):
                where = f"{path}:{setting.line}"
                sketch.notes.read(SECTION, path, [setting.line], f"{FORWARDING} = {setting.value}")
                if where == counts and SECTION in sketch.values:
                    sketch.notes.add("understood", SECTION, where, f"{FORWARDING} = 1, which NAT needs", (SECTION,))
        lines = significant(data, "#;")
        sketch.notes.read("sysctl", path, lines, "other kernel settings: no section describes them")
