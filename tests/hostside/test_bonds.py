"""Bonds: what `ip` says of them as facts, and in which order they are changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.hostside import set_bonds
from service.hostside.canonical import links_from_json
from service.hostside.errors import Trouble
from service.hostside.facts import same
from service.hostside.host import Host
from service.hostside.set_bonds import BondSetter
from service.hostside.set_network import NetworkSetter
from service.observe.bonds import bonds_of

DATA = {
    "mode": "802.3ad", "miimon": 100, "xmit_hash_policy": "layer2+3", "ad_lacp_rate": "fast", "active_slave": "a0",
    "primary": "a0",
}  # fmt: skip
SYSFS = """==> /sys/class/net/bond0/bonding/mode <==
802.3ad 4

==> /sys/class/net/bond0/bonding/miimon <==
100

==> /sys/class/net/bond0/bonding/xmit_hash_policy <==
layer2+3 2

==> /sys/class/net/bond0/bonding/lacp_rate <==
fast 1

==> /sys/class/net/bond0/bonding/primary <==

"""


def test_a_bond_has_what_counts_in_its_mode() -> None:
    link = {"ifname": "bond0", "flags": ["UP"], "mtu": 1500, "linkinfo": {"info_kind": "bond", "info_data": DATA}}
    facts = links_from_json([link, {"ifname": "a0", "flags": ["UP"], "mtu": 1500, "master": "bond0"}])
    wanted = {
        "type": "bond", "up": True, "mtu": 1500, "master": None, "mode": "802.3ad", "miimon": 100,
        "hash_policy": "layer2+3", "lacp_rate": "fast", "ports": [{"name": "a0", "up": True}],
    }  # fmt: skip
    assert facts["bond0"] == wanted
    of_sysfs = {**link, "linkinfo": {"info_kind": "bond", "info_data": bonds_of(SYSFS)["bond0"]}}
    assert links_from_json([of_sysfs])["bond0"] == {**wanted, "ports": []}


def test_a_bond_with_another_port_is_not_as_wanted_though_a_bridge_would_be() -> None:
    found = {"type": "bond", "ports": [{"name": "a0", "up": True}, {"name": "a1", "up": True}]}
    assert not same("link:bond0", {"type": "bond", "ports": [{"name": "a0", "up": True}]}, found)
    assert same("link:bond0", {"type": "bond", "ports": found["ports"]}, found)


def test_a_bond_without_a_primary_is_read_where_its_file_is_the_last_one() -> None:
    assert bonds_of(SYSFS[:-1])["bond0"] == bonds_of(SYSFS)["bond0"]
    assert bonds_of(SYSFS[:-1])["bond0"]["primary"] == ""


class Kernel:
    """`ip` on a host with one bond: it does what the bonding driver does with ports, and keeps each call."""

    def __init__(self, folder: Path, carriers: set[str]) -> None:
        self.state = folder / "state.json"
        self.said = folder / "said"
        links: dict[str, Any] = {
            name: {"ifname": name, "flags": ["UP", *(["LOWER_UP"] if name in carriers else [])], "mtu": 1500}
            for name in ("a0", "a1", "a2")
        }
        links["a0"]["master"] = links["a1"]["master"] = "bond0"
        info = {"info_kind": "bond", "info_data": {**DATA, "mode": "active-backup", "primary": ""}}
        links["bond0"] = {"ifname": "bond0", "flags": ["UP", "LOWER_UP"], "mtu": 1500, "linkinfo": info}
        self.state.write_text(json.dumps(links))
        program = folder / "ip"
        program.write_text(IP.format(state=self.state, said=self.said))
        program.chmod(0o755)
        self.host = Host(root=str(folder), bin_dir=str(folder))

    def words(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []


IP = """#!/usr/bin/python3
import json, sys
words = sys.argv[1:]
links = json.load(open("{state}"))
if "show" in words:
    print(json.dumps(list(links.values())))
    sys.exit()
open("{said}", "a").write(" ".join(words) + "\\n")
name, rest = words[3], words[4:]
link = links[name]
if rest[0] == "master":
    if "UP" in link["flags"]:
        sys.exit("Error: Device can not be enslaved while up.")
    link["master"] = rest[1]
elif rest[0] == "nomaster":
    link.pop("master", None)
    link["flags"] = [flag for flag in link["flags"] if flag != "UP"]
elif rest[0] == "down":
    link["flags"] = [flag for flag in link["flags"] if flag != "UP"]
elif rest[0] == "up" and "UP" not in link["flags"]:
    link["flags"].append("UP")
elif rest[:3] == ["type", "bond", "mode"]:
    if "UP" in link["flags"] or any(one.get("master") == name for one in links.values()):
        sys.exit("Error: unable to change mode: it is up or has ports")
    link["linkinfo"]["info_data"]["mode"] = rest[3]
json.dump(links, open("{state}", "w"))
"""


def wanted(*ports: str, mode: str = "active-backup") -> dict[str, Any]:
    return {"type": "bond", "up": True, "mode": mode, "miimon": 100, "primary": "",
            "ports": [{"name": port, "up": True} for port in ports]}  # fmt: skip


def test_a_new_port_is_there_before_an_old_one_goes_and_what_goes_comes_up_again(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, {"a0", "a2"})
    NetworkSetter(kernel.host, {"mac": {}}).set_link("bond0", wanted("a2"))
    said = kernel.words()
    assert said.index("link set dev a2 master bond0") < said.index("link set dev a0 nomaster")
    assert said.index("link set dev a2 down") < said.index("link set dev a2 master bond0")
    assert "link set dev a0 up" in said[said.index("link set dev a0 nomaster") :]


def test_the_last_port_with_a_link_stays_where_the_new_one_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_bonds, "LINK_S", 0.0)
    kernel = Kernel(tmp_path, {"a0"})
    with pytest.raises(Trouble, match="none of a2 has a link, so bond0 keeps the ports that it has"):
        NetworkSetter(kernel.host, {"mac": {}}).set_link("bond0", wanted("a2"))
    assert not [words for words in kernel.words() if "nomaster" in words]


def test_a_rollback_brings_a_port_back_that_has_no_link_and_leaves_out_one_that_is_no_more(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, {"a0", "a1"})
    setter = NetworkSetter(kernel.host, {"mac": {}})
    setter.is_back = True
    setter.set_link("bond0", wanted("a2", "a3"))
    after = links_from_json(list(json.loads(kernel.state.read_text()).values()))["bond0"]
    assert after["ports"] == [{"name": "a2", "up": True}]


def test_the_mode_changes_while_the_bond_is_down_and_has_no_ports(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, {"a0", "a1"})
    setter = NetworkSetter(kernel.host, {"mac": {}})
    setter.set_link("bond0", wanted("a0", "a1", mode="balance-alb"))
    after = links_from_json(list(json.loads(kernel.state.read_text()).values()))["bond0"]
    assert (after["mode"], after["up"], [port["name"] for port in after["ports"]]) == (
        "balance-alb",
        True,
        ["a0", "a1"],
    )
    before = len(kernel.words())
    BondSetter(kernel.host, setter.ip).set("bond0", wanted("a0", "a1", mode="balance-alb"), after)
    assert [words for words in kernel.words()[before:] if "master" in words or "mode" in words] == []
