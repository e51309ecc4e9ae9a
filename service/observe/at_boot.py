"""What the interfaces files say about the next boot, from an observation, and what has to be watched for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.formats.interfaces import (
    CONF_FILE,
    FILES,
    MAIN_FILE,
    BootEffect,
    BootProgram,
    InterfacesConfig,
    boot_ports,
    boot_program,
    classic_program,
    dhcp_clients,
    load,
    renamed,
    up_effects,
)
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Json, Seen, Unknown
from service.observe.derived import derived

IFUPDOWN = "ifupdown"
IFUPDOWN2 = "ifupdown2"
BRIDGE_UTILS = "bridge-utils"
IFENSLAVE = "ifenslave"
"""The classic ifupdown makes bridges by a script of the first package, and bonds by one of the second."""
VLAN_SCRIPT = "vlan"
"""The classic ifupdown makes VLANs named as `vlan20` by a script of this package."""
LEFT_OVER = "/etc/network/interfaces.new"
"""A change that Proxmox's interface or tools made: the next boot moves it over the interfaces file."""
SSH_UNITS = ("ssh.service", "sshd.service", "ssh.socket")
NETWORK_UNITS = ("networking.service", "systemd-networkd.service", "NetworkManager.service")
"""What brings the network up at boot; stopping `networking` runs ifdown on every interface (its unit file)."""
LOADERS = {"nftables.service": "/etc/nftables.conf", "netfilter-persistent.service": "/etc/iptables/rules.v4"}
"""Units that load a packet filter at boot, each with its file."""
LOADED_SLACK_S = 1.0
WAY_IN_WATCH = Watch(
    files=frozenset({*FILES, CONF_FILE, LEFT_OVER, *LOADERS.values()}),
    units=frozenset({*SSH_UNITS, *NETWORK_UNITS, *LOADERS}),
    packages=frozenset({IFUPDOWN, IFUPDOWN2, BRIDGE_UTILS, IFENSLAVE, *dhcp_clients(is_classic=True)}),
)
"""Questions to every host, whatever its spec: without them the effect of the next boot on the connection is unknown."""


def loaded_since(observed: HostObserved, unit: str, file: str) -> bool:
    """Whether a unit that is active started after its file changed: what is live is what the boot loads."""
    seen, started = observed.fact(f"unit:{unit}"), observed.started_at_s.get(unit)
    active = isinstance(seen, Seen) and isinstance(seen.value, dict) and seen.value.get("active") is True
    return active and started is not None and observed.changed_at_s.get(file, 0.0) <= started + LOADED_SLACK_S


@derived
def interfaces_config(observed: HostObserved) -> Seen[InterfacesConfig] | Unknown:
    """The interfaces files as one configuration."""
    texts = texts_of(observed, FILES)
    return texts if isinstance(texts, Unknown) else Seen(interfaces_of(observed, texts))


def interfaces_of(observed: HostObserved, texts: Mapping[str, bytes]) -> InterfacesConfig:
    """Interfaces files as the next boot of this host would take them; the same texts are read once."""
    return _interfaces_of(observed, tuple(sorted(texts.items())))


@derived
def _interfaces_of(observed: HostObserved, texts: tuple[tuple[str, bytes], ...]) -> InterfacesConfig:
    return load(dict(texts), program=program_of(observed))


@derived
def program_of(observed: HostObserved) -> BootProgram:
    """The program that brings the network up at boot, as far as it is known."""
    program = _program_of(observed)
    clients = (observed.packages.get(name) for name in dhcp_clients(is_classic=program.is_classic))
    return replace(program, has_dhcp=not all(isinstance(one, Absent) for one in clients))


