"""VLANs of a host: from the kernel's table, as `ip -d link` prints them on the host."""

import json

import pytest

from service.hostside.canonical import links_from_json
from service.model.states import Seen
from service.observe.script import VLANS, question
from tests.observe.growth import framed
from tests.observe.samples import WATCH, read

TABLE = f"""==> {VLANS} <==
VLAN Dev name\t | VLAN ID
Name-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD
vmbr0.20       | 20  | vmbr0
storage        | 4094  | enp1s0
fifteen-letters| 7  | enp1s0
"""
NAMES = ("vmbr0.20", "storage", "fifteen-letters", "enp1s0")
OF_IP: list[dict[str, object]] = [
    {"ifname": "vmbr0.20", "link": "vmbr0", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "mtu": 1500,
     "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 20, "flags": ["REORDER_HDR"]}}},
    {"ifname": "enp1s0", "flags": ["UP"], "mtu": 1500},
]  # fmt: skip


def links(*of: str, table: str = TABLE, **more: object) -> bytes:
    shown = [{"ifname": name, "flags": ["UP"], "mtu": 1500, "addr_info": [], **more} for name in of]
    text = f"{json.dumps(shown)}\n[]\n"
    return framed({"values": table.encode(), "ip": text.encode()})


@pytest.mark.parametrize(
    ("name", "parent", "number"),
    [("vmbr0.20", "vmbr0", 20), ("storage", "enp1s0", 4094), ("fifteen-letters", "enp1s0", 7)],
)
def test_a_vlan_has_its_parent_and_its_number(name: str, parent: str, number: int) -> None:
    seen = read(links(*NAMES)).fact(f"link:{name}")
    assert seen == Seen({"type": "vlan", "up": True, "mtu": 1500, "master": None, "parent": parent, "id": number})


def test_a_card_is_none_and_without_the_table_nothing_is() -> None:
    card = Seen({"type": "other", "up": True, "mtu": 1500, "master": None})
    assert read(links(*NAMES)).fact("link:enp1s0") == card
    assert read(links(*NAMES, table="")).fact("link:vmbr0.20") == card


def test_the_link_below_in_another_namespace_has_no_name_here() -> None:
    seen = read(links("storage", link_netnsid=0)).fact("link:storage")
    assert isinstance(seen, Seen) and isinstance(seen.value, dict)
    assert (seen.value["parent"], seen.value["id"]) == (None, 4094)


def test_the_host_reads_the_same_from_ip() -> None:
    on_host = links_from_json(OF_IP)["vmbr0.20"]
    assert read(links("vmbr0.20")).fact("link:vmbr0.20") == Seen(on_host)


def test_the_table_is_only_read_where_it_is() -> None:
    assert f'[ -e {VLANS} ] && set -- "$@" {VLANS}\n' in "".join(question(WATCH))


def test_a_parent_with_hidden_characters_is_made_showable() -> None:
    seen = read(links("vmbr0.20", table=TABLE.replace("| vmbr0\n", "| vm\x1bbr0\n"))).fact("link:vmbr0.20")
    assert isinstance(seen, Seen)
    assert isinstance(seen.value, dict)
    assert seen.value["parent"] == "vmbr0"
