"""A node as Proxmox 9's installer makes it, with an SDN zone that has DHCP: the tree in tests/adopt/pve9.

bond0 on nic0 and nic1, a VLAN-aware vmbr0, the node's address on vmbr0.20.
"""

from dataclasses import replace
from pathlib import Path

from service.adopt import adopt
from service.answers.topology_sdn import sdn_nodes
from service.cli.host_tree import read_host_tree
from service.firewall.pve.node import PROXMOX_FIREWALL, PVE_FIREWALL
from service.kinds.claims import AddressClaim, Claim, Named, Serves
from service.model.facts import Step
from service.model.states import Absent, Json, Observed, Seen
from service.model.topology import SdnNetwork
from service.observe.pve_node import HOST_FW, NODE_WATCH, UNITS, backend_of, sdn_of
from service.plan.sdn import sdn_clashes
from tests.laws.host import bare_host

TREE = Path(__file__).parent / "pve9"
SDN_FILE = "/etc/network/interfaces.d/sdn"
FILES = {f"/{path.relative_to(TREE)}": path.read_bytes() for path in TREE.rglob("*") if path.is_file()}
HOST = bare_host(NODE_WATCH, FILES)


def test_nothing_of_the_sdn_gets_into_the_spec() -> None:
    made = adopt(read_host_tree(TREE))
    assert not any(word in made.text for word in ("vnet1", "10.30.0", "z1"))
    of_sdn = [note for note in made.report.notes if note.where.startswith((SDN_FILE, "/etc/dnsmasq.d/z1"))]
    assert {note.sort for note in of_sdn} == {"unmanaged"}
    assert all("made by Proxmox's SDN" in note.what for note in of_sdn)


def test_the_sdn_is_read_and_shown() -> None:
    sdn = sdn_of(HOST)
    assert isinstance(sdn, Seen)
    assert (sdn.value.version, sdn.value.dhcp_zones, sdn.value.problems) == (3, ("z1",), ())
    (node,) = sdn_nodes([], HOST)
    assert (node.name, node.zone, node.kind, node.clashes) == ("vnet1", "z1", "simple", ())
    assert node.networks == (SdnNetwork("10.30.0.0/24", "10.30.0.1", snat=True, dhcp=True),)
    assert sdn_nodes([], None) == ()


def test_what_the_spec_wants_too_is_told_with_the_fix() -> None:
    def clashes(*claims: Claim) -> list[str]:
        (node,) = sdn_nodes(claims, HOST)
        assert all(" Fix: " in clash for clash in node.clashes)
        return [clash.partition(". Fix:")[0] for clash in node.clashes]

    assert clashes(AddressClaim("vmbr1", "10.30.0.1/24")) == [
        "vmbr1 has 10.30.0.1/24, the same address as 10.30.0.0/24 of vnet1"
    ]
    assert clashes(AddressClaim("vmbr1", "10.0.0.1/8")) == [
        "vmbr1 has 10.0.0.1/8, the same network as 10.30.0.0/24 of vnet1"
    ]
    assert clashes(AddressClaim("vmbr1", "10.40.0.1/24")) == []
    assert clashes(Named("vnet1", "bridge")) == ["the spec has vnet1, too"]
    assert clashes(Serves("dhcp", "vnet1")) == ["the spec's dnsmasq serves vnet1, as Proxmox's may"]


def test_which_program_has_the_rules_is_a_fact() -> None:
    runs: dict[str, Observed[Json]] = {
        f"unit:{unit}": Seen({"enabled": "enabled", "active": True}) for unit in UNITS.values()
    }
    host = replace(HOST, facts={**HOST.facts, **runs})
    said = backend_of(host)
    assert (said.program, said.why, said.trouble) == (PVE_FIREWALL, "host.fw has no nftables: 1", "")
    chosen = replace(host, texts={**host.texts, HOST_FW: Seen(b"[OPTIONS]\nnftables: 1\n")})
    assert (backend_of(chosen).program, backend_of(chosen).why) == (PROXMOX_FIREWALL, "host.fw:2 has nftables: 1")
    gone = replace(chosen, facts={**chosen.facts, "unit:proxmox-firewall.service": Absent()})
    assert backend_of(gone).trouble.startswith("proxmox-firewall.service is not installed")
    unread = replace(host, texts={}, unlisted={})
    assert (backend_of(unread).program, backend_of(unread).why) == ("", f"{HOST_FW}: file:{HOST_FW} was not looked at")


def test_a_plan_that_takes_a_network_of_the_sdn_is_refused() -> None:
    def refused(after: list[Json], before: Json = None) -> list[str]:
        return [one.what for one in sdn_clashes([Step("addresses:vmbr1", before, after, "asked")], HOST)]

    assert refused(["10.30.0.9/24"]) == [
        "vmbr1 would get 10.30.0.9/24, and 10.30.0.0/24 is a network of Proxmox's SDN (vnet1)"
    ]
    assert refused(["10.40.0.1/24"]) == []
    assert refused(["10.30.0.9/24"], ["10.30.0.9/24"]) == []