def _program_of(observed: HostObserved) -> BootProgram:
    classic, version = observed.packages.get(IFUPDOWN), observed.packages.get(IFUPDOWN2)
    if isinstance(classic, Seen) and not isinstance(version, Seen | Unknown):
        has_script = not isinstance(observed.packages.get(BRIDGE_UTILS), Absent)
        there = {n: not isinstance(observed.packages.get(n), Absent) for n in (VLAN_SCRIPT, IFENSLAVE)}
        return classic_program(
            classic.value, links_at_boot(observed), makes_bridges=has_script, makes_vlans=there[VLAN_SCRIPT],
            makes_bonds=there[IFENSLAVE],
        )  # fmt: skip
    if not isinstance(version, Seen):
        return boot_program("", None)
    conf = observed.text(CONF_FILE)
    return boot_program(
        version.value, conf.value if isinstance(conf, Seen) else None, is_missing=isinstance(conf, Absent)
    )


def links_at_boot(observed: HostObserved) -> frozenset[str] | None:
    """The links that nothing has to make at boot: all that are there but bridges, bonds and VLANs. None: not known."""
    if not isinstance(observed.unlisted.get("link:"), Absent):
        return None
    links = {
        fact[5:]: seen.value for fact, seen in observed.facts.items() if fact[:5] == "link:" and isinstance(seen, Seen)
    }
    return frozenset(name for name, link in links.items() if _is_card(link))


def _is_card(link: Json) -> bool:
    return isinstance(link, dict) and link.get("type") not in ("bridge", "bond", "vlan")


@derived
def renamed_at_boot(observed: HostObserved) -> Mapping[str, str]:
    """{old name: new name} of cards that the next boot only renames; empty where nothing waits, or more than that."""
    config, text = interfaces_config(observed), observed.text(LEFT_OVER)
    if isinstance(config, Unknown) or not isinstance(text, Seen):
        return {}
    return renamed(config.value, load({MAIN_FILE: text.value}, program=config.value.program))


def is_change_pending(observed: HostObserved) -> bool:
    """Whether the interfaces.new that waits differs from the file over which the next boot moves it, or may differ."""
    now, new = observed.text(MAIN_FILE), observed.text(LEFT_OVER)
    return not (isinstance(now, Seen) and isinstance(new, Seen) and now.value == new.value)


@derived
def ports_at_boot(observed: HostObserved) -> frozenset[str] | Unknown:
    """The ports and the links below VLANs that come up with what the boot brings up."""
    config = interfaces_config(observed)
    return config if isinstance(config, Unknown) else boot_ports(config.value)


@derived
def effects_at_boot(observed: HostObserved) -> tuple[BootEffect, ...] | Unknown:
    """What the shell lines of the interfaces files do at boot, in order."""
    config = interfaces_config(observed)
    return config if isinstance(config, Unknown) else tuple(up_effects(config.value))


def texts_of(
    observed: HostObserved, patterns: Sequence[str], passed_over: Sequence[str] = ()
) -> Mapping[str, bytes] | Unknown:
    """The observed files under some paths (`/*` takes a folder's files); one that could not be read spoils them all.

    `passed_over` are links to a file that is taken under its own name.
    """
    return _texts_of(observed, tuple(patterns), tuple(passed_over))


@derived
def _texts_of(
    observed: HostObserved, patterns: tuple[str, ...], passed_over: tuple[str, ...]
) -> Mapping[str, bytes] | Unknown:
    found: dict[str, bytes] = {}
    for pattern in patterns:
        others = observed.unlisted.get(f"file:{pattern[:-1]}", Unknown("was not looked at"))
        whole = others if pattern.endswith("/*") else observed.text(pattern)
        if isinstance(whole, Unknown):
            return Unknown(f"{pattern}: {whole.why}")
    for path, seen in observed.texts.items():
        if not any(path == p or (p.endswith("/*") and path.rsplit("/", 1)[0] == p[:-2]) for p in patterns):
            continue
        if isinstance(seen, Unknown) and path not in passed_over:
            return Unknown(f"{path}: {seen.why}")
        if isinstance(seen, Seen):
            found[path] = seen.value
    return found
