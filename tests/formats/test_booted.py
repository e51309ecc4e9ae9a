"""What a boot makes of interfaces files, against what the real programs were seen to make of them (`booted/record`)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.formats.interfaces import (
    DEBIAN_12,
    MAIN_FILE,
    AddressLine,
    BootProgram,
    DefaultRouteLine,
    IfaceMeaning,
    InterfacesConfig,
    Opaque,
    boot_ports,
    classic_program,
    load,
    meanings,
)

HERE = Path(__file__).parent
PROGRAMS = {"ifupdown": classic_program("0.8.41"), "ifupdown2": DEBIAN_12}
CORPORA = ("booted", "reading", "pve_interfaces/cases")
CASES = sorted(
    (path.parent, path.stem.removeprefix("booted-"))
    for corpus in CORPORA
    for path in (HERE / corpus).glob("*/booted-*.json")
)
NOT_MADE_HERE = (
    "vlan-raw-device",
    "vlan-id",
    "bond-slaves",
    "slaves",
    "bond-mode",
    "vxlan-id",
    "link-type",
    "ovs-type",
)
"""Links of which the kernel that recorded made none."""


def files_of(case: Path) -> dict[str, bytes]:
    """A case as the host has it."""
    main = next(path for name in ("in", "input") if (path := case / name).exists())
    below = {f"/etc/network/interfaces.d/{p.name}": p.read_bytes() for p in sorted(case.glob("interfaces.d/*"))}
    return {MAIN_FILE: main.read_bytes(), **below}


def booted(case: Path, program: BootProgram) -> InterfacesConfig:
    links = frozenset(json.loads((case / "booted-ifupdown.json").read_text())["links"])
    known = classic_program("0.8.41", links) if program.is_classic else program
    return load(files_of(case), program=known)


def is_made(found: IfaceMeaning, config: InterfacesConfig) -> bool:
    """Whether the recording kernel could make it, no command in front of it can fail, and its addresses are its own."""
    dynamic = any(word in method for method in found.methods for word in ("dhcp", "ppp", "tunnel", "auto"))
    may_fail = any(line.phase == "pre-up" and Opaque(line.text) in line.effects for line in found.up_lines)
    special = may_fail or "." in found.name or "[" in found.name or any(found.lines(key) for key in NOT_MADE_HERE)
    ports = found.bridge.ports if found.bridge else ()
    return not (dynamic or special or any("." in port or port in ("glob", "regex", "all") for port in ports))


def told(found: IfaceMeaning) -> dict[str, Any]:
    """What we say that the boot makes of it."""
    lines = [e.cidr for e in found.boot_effects() if isinstance(e, AddressLine) and e.action == "add"]
    bridge = found.bridge
    return {
        "addresses": sorted({*found.addresses, *lines}),
        "bridge": {"stp": bridge.stp, "forward_delay_s": bridge.forward_delay_s} if bridge else None,
        "mtu": found.mtu,
    }


def compared(case: Path, config: InterfacesConfig, seen: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, what we say, what was seen) of every link that both can tell of."""
    known = {} if config.fatal else meanings(config)
    have = {n: f for n, f in known.items() if (f.auto or f.is_lower) and is_made(f, config)}
    skipped = {n for n, f in meanings(config).items() if not is_made(f, config)}
    for name in sorted({*have, *seen["links"]} - {"lo"} - skipped):
        link = seen["links"].get(name, {"addresses": [], "bridge": None, "mtu": 1500})
        mine = told(have[name]) if name in have else {"addresses": [], "bridge": None, "mtu": None}
        if name not in seen["links"]:
            assert not mine["bridge"], f"{name} was not made"
            mine["addresses"] = []  # nobody made the link
        there = {key: link[key] for key in mine}
        mine["mtu"] = mine["mtu"] or there["mtu"]
        yield name, mine, there


@pytest.mark.parametrize(("case", "program"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_a_boot_makes_of_each_link_what_the_real_program_made(case: Path, program: str) -> None:
    seen = json.loads((case / f"booted-{program}.json").read_text())
    config = booted(case, PROGRAMS[program])
    found = [*compared(case, config, seen)]
    assert [(name, mine) for name, mine, _ in found] == [(name, there) for name, _, there in found]


@pytest.mark.parametrize(("case", "program"), CASES, ids=lambda value: value if isinstance(value, str) else value.name)
def test_the_gateways_and_ports_are_those_of_the_real_program(case: Path, program: str) -> None:
    seen = json.loads((case / f"booted-{program}.json").read_text())
    config = booted(case, PROGRAMS[program])
    have = [] if config.fatal else [f for f in meanings(config).values() if f.auto]
    if all(is_made(found, config) for found in have):
        gateways = {gateway for found in have for gateway in found.gateways}
        gateways |= {e.via for f in have for e in f.boot_effects() if isinstance(e, DefaultRouteLine)}
        assert set(seen["gateways"]) <= gateways
        masters = {name for name, link in seen["links"].items() if link["master"]}
        assert masters == (frozenset() if config.fatal else boot_ports(config)) & seen["links"].keys()
