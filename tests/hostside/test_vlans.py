"""VLANs on the host: made, removed and rolled back, also on a VLAN-aware bridge."""

from typing import Any

import pytest

from tests.hostside.scratch import ID, Answer, Scratch

VLAN = {"type": "vlan", "parent": "vmbr0", "id": 20, "up": True}
THERE: Any = VLAN | {"mtu": 1500, "master": None, "mac": "02:00:00:00:00:20"}


def links(scratch: Scratch) -> dict[str, Any]:
    return dict(scratch.get("kernel.json")["links"])


def with_links(scratch: Scratch, vids: list[int] | None = None, **more: Any) -> Scratch:
    """The host with more links; with `vids` its bridge is VLAN-aware and takes part in these VLANs."""
    kernel = scratch.get("kernel.json")
    kernel["links"] |= more
    kernel["links"]["vmbr0"] |= {"vids": vids} if vids is not None else {}
    scratch.put("kernel.json", kernel)
    return scratch


def apply(scratch: Scratch, before: Any, after: Any, name: str = "vmbr0.20") -> Answer:
    step = scratch.step(f"link:{name}", before, after)
    return scratch.begin(scratch.document(steps=[step], checks=[], blobs={}, keep=[]))


def test_a_vlan_is_made_and_goes_with_the_rollback(scratch: Scratch) -> None:
    assert apply(scratch, None, VLAN)["state"] == "applied"
    made = links(scratch)["vmbr0.20"]
    assert (made["parent"], made["id"], made["up"], "vids" in links(scratch)["vmbr0"]) == ("vmbr0", 20, True, False)
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert "vmbr0.20" not in links(scratch)


@pytest.mark.parametrize(("before", "during"), [([1], [1, 20]), ([1, 20], [1, 20]), ([20], [20])])
def test_a_vlan_aware_bridge_takes_part_in_it_as_long_as_it_is_there(
    scratch: Scratch, before: list[int], during: list[int]
) -> None:
    with_links(scratch, vids=before)
    assert apply(scratch, None, VLAN)["state"] == "applied"
    assert links(scratch)["vmbr0"]["vids"] == during
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert links(scratch)["vmbr0"]["vids"] == before


def test_a_removed_vlan_comes_back_as_it_was(scratch: Scratch) -> None:
    more: Any = {"vmbr0.20": THERE}
    old = links(with_links(scratch, vids=[1, 20], **more))
    assert apply(scratch, {"type": "vlan"}, None)["state"] == "applied"
    assert "vmbr0.20" not in links(scratch)
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert links(scratch) == old


def test_another_vlan_that_somebody_made_under_the_name_gives_way_to_the_old_one(scratch: Scratch) -> None:
    more: Any = {"vmbr0.20": THERE}
    another: Any = {"vmbr0.20": THERE | {"id": 30}}
    with_links(scratch, **more)
    assert apply(scratch, {"mtu": 1500}, {"mtu": 1400})["state"] == "applied"
    with_links(scratch, **another)
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert links(scratch)["vmbr0.20"] == THERE


def test_a_port_that_left_a_vlan_aware_bridge_comes_back_with_its_vlans(scratch: Scratch) -> None:
    vids: Any = [{"vlan": 2, "flags": ["PVID"]}, {"vlan": 20, "vlanEnd": 30, "flags": []}]
    more: Any = {"vmbr1": dict(links(scratch)["vmbr0"])}
    more["enp1s0"] = links(scratch)["enp1s0"] | {"master": "vmbr0", "port_vids": vids}
    old = links(with_links(scratch, vids=[1, 20], **more))
    taken: Any = {"type": "bridge", "ports": [{"name": "enp1s0", "up": True}]}
    assert apply(scratch, {"type": "bridge"}, taken, "vmbr1")["state"] == "applied"
    assert links(scratch)["enp1s0"]["master"] == "vmbr1"
    assert "port_vids" not in links(scratch)["enp1s0"]
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert links(scratch) == old


def test_a_bond_in_place_of_a_port_of_a_vlan_aware_bridge_takes_over_its_vlans(scratch: Scratch) -> None:
    vids: Any = [{"vlan": 2, "flags": ["PVID"]}, {"vlan": 20, "vlanEnd": 30, "flags": []}]
    more: Any = {"bond0": links(scratch)["enp1s0"] | {"type": "bond"}}
    more["enp1s0"] = links(scratch)["enp1s0"] | {"master": "vmbr0", "port_vids": vids}
    old = links(with_links(scratch, vids=[1, 20], **more))
    bond: Any = {"type": "bond", "mode": "active-backup", "ports": [{"name": "enp1s0", "up": True}]}
    bridge: Any = {"type": "bridge", "ports": [{"name": "bond0", "up": True}]}
    steps = [
        scratch.step("link:bond0", {"type": "bond"}, bond),
        scratch.step("link:vmbr0", {"type": "bridge"}, bridge),
    ]
    assert scratch.begin(scratch.document(steps=steps, checks=[], blobs={}, keep=[]))["state"] == "applied"
    assert (links(scratch)["enp1s0"]["master"], links(scratch)["bond0"]["master"]) == ("bond0", "vmbr0")
    assert links(scratch)["bond0"]["port_vids"] == vids
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert links(scratch) == old


def test_a_card_is_never_deleted(scratch: Scratch) -> None:
    answer = apply(scratch, {"type": "other"}, None, "enp1s0")
    assert answer["state"] == "rolled_back"
    assert "enp1s0 is neither a bridge nor a bond nor a VLAN: not ours to delete" in str(answer)


def test_a_vlan_without_the_link_below_it_is_rolled_back(scratch: Scratch) -> None:
    answer = apply(scratch, None, VLAN | {"parent": "enp9s0"})
    assert answer["state"] == "rolled_back"
    assert "enp9s0" in str(answer)
