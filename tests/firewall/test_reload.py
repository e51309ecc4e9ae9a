"""The tables are loaded again and again while a host works: nothing established is lost, nothing closed is open."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.firewall.host import HostFirewall
from service.firewall.nft.guests import render_bridge_table
from service.firewall.nft.table import render_table
from service.lab.waiting import grown_s
from tests.firewall.host_specs import FLEET, Section, firewall_of

pytestmark = pytest.mark.host

RULES: list[Section] = [
    {"type": "in", "action": "accept", "proto": "tcp", "dport": 9000},
    {"type": "in", "action": "accept", "macro": "Ping"},
    {"type": "forward", "action": "accept", "proto": "tcp", "dport": 9000},
]
CLOSED: Section = {"policy_in": "drop", "policy_out": "drop", "policy_forward": "drop"}
GUESTS: Section = {
    "dev": {
        "mac": "bc:24:11:00:00:01",
        "address": "10.10.10.99",
        "firewall": {"rules": [{"type": "in", "action": "accept", "macro": "HTTP"}]},
    }
}


def reload_of(firewall: HostFirewall) -> str:
    """The whole as the host loads it: each table takes the place of the one before, in one transaction."""
    text = ""
    for table in (render_table(firewall), render_bridge_table(firewall)):
        assert table is not None
        text += f"table {table.name}\ndelete table {table.name}\n{table.load}"
    return text


def driven(loads: list[str], times: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.firewall.reload_driver"],
        cwd=Path(__file__).parents[2],
        input=json.dumps({"loads": loads, "times": times}) + "\n",
        capture_output=True,
        text=True,
        timeout=grown_s(100),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_reloads_lose_no_flow_and_open_no_window() -> None:
    """Under a flood of connection attempts: with the policies alone as the end of the chains, 2 to 50 of 100,000 came
    through.
    """
    more: list[Section] = [{"type": "in", "action": "drop", "source": f"192.0.2.{n}"} for n in range(200)]
    loads = [
        reload_of(firewall_of({**CLOSED, "rules": [*more[:many], *RULES]}, FLEET, (), GUESTS)) for many in (0, 200)
    ]
    said = driven(loads, 150)
    assert said["problems"] == []
    assert said["heard"] == {"host": 0, "server": 0}, "a knock came through"
    assert said["told"]["pings"] == said["told"]["pongs"]
    assert min(said["told"].values()) > 100, said


def test_a_window_without_rules_would_be_seen() -> None:
    whole = reload_of(firewall_of({**CLOSED, "rules": RULES}, FLEET, (), GUESTS))
    said = driven([whole, "delete table inet passerelle\ndelete table bridge passerelle\n"], 2)
    assert min(said["heard"].values()) > 0
