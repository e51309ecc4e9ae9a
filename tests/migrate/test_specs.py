"""What a migration makes of the two hosts' files: comments and layout stay, and the result is a good spec."""

from dataclasses import replace

import pytest

from service.cli.directory import blob_id_of
from service.cli.migrating import changed
from service.errors import InputError
from service.kinds import KINDS
from service.migrate.arriving import Edit, arriving
from service.migrate.leaving import leaving
from service.migrate.reading import Pair, good_fleet, read_pair
from service.model.trees import BlobEntry, Tree
from service.spec.editing import unified
from tests.migrate.played import FLEET, LEASE, PVE1, PVE2


def tree_of(one: str = PVE1, two: str = PVE2, **more: str) -> Tree:
    texts = {"fleet.yaml": FLEET, "hosts/pve1.yaml": one, "hosts/pve2.yaml": two, **more}
    return Tree({path: BlobEntry(path, blob_id_of(text.encode()), text.encode()) for path, text in texts.items()})


def pair_of(tree: Tree) -> Pair:
    return read_pair(tree, KINDS, "pve1", "pve2")


def given(tree: Tree) -> tuple[Tree, Edit]:
    edit = arriving(pair_of(tree), LEASE)
    return changed(tree, {edit.path: edit.after.encode()}), edit


GIVEN = """\
--- a/hosts/pve2.yaml
+++ b/hosts/pve2.yaml
@@ -7,3 +7,21 @@
 sync: auto
 interfaces:
   eth0: {addresses: [198.51.100.12/24], gateway: 198.51.100.1}  # another card
+bridges:
+  vmbr0: {addresses: [10.10.10.1/24]}
+nat:
+  - {source: 10.10.10.0/24, out: eth0}
+dnsmasq: {domain: example.lan, dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}]}
+packages: {dnsmasq: present}
+services: {named: disabled}
+guests:
+  proxy: {mac: "bc:24:11:00:00:02", address: 10.10.10.20, create: {}}
+  dev: {mac: "bc:24:11:00:00:01", address: 10.10.10.117, create: {}}
+forwards:
+  - {in: eth0, ports: [2222], to: proxy, to_port: 22}
+web:
+  proxy: proxy
+  acme: {directory: letsencrypt, email: admin@example.org, terms_agreed: true}
+  sites:
+    www.example.org: {to: dev, port: 8080, aliases: [example.org]}
+    wiki.example.org: {to: dev, port: 8090}
"""
TAKEN = """\
--- a/hosts/pve1.yaml
+++ b/hosts/pve1.yaml
@@ -17,16 +17,5 @@
     - {interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}
\x20
 # Who lives here.
-guests:
-  proxy: {mac: "bc:24:11:00:00:02", address: 10.10.10.20, create: {}}  # answers on 80 and 443
-  dev: {mac: "bc:24:11:00:00:01"}
-web:
-  proxy: proxy
-  acme: {directory: letsencrypt, email: admin@example.org, terms_agreed: true}
-  sites:
-    www.example.org: {to: dev, port: 8080, aliases: [example.org]}  # the shop
-    wiki.example.org: {to: dev, port: 8090}
-forwards:
-  - {in: enp1s0, ports: [2222], to: proxy, to_port: 22}  # for the developers
 packages: {dnsmasq: present}
 services: {named: disabled, ssh: enabled}
"""


def test_an_empty_host_gets_everything_and_its_uplink_is_meant() -> None:
    tree, edit = given(tree_of())
    assert unified(edit.path, edit.before, edit.after) == GIVEN
    good_fleet(tree, KINDS)
    assert edit.notes[0] == "dev has no fixed address: it keeps 10.10.10.117, the address of its lease."
    taken = leaving(pair_of(tree))
    assert unified(taken.path, taken.before, taken.after) == TAKEN
    good_fleet(changed(tree, {taken.path: taken.after.encode()}), KINDS)
    assert taken.notes == ("These guests stay on pve1 as they are, because passerelle destroys none: proxy, dev.",)


