"""What adopt says of network cards that have another name, or will have one after a reboot."""

from dataclasses import replace

import pytest

from service.adopt import WATCH, ConnectionGiven, Material, adopt, of_observed
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.states import Absent
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.adopt.corpora import BASE, MAIN
from tests.adopt.test_report import of, told
from tests.adopt.test_styles import spec_of
from tests.adopt.trees import booted, material

PINNED = """\
auto lo
iface lo inet loopback

iface eno1 inet manual
iface eno2 inet manual

auto vmbr0
iface vmbr0 inet static
	address 198.51.100.11/24
	gateway 198.51.100.1
	bridge-ports eno1
	bridge-stp off
	bridge-fd 0

auto eno2.7
iface eno2.7 inet static
	address 10.7.0.1/24
"""


def test_a_pinning_that_waits_says_what_a_reboot_renames() -> None:
    new = PINNED.replace("eno1", "nic0").replace("eno2", "nic1")
    files = {**BASE, MAIN: PINNED.encode(), f"{MAIN}.new": new.encode()}
    cluster = {"/etc/pve/firewall/cluster.fw": b"[RULES]\nIN ACCEPT -i eno1 -p tcp\nIN ACCEPT -i vmbr0\n"}
    firewall = {"/etc/pve/local/host.fw.new": b"[RULES]\nIN ACCEPT -i nic0\n"}
    made = adopt(Material({**files, **cluster, **firewall}))
    (note,) = of(made, "danger", "a reboot renames")
    assert note.where == f"{MAIN}.new"
    assert "a reboot renames eno1 to nic0, eno2 to nic1, eno2.7 to nic1.7" in note.what
    (rule,) = of(made, "danger", "names eno1, which is nic0 after the next reboot")
    assert rule.where == "/etc/pve/firewall/cluster.fw:2"
    (waits,) = of(made, "danger", "moves it over /etc/pve/local/host.fw")
    assert waits.where == "/etc/pve/local/host.fw.new"


BY_HAND = PINNED.replace("iface eno1 inet manual\n", "").replace("bridge-ports eno1", "bridge-ports eno1 eno3")
WITH_STANZAS = "iface {} inet manual\n\niface {} inet manual\n\niface {} inet manual\n\n"


def test_a_pinning_of_a_file_without_stanzas_for_ports_is_one() -> None:
    """Proxmox's writer adds a plain stanza for each card of the host."""
    new = BY_HAND.replace("eno1", "nic0").replace("eno2", "nic1").replace("eno3", "nic2")
    added = WITH_STANZAS.format("nic0", "nic2", "nic3")
    made = adopt(Material({**BASE, MAIN: BY_HAND.encode(), f"{MAIN}.new": (added + new).encode()}))
    (note,) = of(made, "danger", "a reboot renames")
    assert "a reboot renames eno1 to nic0, eno2 to nic1, eno2.7 to nic1.7, eno3 to nic2. Proxmox" in note.what


def test_another_port_in_a_file_that_waits_is_no_pinning() -> None:
    new = WITH_STANZAS.format("eno1", "eno3", "eno4") + BY_HAND.replace("eno1 eno3", "eno1 eno4")
    made = adopt(Material({**BASE, MAIN: BY_HAND.encode(), f"{MAIN}.new": new.encode()}))
    assert not of(made, "danger", "a reboot renames")
    assert of(made, "danger", "the next reboot moves it over /etc/network/interfaces")


@pytest.mark.parametrize("change", ["address 10.7.0.2/24", "address 10.7.0.1/24\n\tmtu 9000"])
def test_a_change_that_waits_and_is_more_than_names_is_told_as_a_change(change: str) -> None:
    new = PINNED.replace("eno1", "nic0").replace("address 10.7.0.1/24", change)
    made = adopt(Material({**BASE, MAIN: PINNED.encode(), f"{MAIN}.new": new.encode()}))
    assert not of(made, "danger", "a reboot renames")
    assert of(made, "danger", "the next reboot moves it over /etc/network/interfaces")


def test_a_card_named_by_its_altname_is_unmanaged_and_no_plan_is_refused_for_it() -> None:
    text = PINNED.replace("eno1", "enp0s31f6").replace("iface eno2 inet manual\n", "")
    host = booted(Material({**BASE, MAIN: text.encode()}), WATCH)
    facts = {fact.replace("enp0s31f6", "eno1"): seen for fact, seen in host.facts.items()}
    packages = {package: Absent() for package in host.packages if package.startswith("pve-")}
    made = adopt(
        of_observed(replace(host, facts=facts, packages=packages, altnames={"enp0s31f6": "eno1"})),
        ConnectionGiven(address="198.51.100.11"),
    )
    said = told(made, MAIN)
    assert said["4"] == (
        "unmanaged",
        "enp0s31f6 is another name of eno1 (altname), and a spec names cards as the kernel does. "
        "Fix: write eno1 in this file, and adopt again",
    )
    assert said["7"][0] == "unmanaged"
    assert said["7"][1].startswith("vmbr0: its port enp0s31f6 is another name of eno1 (altname)")
    assert "enp0s31f6" not in made.text
    assert made.report.plan.refusals == ()


def test_a_spec_that_names_a_card_by_its_altname_is_refused_with_the_kernels_name() -> None:
    text = adopt(material("blog")).text.replace("enp1s0", "enp0s31f6")
    desired = desire(spec_of(text), KINDS)
    host = replace(booted(material("blog"), desired.watch), altnames={"enp0s31f6": "enp1s0"})
    refusals = make_plan(desired, LastApplied(), host).refusals
    (refusal,) = [refusal for refusal in refusals if refusal.rule == "no-way"]
    assert refusal.what == "enp0s31f6 is another name of enp1s0 on pve1 (ip-link(8), altname)"
    assert refusal.hint == "write enp1s0 in the spec, as the kernel calls it"
