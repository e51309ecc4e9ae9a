"""Whether adopt understands interfaces files as people have them: python -m tests.adopt.public FOLDER [--long] > LIST.

FOLDER has `index.tsv` (number, repository, path, tab-separated; more columns are ignored) and a `NUMBER.txt` for each
line of it. Nothing of the folder belongs into this project: the list has repository, path, kinds and result only.

A file is the host's /etc/network/interfaces, and the host is as a boot with that file leaves it. A file that has an
interface called vmbr* is Proxmox's, booted by ifupdown2; any other file is booted by Debian's classic ifupdown.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.adopt import Adopted, ConnectionGiven, Material, Note, adopt
from service.errors import InputError
from service.formats.interfaces import CONF_FILE, load, meanings
from service.formats.interfaces.meant import PHASES
from service.formats.interfaces.wanted import DYNAMIC_METHODS
from service.model.observed import HostObserved
from service.model.states import Absent, Json, Seen
from service.resources.stanzas import meant_fields
from tests.adopt import laws
from tests.adopt.corpora import BASE, MAIN
from tests.adopt.trees import booted
from tests.laws.host import link

RESULTS = {
    "whole": "every line is in the spec, or says nothing; the plan is empty",
    "stanzas": "every stanza is in the spec; shell lines or name servers are named as left; the plan is empty",
    "part": "a stanza, or a line that makes it what it is, is named as left; the plan is empty",
    "plan": "the first plan is not empty",
    "refused": "adopt refuses the host, and says why",
    "error": "adopt fails, or says something that is not so",
}
KINDS = {
    "pve": rb"^\s*iface\s+vmbr", "bridge": rb"bridge[-_]ports", "vlan-aware": rb"bridge[-_]vlan[-_]aware",
    "vlan": rb"vlan[-_](raw[-_]device|id)|^\s*iface\s+[^\s.:]+\.\d+",
    "bond": rb"bond[-_](slaves|master|mode)|^\s+slaves\s",
    "dhcp": rb"inet6?\s+dhcp", "inet6": rb"inet6\s+(static|auto|dhcp|manual)|^\s+address\s+\S*::",
    "wireless": rb"wpa-|wireless-|^\s*wpa_", "hotplug": rb"^\s*allow-hotplug", "alias": rb"^\s*iface\s+\S+:\d",
    "nat": rb"MASQUERADE|SNAT|DNAT", "shell": rb"^\s*(pre-up|up|post-up|down|pre-down|post-down)\s",
    "ovs": rb"ovs_|ovs-", "mapping": rb"^\s*mapping\s", "ppp": rb"inet\s+ppp", "source": rb"^\s*source",
}  # fmt: skip
ADDRESS = "198.51.100.11"
_NO_ADDRESS = "do not say by which address it is reached"
_SAYS_NOTHING = (": every host has it, and no section describes it", "the line stays, its files are read")


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a file: a key of RESULTS, its kinds, and what is left or wrong, in adopt's own words."""

    result: str
    kinds: tuple[str, ...]
    left: tuple[str, ...] = field(default=())


def host_with(data: bytes) -> Material:
    """A host whose interfaces file this is."""
    given = Material({**BASE, MAIN: data})
    if re.search(KINDS["pve"], data, re.MULTILINE):
        given = replace(given, files={**given.files, CONF_FILE: b"multiple_vlan_aware_bridge_support=1\n"})
        return replace(given, ifupdown2="3.2.0-1+pmx9", packages={"ifupdown2": True, "ifupdown": False})
    return replace(given, packages={"ifupdown": True, "ifupdown2": False, "bridge-utils": True})


def judge(data: bytes) -> Judged:
    """Adopt, the laws of its report, and the first plan; never raises for what a file holds."""
    kinds = tuple(kind for kind, sign in KINDS.items() if re.search(sign, data, re.MULTILINE))
    given = host_with(data)
    try:
        made = _adopted(given)
    except InputError as error:
        return Judged("refused", kinds, (str(error),))
    except Exception as error:
        return Judged("error", kinds, (f"{type(error).__name__}: {error}",))
    if made.report.refusal:
        return Judged("refused", kinds, (made.report.refusal,))
    if wrong := _wrong(given, made):
        return Judged("error", kinds, (wrong,))
    if changes := _first_changes(given, made):
        return Judged("plan", kinds, changes)
    heads = {stanza.first_line for stanza in load({MAIN: data}).files[MAIN].stanzas}
    left = [note for note in made.report.notes if _is_left(note, data)]
    stanzas = [note for note in left if heads.intersection(note.lines) or not _is_small(note.what)]
    result = "part" if stanzas else "stanzas" if left else "whole"
    return Judged(result, kinds, tuple(note.what for note in stanzas or left))


def _adopted(given: Material) -> Adopted:
    try:
        return adopt(given)
    except InputError as error:
        if _NO_ADDRESS not in str(error):
            raise
    return adopt(given, ConnectionGiven(address=ADDRESS))


def _wrong(given: Material, made: Adopted) -> str:
    """A law of the report that does not hold."""
    try:
        laws.each_line_once(given, made)
        laws.links_and_nat_as_said(given, made)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}".partition("\n")[0]
    return ""


