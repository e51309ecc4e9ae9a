"""A firewall file of Proxmox VE, wholly ours: compared by what Proxmox understands, written as Proxmox writes it.

Below /etc/pve everything belongs to root and www-data with mode 0640 (pmxcfs(8)); Proxmox's daemon reads the files
every 10 s and needs no reload. A line that Proxmox would skip is a difference, too: nobody would see it otherwise.
Which of Proxmox's two programs obeys the files (`nftables` in host.fw) is the host's own choice, and stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from service.firewall.pve.comments import keep_comments
from service.firewall.pve.files import PveReading, read_cluster, read_guest, read_host
from service.firewall.pve.in_place import in_place
from service.firewall.pve.node import CLUSTER_FILE, HOST_FILE, NFTABLES, PROXMOX_FIREWALL, NodeFirewall
from service.firewall.pve.options import DEFAULTS
from service.firewall.pve.render import render, rule_line
from service.firewall.terms.model import Level, Rule
from service.firewall.trace.node_trace import NodeAnalyser
from service.model.ceilings import Opening
from service.model.changes import Difference
from service.model.observed import HostObserved, ManagementPath
from service.model.plans import Left, Passing
from service.model.states import Absent, Json, Observed, Seen
from service.resources.desired import Desired, LastApplied
from service.resources.files import OwnFile
from service.resources.kept_out import kept_out
from service.resources.opening import UNTOLD
from service.resources.resource import Phase

FOLDER = "/etc/pve/firewall"
_ALWAYS = ("enable", "policy_in", "policy_out")
"""Options that are reported even where they are as usual. Whether they are written makes no difference."""
MODE, WWW_DATA = "0640", 33
ENV = "ct"


@dataclass(frozen=True)
class PveFirewallFile(OwnFile):
    """cluster.fw, host.fw or VMID.fw. `firewall` is the whole that it is a part of; `level` what it says."""

    level: Level = field(kw_only=True)
    firewall: NodeFirewall = field(kw_only=True)

    def meaning(self, content: bytes) -> Mapping[str, Json]:
        """{"policy_in": …, "alias x": …, "ipset x": […], "rules": […], "group x": […], "ignored": […]}"""
        reading = self.read(content)
        level = reading.level
        usual = DEFAULTS[level.kind]
        switches = {name: value for name, value in usual.items() if name in _ALWAYS}
        fields: dict[str, Json] = {
            f"option {name}": value
            for name, value in sorted({**switches, **level.options}.items())
            if name in _ALWAYS or (value != usual.get(name) and name != NFTABLES)
        }
        fields |= {f"alias {alias.name}": alias.cidr for alias in level.aliases.values()}
        for ipset in level.ipsets.values():
            entries: list[Json] = [*sorted(f"{'!' if e.nomatch else ''}{e.cidr}" for e in ipset.entries)]
            fields[f"ipset {ipset.name}"] = entries
        fields["rules"] = _lines(level.rules)
        fields |= {f"group {group.name}": _lines(group.rules) for group in level.groups.values()}
        skipped: list[Json] = [f"{item.text} ({item.reason})" for item in reading.ignored]
        return {**fields, "ignored": skipped} if skipped else fields

    def beside(self, there: Observed[bytes]) -> bytes | None:
        """Lines that mean what they should stay as they are, comments, too."""
        if self.content is None or not isinstance(there, Seen):
            return self.content
        content = self.with_backend(self.content, self.read(there.value).level)
        made = in_place(content, there.value, lambda data: self.read(data).level)
        if made is not None and self.meaning(made) == self.meaning(content) and self.keeps_backend(made, content):
            return made
        return keep_comments(content, there.value)

    def with_backend(self, content: bytes, there: Level) -> bytes:
        """The same, with the program that the host has chosen."""
        if self.level.kind != "host" or NFTABLES not in there.options:
            return content
        options = {**self.level.options, NFTABLES: there.options[NFTABLES]}
        return written(replace(self.level, options=options), self.firewall.cluster)

    def keeps_backend(self, made: bytes, content: bytes) -> bool:
        """Whether both files choose the same program."""
        return self.read(made).level.on(NFTABLES, default=False) == self.read(content).level.on(NFTABLES, default=False)

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        """A file that is not there means the same as one that says nothing but the usual."""
        is_absent = isinstance(observed.fact(self.id), Absent)
        if self.content is None or not is_absent or self.meaning(self.content) != self.meaning(b""):
            yield from super().differences(observed)

    @classmethod
    def left_behind(cls, desired: Desired, base: LastApplied, observed: HostObserved) -> Iterator[Left]:
        """Files that Proxmox continues obeying: without them the node may be open, so nobody removes them unasked."""
        for path in desired.no_longer(base, "file", "file"):
            if path.startswith("/etc/pve/") and not isinstance(observed.fact(f"file:{path}"), Absent):
                yield Left(
                    f"file:{path}",
                    f"{path} stays as the spec described it, and Proxmox's firewall still uses it",
                    f"edit it in Proxmox, or remove it on {observed.host} by hand",
                )

    def read(self, content: bytes) -> PveReading:
        """What Proxmox reads of a file in this place."""
        return read_level(content, self.level, self.firewall.cluster)

    @cached_property
    def analyser(self) -> NodeAnalyser | None:
        """What counts for the whole node: host.fw's file has it, so that it is computed once."""
        return NodeAnalyser(self.firewall) if self.level.kind == "host" else None

    def reach(self, observed: HostObserved) -> Iterator[Passing]:
        """That nobody compared it: what passes by Proxmox's own files is not worked out."""
        yield Passing(f"what {self.path} opens and closes is not computed", None, None)

    def opens_beyond(self, observed: HostObserved, may_open: Sequence[Opening]) -> Iterator[str]:
        """Any change: what it opens cannot be known."""
        yield f"changes {self.path}: {UNTOLD}"

    def keeps_out(self, path: ManagementPath, devices: Sequence[str]) -> Iterator[str]:
        """How the node's rules would keep the service from connecting again, with either program."""
        found = list(kept_out(self.analyser, path, devices))
        yield from found
        if self.analyser is not None and not found:
            for why in kept_out(NodeAnalyser(self.firewall, by_nft=True), path, devices):
                yield f"with {PROXMOX_FIREWALL}, {why}"


