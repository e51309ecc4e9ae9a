"""Who brings the network up: reported as a danger where it is not ifupdown, whose files are the only ones written."""

import re
from collections.abc import Iterator

from service.adopt.interfaces_read import significant
from service.adopt.material import LINK_FILES, Material
from service.adopt.sketch import Sketch
from service.observe.at_boot import IFUPDOWN, IFUPDOWN2
from service.observe.runner import OTHERS, NetworkRunner, runner_of

NETWORKD_FILES = "/etc/systemd/network/*"
NETPLAN_FILES = "/etc/netplan/*"
_NAME = re.compile(r"^\s*Name\s*=\s*([A-Za-z0-9_.:-]{1,15})\s*$", re.MULTILINE)


def read_runner(material: Material, sketch: Sketch) -> None:
    """Name the danger. It is one for the interfaces, whether the spec has any or not."""
    runner = runner_of(material.live) if material.live is not None else runner_in(material)
    sections = ("interfaces", "bonds", "vlans", "bridges")
    names = {name for section in sections for name in _names(sketch, section)} or {"lo"}
    for path, data in material.below(*LINK_FILES, NETPLAN_FILES).items():
        what = f"a file of {'netplan' if path.startswith('/etc/netplan/') else 'systemd'}'s: passerelle writes none"
        sketch.notes.read("interfaces", path, significant(data, "#;"), what, whole=path)
    for what in runner.objections(names):
        then = " passerelle refuses to change it" if runner.is_foreign else ""
        sketch.notes.add("danger", "interfaces", "", f"{what}.{then}".rstrip("."))


def runner_in(material: Material) -> NetworkRunner:
    """The same from a tree of files: packages, links of units, and the files of systemd-networkd."""
    others = tuple(name for unit, name in OTHERS.items() if material.is_on(unit))
    kept: dict[str, str] = {}
    if OTHERS["systemd-networkd.service"] in others:
        for path, data in sorted(material.below(NETWORKD_FILES).items()):
            for name in _NAME.findall(data.decode("utf-8", "replace")) if path.endswith(".network") else ():
                kept.setdefault(name, f"systemd-networkd ({path})")
    netplan = [path for path in material.below(NETPLAN_FILES) if path.endswith(".yaml")]
    shown = tuple(f"{name} (netplan: {', '.join(netplan)})" if netplan else name for name in others)
    there = [material.packages.get(name) for name in (IFUPDOWN, IFUPDOWN2)]
    return NetworkRunner(False if there == [False, False] else None, shown, kept)


def _names(sketch: Sketch, section: str) -> Iterator[str]:
    links = sketch.values.get(section)
    for name, link in (links if isinstance(links, dict) else {}).items():
        yield name
        ports = link.get("ports") if isinstance(link, dict) else None
        yield from (str(port) for port in (ports if isinstance(ports, list) else []))
