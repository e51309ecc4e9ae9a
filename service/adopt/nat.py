"""NAT and port forwards, whoever makes them at boot: lines of the interfaces files, nft scripts, iptables' rules."""

from collections import defaultdict

from service.adopt.material import Material
from service.adopt.sketch import Sketch
from service.formats.interfaces import InterfacesConfig, meanings
from service.formats.nat_files import (
    IPTABLES_FILE,
    NFT_MAIN,
    ForwardRule,
    MasqueradeRule,
    NatFound,
    of_command,
    of_iptables_rules,
    of_nft_script,
)
from service.formats.nat_rules import parse_nat_file
from service.model.observed import MasqueradeInForce
from service.model.states import Json, Seen
from service.resources.nat import NAT_FILE, TABLE
from service.resources.nat_makers import IPTABLES_UNIT, NFT_UNIT
from service.resources.sysctls import FORWARDING, Sysctl
from service.spec.yaml_text import flow


def read_nat(material: Material, config: InterfacesConfig, sketch: Sketch) -> None:
    """Write the masquerades into the sketch; tell forwards and what is not understood."""
    found = [*_from_lines(config, sketch), *_from_scripts(material, sketch), *_from_own_file(material)]
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for rule in found:
        where = f"{rule.path}:{rule.line}"
        if isinstance(rule, MasqueradeRule):
            places[rule.source, rule.out].append(where)
        elif isinstance(rule, ForwardRule):
            sketch.notes.add("unmanaged", "forwards", where, f"port forward: {_words(rule)}")
            _suggest(rule, where, sketch)
        else:
            sketch.notes.add("unmanaged", "nat", where, rule.text)
    for (source, out), stands in places.items():
        _masquerade(source, out, stands, sketch)
    _live(material, places, sketch)
    if "nat" in sketch.values and not _forwards_at_boot(material):
        what = "NAT is made, but nothing sets net.ipv4.ip_forward at boot: the plan would"
        sketch.notes.add("danger", "nat", "", what)


def _from_lines(config: InterfacesConfig, sketch: Sketch) -> list[NatFound]:
    """What the shell lines of interfaces make that come up at boot."""
    found: list[NatFound] = []
    for have in meanings(config).values():
        for line in have.up_lines:
            if not (have.at_boot and line.at_boot):
                continue
            made = of_command(line.text, line.path, line.line)
            found += made
            if made and not any(word in line.text for word in (" -C ", " --check ")):
                what = f"adds its rule once more at every `ifreload -a`: {line.phase} {line.text}"
                sketch.notes.add("danger", "nat", f"{line.path}:{line.line}", f"doubled NAT: {what}")
    return found


def _from_scripts(material: Material, sketch: Sketch) -> list[NatFound]:
    """What the files of nftables.service and netfilter-persistent.service make, where these start at boot."""
    found: list[NatFound] = []
    script = of_nft_script(material.files)
    saved = of_iptables_rules(material.files.get(IPTABLES_FILE, b""), IPTABLES_FILE)
    for path, unit, rules in ((NFT_MAIN, NFT_UNIT, script), (IPTABLES_FILE, IPTABLES_UNIT, saved)):
        if rules and material.is_off(unit):
            sketch.notes.add("danger", "nat", path, f"holds NAT rules, but {unit} does not start at boot")
            continue
        if rules and unit not in material.units:
            sketch.notes.add("danger", "nat", path, f"counts only if {unit} starts at boot, which is not known here")
        found += rules
    return found


def _from_own_file(material: Material) -> list[NatFound]:
    """What passerelle's own table makes already."""
    return [MasqueradeRule(s, o, NAT_FILE, 1) for s, o in parse_nat_file(material.files.get(NAT_FILE, b""))]


def _masquerade(source: str, out: str, where: list[str], sketch: Sketch) -> None:
    if source == "0.0.0.0/0" or not out:
        what = "masquerades " + ("every address" if source == "0.0.0.0/0" else f"{source} through any interface")
        sketch.notes.add("unmanaged", "nat", where[0], what)
        return
    value: dict[str, Json] = {"source": source, "out": out}
    sketch.list("nat").append(value)
    sketch.notes.add("understood", "nat", where[0], f"{source} leaves through {out} under its address")
    if len(where) > 1:
        what = f"doubled NAT: {source} through {out} is made in {len(where)} places"
        sketch.notes.add("danger", "nat", where[1], what)


def _live(material: Material, places: dict[tuple[str, str], list[str]], sketch: Sketch) -> None:
    """The running host against what its files would make."""
    if material.live is None or not isinstance(material.live.masquerades, Seen):
        return
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for made in material.live.masquerades.value:
        counts[made.source, made.out] += made.count
        if (made.source, made.out) not in places and made.table != f"nft {TABLE}":
            sketch.notes.add("danger", "nat", "", f"{_named(made)} is made now by {made.table}, and not after a reboot")
    for (source, out), where in places.items():
        count = counts[source, out]
        if count != 1:
            word = f"{count} times" if count else "not at all"
            what = f"{source} through {out} is made {word} now, and should be once"
            sketch.notes.add("danger", "nat", where[0], what)


def _named(made: MasqueradeInForce) -> str:
    return f"the masquerade of {made.source} through {made.out or 'any interface'}"


def _forwards_at_boot(material: Material) -> bool:
    """Whether something sets forwarding at boot; True where that cannot be known without the host."""
    if material.live is None:
        return True
    at_boot = Sysctl("nat", FORWARDING, "1", "").at_boot(material.live)
    return not isinstance(at_boot, Seen) or at_boot.value == "1"


def _suggest(rule: ForwardRule, where: str, sketch: Sketch) -> None:
    """The forward as a comment: ours has more to it than a DNAT, so it takes the place of that rule."""
    if not rule.iface:
        return
    ports: list[Json] = [int(port) if port.isdecimal() else port for port in rule.ports]
    value: dict[str, Json] = {"in": rule.iface, "ports": ports, "to": rule.to}
    if rule.to_port and [rule.to_port] != list(rule.ports):
        value["to_port"] = int(rule.to_port)
    if rule.proto != "tcp":
        value["proto"] = rule.proto
    lines = sketch.suggestions.setdefault("forwards", [])
    if not lines:
        lines.append(f"  # made by {where} and others now: take that away on the host, and the signs in front here")
    lines.append(f"  - {flow(value)}")


def _words(rule: ForwardRule) -> str:
    into = rule.iface or rule.address or "any interface"
    return f"{rule.proto} {','.join(rule.ports)} on {into} to {rule.to}{':' if rule.to_port else ''}{rule.to_port}"