def pve_file(kind: str, level: Level, firewall: NodeFirewall, node: str) -> PveFirewallFile:
    """The file of a level on a node. Raises InputError for what Proxmox would not read as it is meant."""
    path = f"/etc/pve/nodes/{node}/{HOST_FILE}" if level.kind == "host" else f"{FOLDER}/{_named(level).file}"
    cause = "read by pve-firewall within 10 s"
    return PveFirewallFile(
        kind, path, written(level, firewall.cluster), "pve", mode=MODE, phase=Phase.NAT + 5, cause=cause, gid=WWW_DATA,
        level=level, firewall=firewall,
    )  # fmt: skip


def written(level: Level, cluster: Level) -> bytes:
    """As Proxmox writes the file. Raises InputError."""
    return render(_named(level), _named(cluster), ENV)


def read_level(content: bytes, level: Level, cluster: Level) -> PveReading:
    """What Proxmox reads."""
    known = _named(cluster)
    if level.kind == "cluster":
        return read_cluster(content, CLUSTER_FILE)
    if level.kind == "host":
        return read_host(content, HOST_FILE, known)
    return read_guest(content, f"{level.vmid}.fw", level.vmid, ENV, known)


def _named(level: Level) -> Level:
    """The level under the name of its file on a node, as reading gives it."""
    file = {"cluster": CLUSTER_FILE, "host": HOST_FILE}.get(level.kind, f"{level.vmid}.fw")
    return replace(level, file=file)


def _lines(rules: tuple[Rule, ...]) -> list[Json]:
    return [rule_line(rule) for rule in rules]