def test_a_host_with_guests_of_its_own_keeps_its_file_as_it_is_written() -> None:
    two = PVE2 + (
        "bridges: {vmbr0: {addresses: [10.10.10.1/24]}}\n"
        "nat:\n  - {source: 10.10.10.0/24, out: eth0}  # ours\n"
        "dnsmasq:\n  # names\n  dhcp:\n    - {interface: vmbr0, start: 10.10.10.50, end: 10.10.10.90}\n"
        'guests:\n  # the first one\n  db: {mac: "bc:24:11:00:00:09", address: 10.10.10.9}\n'
        "forwards:\n  - {in: eth0, ports: [5432], to: db}\n"
    )
    tree, edit = given(tree_of(two=two))
    good_fleet(tree, KINDS)
    removed = [line for line in unified(edit.path, edit.before, edit.after).splitlines()[2:] if line.startswith("-")]
    assert removed == []
    assert "  db: {mac" in edit.after
    assert "  domain: example.lan\n" in edit.after
    assert edit.after.count("start:") == 1, "its own range is kept, and no second one added"
    assert "  - {in: eth0, ports: [2222], to: proxy, to_port: 22}\n" in edit.after


@pytest.mark.parametrize(
    ("two", "words"),
    [
        (PVE2 + 'guests: {dev: {mac: "bc:24:11:00:00:99"}}\n', "has another guest dev, with another MAC address"),
        (PVE2 + "bridges: {vmbr0: {addresses: [10.9.0.1/24]}}\n", "and 10.9.0.0/24 on pve2"),
        (
            PVE2
            + "bridges: {vmbr0: {addresses: [10.10.10.1/24]}}\n"
            + 'guests: {web: {mac: "bc:24:11:00:00:77", address: 10.10.10.30}}\n'
            + "web:\n  proxy: web\n  acme: {directory: letsencrypt, terms_agreed: true}\n",
            "has a section `web` of its own",
        ),
    ],
)
def test_what_is_in_the_way_is_named(two: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        arriving(pair_of(tree_of(two=two)), LEASE)
    assert raised.value.hint


def test_a_bridge_with_a_port_is_not_made_up() -> None:
    one = PVE1.replace("{addresses: [10.10.10.1/24]}", "{addresses: [10.10.10.1/24], ports: [enp2s0]}")
    one = one.replace("bridges:\n", "  enp2s0: {}\nbridges:\n")
    with pytest.raises(InputError, match="which port leads to the same network on pve2, only you know"):
        arriving(pair_of(tree_of(one=one)), LEASE)


def test_an_address_that_another_guest_has_is_what_lint_says() -> None:
    two = PVE2 + (
        "bridges: {vmbr0: {addresses: [10.10.10.1/24]}}\n"
        'guests: {db: {mac: "bc:24:11:00:00:09", address: 10.10.10.20}}\n'
    )
    tree, _ = given(tree_of(two=two))
    with pytest.raises(InputError, match=r"10\.10\.10\.20 is already reserved for db"):
        good_fleet(tree, KINDS)


def test_guests_that_come_from_a_group_are_not_taken_away() -> None:
    group = 'group: shared\nhosts: [pve1]\nvalues:\n  guests: {old: {mac: "bc:24:11:00:00:33"}}\n'
    tree, edit = given(tree_of(**{"groups/shared.yaml": group}))
    assert "  old: {" in edit.after
    with pytest.raises(InputError, match="pve1 cannot lose what it shares with other hosts") as raised:
        leaving(pair_of(tree))
    assert "hosts/pve1.yaml" in raised.value.hint


def test_a_guest_that_the_other_host_does_not_have_stays() -> None:
    pair = pair_of(given(tree_of())[0])
    values = {**pair.target.values, "guests": {"proxy": pair.target.values["guests"]["proxy"]}}
    left = leaving(Pair(pair.source, replace(pair.target, values=values)))
    assert '  dev: {mac: "bc:24:11:00:00:01"}\n' in left.after
    assert "proxy: {mac" not in left.after
