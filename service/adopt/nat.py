"""NAT and port forwards, whoever makes them at boot: lines of the interfaces files, nft scripts, iptables' rules."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from service.adopt.forwarding import read_forwarding
from service.adopt.interfaces_read import significant
from service.adopt.material import Material
from service.adopt.sdn import of_proxmox
from service.adopt.sketch import Sketch
from service.formats.interfaces import InterfacesConfig, MasqueradeLine, UpLine, meanings
from service.formats.nat_files import (
    IPTABLES_FILE,
    NFT_FILES,
    NFT_MAIN,
    iptables_rules,
    nft_rules,
    of_command,
    of_iptables_rules,
    of_nft_script,
)
from service.formats.nat_found import FilterRule, ForwardRule, MasqueradeRule, NatFound, OtherRule
from service.formats.nat_rules import parse_nat_file
from service.model.observed import MasqueradeInForce
from service.model.states import Json, Seen
from service.resources.nat import NAT_FILE, TABLE
from service.resources.nat_makers import IPTABLES_UNIT, NFT_UNIT
from service.spec.yaml_text import flow

SECTION = "nat"
_SNAT = re.compile(
    r"-j SNAT --to(?:-source)? (\S+)|\bsnat(?: ip)?(?: to)? ([0-9a-fA-F.:\[\]-]+)(?=\s|$)|-j SNAT|\bsnat\b"
)


def read_nat(material: Material, config: InterfacesConfig, sketch: Sketch) -> None:
    """Write the masquerades into the sketch; tell forwards and what is not understood."""
    _register(material, sketch)
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
            sketch.notes.add("unmanaged", SECTION, where, _other(rule.text))
    for (source, out), stands in places.items():
        _masquerade(source, out, stands, sketch)
    _deletions(config, sketch)
    _live(material, places, sketch)
    read_forwarding(material, config, sketch)


def _register(material: Material, sketch: Sketch) -> None:
    """Every rule of the scripts, by chain, and the lines around them."""
    account = sketch.notes
    script = nft_rules(material.files)
    saved = iptables_rules(material.files.get(IPTABLES_FILE, b""), IPTABLES_FILE)
    nat = (*of_nft_script(material.files), *of_iptables_rules(material.files.get(IPTABLES_FILE, b""), IPTABLES_FILE))
    for rule in nat:
        account.read(SECTION, rule.path, [rule.line], _text_of(rule, (*script, *saved)))
    chains: dict[tuple[str, str], list[int]] = defaultdict(list)
    for filtered in (*script, *saved):
        if not account.knows(f"{filtered.path}:{filtered.line}"):
            chains[filtered.path, filtered.chain].append(filtered.line)
    for (path, chain), lines in chains.items():
        many = f"{len(lines)} rules" if len(lines) > 1 else "1 rule"
        account.read("firewall", path, lines, f"{many} of {chain}: no section describes them")
    read = {rule.path for rule in script} | {NFT_MAIN, IPTABLES_FILE}
    for path, data in material.below(*NFT_FILES, IPTABLES_FILE).items():
        what = "tables, chains and their policies" if path in read else "no file that the boot reads includes it"
        account.read("firewall", path, significant(data), what)
    if NAT_FILE in material.files:
        data = material.files[NAT_FILE]
        account.read(SECTION, NAT_FILE, significant(data), "passerelle's own table", whole=f"{NAT_FILE}:1")


def _text_of(rule: NatFound, rules: Iterable[FilterRule]) -> str:
    return next((r.text for r in rules if (r.path, r.line) == (rule.path, rule.line)), "")


def _other(text: str) -> str:
    """A rule of NAT that a spec does not say; source NAT to a fixed address is one."""
    match = _SNAT.search(text)
    if match is None:
        return text
    to = match[1] or match[2]
    return f"source NAT{f' to {to}' if to else ''}, while a spec's `nat` takes the interface's address: {text}"


def _from_lines(config: InterfacesConfig, sketch: Sketch) -> list[NatFound]:
    """What the shell lines of interfaces make that come up at boot."""
    found: list[NatFound] = []
    for line in _lines(config):
        made = of_command(line.text, line.path, line.line)
        found += (rule if _counts(rule, line) else OtherRule(line.text, line.path, line.line) for rule in made)
        if made and not any(word in line.text for word in (" -C ", " --check ")):
            what = f"adds its rule once more at every `ifreload -a`: {line.phase} {line.text}"
            sketch.notes.add("danger", SECTION, f"{line.path}:{line.line}", f"doubled NAT: {what}")
    return found


def _counts(rule: NatFound, line: UpLine) -> bool:
    """Whether a plan sees the masquerade of a shell line, too: only of a line that it understands as a whole."""
    seen = {(e.source, e.out) for e in line.effects if isinstance(e, MasqueradeLine) and e.action == "add"}
    return not isinstance(rule, MasqueradeRule) or (rule.source, rule.out) in seen


def _lines(config: InterfacesConfig) -> Iterator[UpLine]:
    """Shell lines that run at boot. Those of Proxmox's SDN are reported with its file."""
    foreign = of_proxmox(config).names
    for name, have in meanings(config).items():
        if have.at_boot and name not in foreign:
            yield from (line for line in have.up_lines if line.at_boot)