def _first_changes(given: Material, made: Adopted) -> tuple[str, ...]:
    host = _as_running(given, booted(given, laws.desired_of(made).watch))
    absent = {name for name, is_there in given.packages.items() if not is_there}
    absent |= {name for name in host.packages if name.startswith("pve-")}
    host = replace(host, packages={**host.packages, **dict.fromkeys(absent, Absent())})
    try:
        plan = laws.seen_plan(made, host)
    except Exception as error:
        return (f"{type(error).__name__}: {error}",)
    drifts = [drift.difference for drift in plan.drifts]
    found = [f"{d.kind} {d.resource} {d.field} [{d.where}]: {d.have} -> {d.want}" for d in drifts]
    return (*found, *(f"refused: {refusal.what}" for refusal in plan.refusals))


def _is_small(what: str) -> bool:
    """Whether a stanza is understood without this line of it: a shell line, or one that the kernel's links never see.

    Not so with a line that makes its interface what it is, such as a bond's ports, a VLAN's number, a bridge's VLANs, a
    radio's network or a MAC.
    """
    key = what.partition(": ")[2].partition(" ")[0]
    return key in PHASES or key.startswith("dns-") or key in ("network", "no")


def _as_running(given: Material, host: HostObserved) -> HostObserved:
    """The cards that the file only names, default routes of shell lines, and the address of a lease."""
    facts = dict(host.facts)
    routes: list[Json] = []
    leased: list[Json] = [f"{ADDRESS}/24"]
    for name, have in meanings(load(given.below(MAIN), program=given.boot_program())).items():
        gateways = meant_fields(have)["gateways"] if have.at_boot else []
        for gateway in gateways if isinstance(gateways, list) else []:
            routes.append({"family": 6 if ":" in str(gateway) else 4, "via": gateway, "dev": name})
        for port in have.bridge.ports if have.bridge is not None else ():
            facts.setdefault(f"link:{port}", Seen(link()))
            facts.setdefault(f"addresses:{port}", Seen([]))
        if have.at_boot and any(method in DYNAMIC_METHODS for method in have.methods):
            seen = facts.get(f"addresses:{name}")
            held = seen.value if isinstance(seen, Seen) and isinstance(seen.value, list) else []
            facts[f"addresses:{name}"], leased = Seen([*held, *leased]), []
    return replace(host, facts={**facts, "routes:default": Seen(routes)})


def _is_left(note: Note, data: bytes) -> bool:
    """Whether lines of the file are left that say something: an empty stanza that is not at boot says nothing."""
    if not note.lines or note.in_spec is True or note.where.rpartition(":")[0] != MAIN:
        return False
    if any(sign in note.what for sign in _SAYS_NOTHING):
        return False
    lines = data.split(b"\n")
    words = [lines[number - 1].split() for number in note.lines]
    is_idle = len(words) == 1 and words[0][:1] == [b"iface"] and words[0][3:] == [b"manual"]
    return not (is_idle and "is not brought up at boot" in note.what)


def judged(folder: Path) -> Iterator[tuple[str, str, Judged]]:
    """(repository, path, what became of it) of every line of the index."""
    for line in (folder / "index.tsv").read_text().splitlines():
        number, repository, path = line.split("\t")[:3]
        yield repository, path, judge((folder / f"{number}.txt").read_bytes())


def listed(found: Sequence[tuple[str, str, Judged]]) -> str:
    """The list as Markdown: counts, then a line for each file."""
    counts = Counter(one.result for _, _, one in found)
    good = counts["whole"] + counts["stanzas"]
    share = 100 * good / max(1, len(found))
    lines = ["# Interfaces files of public repositories, and what adopt makes of them", "",
             "Made by `python -m tests.adopt.public FOLDER`. The files themselves are not in this project.", "",
             f"{len(found)} files; every stanza understood and the plan empty: {good} ({share:.0f} %).",
             "", "| result | files | meaning |", "| --- | --- | --- |",
             *(f"| {name} | {counts[name]} | {words} |" for name, words in RESULTS.items()),
             "", "| kind | files | understood |", "| --- | --- | --- |"]  # fmt: skip
    for kind in KINDS:
        mine = [one.result for _, _, one in found if kind in one.kinds]
        lines.append(f"| {kind} | {len(mine)} | {sum(result in ('whole', 'stanzas') for result in mine)} |")
    lines += ["", "| repository | path | kinds | result |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {repo} | {path} | {' '.join(one.kinds)} | {one.result} |"
        for repo, path, one in sorted(found, key=lambda f: f[:2])
    ]
    return "".join(f"{line}\n" for line in lines)


def main(arguments: Sequence[str]) -> int:
    """The list on stdout; with --long what is left or wrong on stderr, which quotes the files."""
    found = [*judged(Path(arguments[0]))]
    sys.stdout.write(listed(found))
    if "--long" in arguments:
        for repository, path, one in found:
            if one.left:
                sys.stderr.write(f"{one.result}: {repository} {path}\n" + "".join(f"    {what}\n" for what in one.left))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
