"""Lines of a megabyte in Proxmox's files cost no more than their length."""

import time

import pytest

from service.firewall.pve.node import Node
from service.firewall.trace.ignored import ignored_lines
from tests.firewall.asking import read

N = 100_000
CLUSTER = {
    "alias": "[ALIASES]\naa" + " " * N + "192.0.2.1",
    "comment of an alias": "[ALIASES]\naa 192.0.2.1" + " " * N + "#" + " " * N + "x",
    "comment of a rule": "[RULES]\nIN ACCEPT # x" + " " * N + "y",
    "comment of a group": "[group gg] # x" + " " * N + "y",
    "header": "[IPSET " + "]" * N + " x",
    "entry": "[IPSET gg]\n!" + " " * N + "192.0.2.1 x",
    "blanks of a rule": "[RULES]\nIN" + " " * N + "ACCEPT -p tcp" + " " * N + "x",
    "flags": "[RULES]\nIN ACCEPT" + " -i aa" * N,
    "macro": "[RULES]\nIN " + "(ACCEPT)" * N + "x",
    "addresses": "[RULES]\nIN ACCEPT -source " + "1-" * N,
    "ports": "[RULES]\nIN ACCEPT -p tcp -dport " + "1:" * N,
    "option": "policy_in: DROP" + " " * N + "x",
}
HOST = {"log level": "[OPTIONS]\nlog_level_in: info" + " " * N + "x", "helpers": "nf_conntrack_helpers: " + "ftp," * N}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        *(pytest.param("cluster.fw", "[OPTIONS]\nenable: 1\n" + text, id=name) for name, text in CLUSTER.items()),
        *(pytest.param("host.fw", text, id=name) for name, text in HOST.items()),
    ],
)
def test_a_long_line_is_read_in_time(file: str, text: str) -> None:
    began_s = time.process_time()
    ignored_lines({file: text.encode()}, Node())
    assert time.process_time() - began_s < 1


def test_blanks_around_comments_are_no_part_of_them() -> None:
    cluster = read(
        "[ALIASES]\nlan 192.0.2.1 \t #\t one # two  \nwan 192.0.2.2#\n"
        "[IPSET friends] #  three \t\nlan# four  five\n[group web]\t#six#\nin ACCEPT -p tcp# # seven \v\n"
    ).firewall.cluster
    assert [(alias.name, alias.cidr, alias.comment) for alias in cluster.aliases.values()] == [
        ("lan", "192.0.2.1", "one # two"),
        ("wan", "192.0.2.2", ""),
    ]
    assert (cluster.ipsets["friends"].comment, cluster.ipsets["friends"].entries[0].comment) == ("three", "four  five")
    assert (cluster.groups["web"].comment, cluster.groups["web"].rules[0].comment) == ("six#", "# seven")


@pytest.mark.parametrize("value", ["", "info", "INFO ", "nolog\v"])
def test_log_levels_may_be_empty_and_of_any_case(value: str) -> None:
    host = read(host=f"[OPTIONS]\nlog_level_in:  {value}\nlog_level_out: info,\n").firewall.host
    assert host.options == {"log_level_in": value.strip().lower()}