def _deletions(config: InterfacesConfig, sketch: Sketch) -> None:
    """Shell lines that take a masquerade away: part of the rule that the spec says, and taken over with it."""
    rules = sketch.values.get(SECTION)
    known = (
        [(rule["source"], rule["out"]) for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []
    )
    foreign = of_proxmox(config).names
    for name, have in meanings(config).items():
        for line in have.up_lines if have.at_boot and name not in foreign else ():
            effect = line.effects[0] if len(line.effects) == 1 else None
            if not isinstance(effect, MasqueradeLine) or effect.action != "delete":
                continue
            where, words = f"{line.path}:{line.line}", f"{name}: {line.phase} {line.text}"
            if (effect.source, effect.out) in known:
                place = (SECTION, known.index((effect.source, effect.out)))
                sketch.notes.add("understood", SECTION, where, words, place)
            else:
                sketch.notes.add("unmanaged", SECTION, where, words)


def _from_scripts(material: Material, sketch: Sketch) -> list[NatFound]:
    """What the files of nftables.service and netfilter-persistent.service make, where these start at boot."""
    found: list[NatFound] = []
    script = of_nft_script(material.files)
    saved = of_iptables_rules(material.files.get(IPTABLES_FILE, b""), IPTABLES_FILE)
    for path, unit, rules in ((NFT_MAIN, NFT_UNIT, script), (IPTABLES_FILE, IPTABLES_UNIT, saved)):
        if rules and material.is_off(unit):
            sketch.notes.add("danger", SECTION, path, f"holds NAT rules, but {unit} does not start at boot")
            continue
        if rules and unit not in material.units:
            sketch.notes.add("danger", SECTION, path, f"counts only if {unit} starts at boot, which is not known here")
        found += rules
    return found


def _from_own_file(material: Material) -> list[NatFound]:
    """What passerelle's own table makes already."""
    return [MasqueradeRule(s, o, NAT_FILE, 1) for s, o in parse_nat_file(material.files.get(NAT_FILE, b""))]


def _masquerade(source: str, out: str, where: list[str], sketch: Sketch) -> None:
    if source == "0.0.0.0/0" or not out:
        what = "masquerades " + ("every address" if source == "0.0.0.0/0" else f"{source} through any interface")
        for place in where:
            sketch.notes.add("unmanaged", SECTION, place, what)
        return
    rules = sketch.list(SECTION)
    rules.append({"source": source, "out": out})
    for place in where:
        what = f"{source} leaves through {out} under its address"
        sketch.notes.add("understood", SECTION, place, what, (SECTION, len(rules) - 1))
    if len(where) > 1:
        what = f"doubled NAT: {source} through {out} is made in {len(where)} places"
        sketch.notes.add("danger", SECTION, where[1], what)


def _live(material: Material, places: dict[tuple[str, str], list[str]], sketch: Sketch) -> None:
    """The running host against what its files would make."""
    if material.live is None or not isinstance(material.live.masquerades, Seen):
        return
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for made in material.live.masquerades.value:
        counts[made.source, made.out] += made.count
        if (made.source, made.out) not in places and made.table != f"nft {TABLE}":
            what = (
                f"{_named(made)} is made now by {made.table}, and no line that passerelle understands makes it at boot"
            )
            sketch.notes.add("danger", SECTION, "", what)
    for (source, out), where in places.items():
        count = counts[source, out]
        if count != 1:
            word = f"{count} times" if count else "not at all"
            what = f"{source} through {out} is made {word} now, and should be once"
            sketch.notes.add("danger", SECTION, where[0], what)


def _named(made: MasqueradeInForce) -> str:
    return f"the masquerade of {made.source} through {made.out or 'any interface'}"


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
        undo = "remove those lines on the host and the comment signs here"
        lines.append(f"  # made by {where} and others now. To let passerelle make it, {undo}")
    lines.append(f"  - {flow(value)}")


def _words(rule: ForwardRule) -> str:
    into = rule.iface or rule.address or "any interface"
    return f"{rule.proto} {','.join(rule.ports)} on {into} to {rule.to}{':' if rule.to_port else ''}{rule.to_port}"
