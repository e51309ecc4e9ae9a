"""What adopt says of single lines that it said wrongly or not at all once, and of what waits or is not the admin's."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from service.adopt import Adopted, Material, Note, adopt
from service.adopt.account import MAX_NOTES, Account
from service.adopt.against import against
from service.adopt.report import Sort
from service.cli.host_tree import read_host_tree
from service.kinds import KINDS
from service.kinds.desire import desire
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.resources.routes import DefaultRoutes
from tests.adopt.corpora import BASE, DNSMASQ, INPUTS, MAIN, RANGE
from tests.adopt.test_styles import planned, spec_of
from tests.adopt.trees import booted


def given(name: str) -> Material:
    return read_host_tree(INPUTS / name / "root")


def told(made: Adopted, path: str) -> dict[str, tuple[Sort, str]]:
    """{line, or lines: (part, words)} of one file."""
    notes = [note for note in made.report.notes if note.where.rpartition(":")[0] == path]
    return {note.where.rpartition(":")[2]: (note.sort, note.what) for note in notes}


def of(made: Adopted, sort: Sort, word: str) -> Sequence[Note]:
    return [note for note in made.report.of(sort) if word in note.what]


def test_what_lint_drops_is_unmanaged_alone_and_says_why() -> None:
    made = adopt(given("understood-but-dropped"))
    said = told(made, MAIN)
    assert said["5"] == ("understood", "enp1s0 198.51.100.11/24")
    assert said["10"][0] == said["14"][0] == "unmanaged"
    assert "overlaps 198.51.100.0/24 on enp1s0" in said["10"][1]
    assert "is the address of the network itself" in said["14"][1]


def test_of_two_lines_for_one_mac_the_last_counts_and_the_other_is_told() -> None:
    path = "/etc/dnsmasq.conf"
    made = adopt(given("same-mac-twice"))
    assert "guests" not in made.values
    said = told(made, path)
    assert said["3"] == (
        "unmanaged", "c 02:00:00:00:00:03: without effect, of the lines for one MAC dnsmasq takes /etc/dnsmasq.conf:4"
    )  # fmt: skip
    assert said["4"] == ("unmanaged", "02:00:00:00:00:03 10.10.10.50 has no name")
    other = b"dhcp-host=02:00:00:00:00:03,10.10.10.50,late\n"
    host = Material({**BASE, path: RANGE + other, "/etc/dnsmasq.d/a": b"dhcp-host=02:00:00:00:00:03,early\n"})
    assert adopt(host).values["guests"] == {"late": {"mac": "02:00:00:00:00:03", "address": "10.10.10.50"}}


def test_of_the_lines_for_one_mac_each_is_told_for_what_it_does() -> None:
    made = adopt(Material({**BASE, "/etc/dnsmasq.conf": DNSMASQ["one MAC in several lines"]}))
    assert made.values["guests"] == {
        "b": {"mac": "02:00:00:00:00:02", "address": "10.10.10.21"},
        "d": {"mac": "02:00:00:00:00:04", "address": "10.10.10.23"},
    }
    said = {line: words for line, (sort, words) in told(made, "/etc/dnsmasq.conf").items() if sort == "unmanaged"}
    takes = "without effect, of the lines for one MAC dnsmasq takes /etc/dnsmasq.conf"
    several = "this MAC has addresses in several networks, and `guests` has one address for a MAC"
    assert said == {
        "4": "a 02:00:00:00:00:01 10.10.10.20: `guests` has no key for another MAC, 02:00:00:00:00:02",
        "6": f"c 02:00:00:00:00:03 10.10.10.22: {takes}:7",
        "7": "02:00:00:00:00:03: `guests` has no key for ignore",
        "8": f"02:00:00:00:00:04: {takes}:9",
        "10": f"e 02:00:00:00:00:05 10.10.10.24: {several}",
        "11": f"e 02:00:00:00:00:05 10.99.0.24: {several}",
    }


def test_a_line_that_hides_one_of_which_a_spec_cannot_say_all_is_not_taken_over() -> None:
    """Without it the hidden line would count: dnsmasq would give the MAC the other name."""
    host = Material({**BASE, "/etc/dnsmasq.conf": DNSMASQ["one MAC in several lines"]})
    text = adopt(host).text.replace("sync: approve\n", "sync: approve\ntake_over: [guests]\n")
    plan, _, _ = planned(text, host)
    assert (plan.steps, plan.refusals) == ((), ())
    plan, _, _ = planned(text.replace("10.10.10.21", "10.10.10.31"), host)
    (refusal,) = plan.refusals
    assert "without it /etc/dnsmasq.conf:4 would count" in refusal.hint


def test_an_option_that_a_later_line_takes_back_is_not_in_the_spec() -> None:
    made = adopt(Material({**BASE, "/etc/dnsmasq.conf": DNSMASQ["options that a later line takes back"]}))
    assert "options: {42: 10.10.10.1}" in made.text
    said = told(made, "/etc/dnsmasq.conf")
    for line in ("4", "5"):
        assert said[line][0] == "unmanaged"
        assert said[line][1].endswith("(without effect, because a later line has the same option)")


def test_a_reservation_that_a_spec_cannot_say_stays_where_it_is() -> None:
    made = adopt(given("dhcp-host-without-a-note"))
    said = told(made, "/etc/dnsmasq.conf")
    assert [said[line][0] for line in "345678"] == [*["unmanaged"] * 4, "understood", "danger"]
    assert "dnsmasq refuses to start: 10.10.10.48 is reserved at /etc/dnsmasq.conf:7 already" in said["8"][1]
    made = adopt(given("take-over-guests-tag-and-lease"))
    assert "guests" not in made.values
    said = told(made, "/etc/dnsmasq.conf")
    words = {"4": "30m", "5": "set:voip", "6": "[fd00:10::1b]"}
    assert all(said[line][0] == "unmanaged" and word in said[line][1] for line, word in words.items())


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("take-over-guests-two-macs", 'laptop: {mac: "02:00:00:00:00:04", address: 10.10.10.61}',
         "also has another MAC, 02:00:00:00:00:05"),
        ("take-over-guests-tag-and-lease", 'db: {mac: "02:00:00:00:00:08", address: 10.10.10.72}', "also has 30m"),
    ],
)  # fmt: skip
def test_a_reservation_that_says_more_is_not_taken_over_and_a_change_of_it_is_refused(
    name: str, line: str, said: str
) -> None:
    host = replace(given(name), files={**given(name).files, **{k: v for k, v in BASE.items() if k != MAIN}})
    mark = "sync: approve\ntake_over: [guests, dnsmasq]\n"
    text = adopt(host).text.replace("sync: approve\n", mark)
    same = line.replace("10.10.10.61", "10.10.10.60").replace("10.10.10.72", "10.10.10.71")
    plan, _, _ = planned(f"{text}guests:\n  {same}\n", host)
    assert plan.refusals == ()
    assert not [step for step in plan.steps if "dhcp-hosts.d" in step.fact]
    plan, _, _ = planned(f"{text}guests:\n  {line}\n", host)
    (refusal,) = plan.refusals
    assert refusal.rule == "not-ours"
    assert said in refusal.hint


NAT_LINE = "post-up iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\tpost-up echo 1", f"\t{NAT_LINE}; echo 1 > /proc/sys/net/ipv4/ip_forward\n\tpost-up echo 1", "and more"),
        ("iface lo inet loopback", f"iface lo inet loopback\n\t{NAT_LINE}", "of lo, which is not in the spec"),
    ],
    ids=["a line that does more", "a stanza that no spec names"],
)  # fmt: skip
def test_a_masquerade_that_cannot_be_moved_is_named_and_not_made_twice(old: str, new: str, said: str) -> None:
    host = Material({**BASE, MAIN: BASE[MAIN].decode().replace(old, new, 1).encode()})
    text = adopt(host).text
    assert "{source: 10.10.10.0/24, out: enp1s0}" in text
    plan, _, _ = planned(text.replace("sync: approve\n", "sync: approve\ntake_over: [nat]\n"), host)
    assert [refusal.rule for refusal in plan.refusals] == ["not-ours"]
    assert said in plan.refusals[0].what


def test_a_masquerade_in_a_line_that_no_plan_understands_is_unmanaged() -> None:
    line = NAT_LINE.replace("post-up ", "post-up [ -e /x ] || ").encode()
    host = Material({**BASE, MAIN: BASE[MAIN].replace(b"\tpost-up echo", b"\t" + line + b"\n\tpost-up echo", 1)})
    made = adopt(host)
    assert "nat" not in made.values
    (note,) = [note for note in made.report.notes if note.section == "nat" and "MASQUERADE" in note.what]
    assert (note.sort, note.in_spec) == ("danger", False)


def test_a_guest_that_a_spec_says_and_a_line_that_says_more_stay_in_a_patch() -> None:
    given_host = given("take-over-guests-tag-and-lease")
    host = replace(given_host, files={**given_host.files, **{k: v for k, v in BASE.items() if k != MAIN}})
    made = adopt(host)
    guests = 'guests:\n  db: {mac: "02:00:00:00:00:08", address: 10.10.10.71, vmid: 105}\n'
    assert against(made.text + guests, made).text == made.text + guests
    other = guests.replace("10.10.10.71", "10.10.10.72")
    assert against(made.text + other, made).text == made.text
    bound = adopt(replace(given("adopt-bind-interfaces"), files={**given("adopt-bind-interfaces").files, **BASE}))
    text = bound.text.replace("dnsmasq: {", "dnsmasq: {bind_interfaces: true, ")
    assert against(text, bound).text == text


def test_binding_before_the_bridge_is_there_is_dangerous_and_no_file_is_written() -> None:
    host = replace(given("adopt-bind-interfaces"), files={**given("adopt-bind-interfaces").files, **BASE})
    made = adopt(host)
    (note,) = of(made, "danger", "with bind-interfaces dnsmasq ends at boot")
    assert (note.where, note.in_spec) == ("/etc/dnsmasq.conf:2", False)
    assert made.report.plan.changes == ()
    plan, _, _ = planned(made.text, host)
    assert (plan.drifts, plan.steps) == ((), ())


def test_forwarding_that_nothing_sets_at_boot_is_dangerous_and_the_first_plan_is_announced() -> None:
    rule = b"\tpost-up iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE\n"
    quiet = BASE[MAIN].replace(b"\tpost-up echo 1 > /proc/sys/net/ipv4/ip_forward\n", rule)
    made = adopt(Material({**BASE, MAIN: quiet}))
    (note,) = of(made, "danger", "NAT needs net.ipv4.ip_forward at boot, and no file that was read sets it")
    assert note.what.endswith("the first plan writes it into /etc/sysctl.d/60-passerelle.conf")
    assert [(d.resource, d.where, d.want) for d in made.report.plan.changes] == [("net.ipv4.ip_forward", "boot", "1")]
    assert "the first plan changes this on the host (1)" in made.report.as_text()
    off = Material({**BASE, MAIN: quiet, "/etc/sysctl.d/99-x.conf": b"net.ipv4.ip_forward=0\n"})
    assert of(adopt(off), "danger", "/etc/sysctl.d/99-x.conf:1 sets it to 0")


def test_forwarding_is_not_announced_for_nat_that_lint_refuses() -> None:
    rule = b"\tpost-up iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE\n"
    quiet = BASE[MAIN].replace(b"\tpost-up echo 1 > /proc/sys/net/ipv4/ip_forward\n", rule)
    made = adopt(Material({**BASE, MAIN: quiet}))
    assert "nat" not in made.values
    assert not of(made, "danger", "ip_forward")
    assert made.report.plan.changes == ()


def test_rules_that_were_saved_with_their_counters_count() -> None:
    """`iptables-save -c` writes them in front of each rule."""
    rules = (
        "*nat\n:POSTROUTING ACCEPT [5:300]\n[10:600] -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE\nCOMMIT\n"
    )
    files = {**BASE, "/etc/iptables/rules.v4": rules.encode()}
    host = Material(files, units={"netfilter-persistent.service": "enabled"})
    made = adopt(host)
    assert made.values["nat"] == [{"source": "10.10.10.0/24", "out": "enp1s0"}]
    plan, _, _ = planned(made.text, host)
    assert (plan.drifts, plan.steps) == ((), ())


def test_source_nat_by_a_map_is_named_as_such() -> None:
    rule = "ip saddr 10.0.0.0/8 snat to ip saddr map @out"
    chain = f"table ip nat {{\n chain post {{\n  type nat hook postrouting priority 100;\n  {rule}\n }}\n}}\n"
    host = Material({**BASE, "/etc/nftables.conf": chain.encode()}, units={"nftables.service": "enabled"})
    (note,) = of(adopt(host), "unmanaged", "source NAT")
    assert note.what == f"source NAT, while a spec's `nat` takes the interface's address: {rule}"


@pytest.mark.parametrize("verb", ["masquerade", "snat to 198.51.100.11"])
def test_a_line_with_a_nat_rule_of_nft_is_about_nat(verb: str) -> None:
    line = f"\tpost-up nft add rule ip nat post ip saddr 10.10.10.0/24 oifname enp1s0 {verb}\n\tpost-up echo".encode()
    made = adopt(Material({**BASE, MAIN: BASE[MAIN].replace(b"\tpost-up echo", line, 1)}))
    (note,) = [note for note in made.report.notes if "post-up nft" in note.what]
    assert (note.sort, note.section) == ("unmanaged", "nat")


@pytest.mark.parametrize(
    ("stanza", "said"),
    [
        ("iface enp1s0 inet6 static\n\taddress 2001:db8::5\n\tnetmask 64\n",
         "2001:db8::5/128. Fix: write `address 2001:db8::5/64`"),
        ("iface enp1s0:0 inet static\n\taddress 198.51.100.12\n\tnetmask 255.255.255.0\n",
         "198.51.100.12/32. Fix: write `address 198.51.100.12/24`"),
    ],
)  # fmt: skip
def test_a_netmask_that_ifupdown2_gives_to_another_address_is_dangerous(stanza: str, said: str) -> None:
    """Seen with ifupdown2 3.0.0: the first netmask belongs to the first address, which has its own prefix."""
    made = adopt(Material({**BASE, MAIN: BASE[MAIN] + b"\n" + stanza.encode()}))
    (note,) = of(made, "danger", "counts the `netmask` lines")
    assert note.where == f"{MAIN}:20"
    assert f"of all stanzas of enp1s0 together, so it sets {said}" in note.what


def test_a_gateway_of_a_shell_line_outside_the_subnets_is_told_at_its_line() -> None:
    line = b"\tup ip route add default via 203.0.113.1 dev enp1s0 onlink\n"
    made = adopt(Material({**BASE, MAIN: BASE[MAIN].replace(b"\tgateway 198.51.100.1\n", line)}))
    (note,) = of(made, "danger", "the gateway 203.0.113.1 is outside its subnets")
    assert note.where == f"{MAIN}:7"


SDN = """\
#version:12

auto vnet1
iface vnet1
	address 10.10.20.1/24
	post-up iptables -t nat -A POSTROUTING -s '10.10.20.0/24' -o vmbr0 -j SNAT --to-source 192.0.2.10
	post-down iptables -t nat -D POSTROUTING -s '10.10.20.0/24' -o vmbr0 -j SNAT --to-source 192.0.2.10
	post-up iptables -t raw -I PREROUTING -i fwbr+ -j CT --zone 1
	bridge_ports none
	ip-forward on
"""
ZONES = b"simple: intern\n\tdhcp dnsmasq\n\tipam pve\n\nvlan: other\n\tbridge vmbr0\n"


def test_what_proxmoxs_sdn_writes_is_read_and_shown_and_kept_out_of_the_spec() -> None:
    path = "/etc/network/interfaces.d/sdn"
    zone = "/etc/dnsmasq.d/intern/00-default.conf"
    host = Material(
        {**BASE, path: SDN.encode(), "/etc/pve/sdn/zones.cfg": ZONES, zone: b"enable-ra\nbind-dynamic\n"},
        packages={"pve-manager": True},
    )
    made = adopt(host)
    assert "vnet1" not in made.text
    assert "version:12" not in made.text
    said = told(made, path)
    assert {part for part, _ in said.values()} == {"unmanaged"}
    assert all("made by Proxmox's SDN" in what for _, what in said.values())
    assert sorted(line for n in made.report.notes if n.where.startswith(path) for line in n.lines) == [*range(3, 11)]
    assert {n.section for n in made.report.notes if n.where in (f"{path}:6", f"{path}:7")} == {"nat"}
    assert [n.where for n in of(made, "unmanaged", "for dnsmasq@intern")] == [zone]
    assert of(made, "unmanaged", "dnsmasq@intern serves the zone intern")
    assert not of(made, "unmanaged", "dnsmasq@other")
    assert not of(made, "danger", "doubled NAT")


@pytest.mark.parametrize(
    ("more", "knows"), [("", None), ("Package: base-files\nStatus: install ok installed\n", False)]
)
def test_what_a_part_of_a_package_list_leaves_out_is_not_known(more: str, knows: bool | None, tmp_path: Path) -> None:
    """A tree often has a few lines of dpkg's list; only with the essential packages in it is it whole."""
    shutil.copytree(INPUTS / "sdn-file/root", tmp_path / "root")
    status = tmp_path / "root/var/lib/dpkg/status"
    status.write_text(f"{status.read_text().strip()}\n\n{more}")
    made = read_host_tree(tmp_path / "root")
    assert (made.packages["pve-manager"], made.packages.get("ifupdown2")) == (True, knows)
    assert any("a program that passerelle does not know" in note.what for note in adopt(made).report.notes) is (
        knows is False
    )


def test_a_bridge_of_the_sdn_that_a_spec_names_is_never_written_there_nor_taken_away() -> None:
    files = {**BASE, "/etc/network/interfaces.d/sdn": SDN.encode()}
    given = Material(files)
    text = adopt(given).text.replace(
        "bridges:\n", "bridges:\n  vnet1: {addresses: [10.10.20.1/24], ports: [], stp: false, keep_guests: false}\n"
    )
    before = desire(spec_of(text), KINDS)
    plan, _, _ = planned(text.replace("10.10.20.1/24", "10.10.21.1/24"), given)
    assert [refusal.rule for refusal in plan.refusals] == ["not-ours"]
    assert "Proxmox's SDN rewrites /etc/network/interfaces.d/sdn" in plan.refusals[0].what
    desired = desire(spec_of(adopt(given).text), KINDS)
    plan = make_plan(desired, LastApplied.from_json(before.as_json()), booted(given, desired.watch))
    assert (plan.steps, plan.refusals) == ((), ())
    assert [left.what for left in plan.left_behind if "vnet1" in left.what] == [
        "vnet1 stays: Proxmox's SDN makes it in /etc/network/interfaces.d/sdn"
    ]


def test_a_gateway_beyond_a_single_address_is_kept_and_nat_goes_out_there() -> None:
    host = given("gateway-on-link-pointopoint")
    text = adopt(replace(host, files={**host.files, **{k: v for k, v in BASE.items() if k != MAIN}})).text
    assert "enp1s0: {addresses: [198.51.100.11/32], gateway: 198.51.100.1}" in text
    plan, _, desired = planned(f"{text}nat: [{{source: 10.10.10.0/24, out: enp1s0}}]\n", host)
    assert plan.refusals == ()
    assert {drift.difference.kind for drift in plan.drifts} == {"nat"}
    (routes,) = desired.of_type(DefaultRoutes)
    assert routes.on_link == (("198.51.100.1", "enp1s0"),)


def test_a_host_on_which_very_much_is_wrong_is_adopted_without_that() -> None:
    wrong = b"".join(
        b"auto w%d\niface w%d inet static\n\taddress 198.51.100.%d/24\n" % (n, n, n + 20) for n in range(150)
    )
    servers = b"".join(b"server=300.1.1.%d\n" % n for n in range(100)) + b"server=9.9.9.9\n"
    made = adopt(Material({**BASE, MAIN: BASE[MAIN] + wrong, "/etc/dnsmasq.conf": RANGE + servers}))
    assert made.values["interfaces"] == {"enp1s0": {"addresses": ["198.51.100.11/24"], "gateway": "198.51.100.1"}}
    assert isinstance(made.values["dnsmasq"], dict)
    assert made.values["dnsmasq"]["server"] == "9.9.9.9"
    assert len(of(made, "unmanaged", "overlaps")) == 63
    assert len(of(made, "unmanaged", "a spec has at most 64 of them")) == 87
    assert len(of(made, "unmanaged", "server=300.1.1.")) == 100


def test_the_numbers_of_jails_are_converted_or_told() -> None:
    made = adopt(given("ban-for-a-week"))
    assert "#   findtime: 36h\n#   bantime: 7d\n" in made.text
    jails = b"[DEFAULT]\nbantime = -1\n[sshd]\nenabled = true\nfindtime = 1h30m\n"
    made = adopt(Material({**BASE, "/etc/fail2ban/jail.local": jails}))
    assert "#   findtime: 90m\n#   # bantime = -1: a section cannot say that\n" in made.text
    assert of(made, "unmanaged", "bantime = -1: a section cannot say that")


def test_an_account_says_each_line_once_whatever_is_claimed() -> None:
    account = Account()
    account.read("dnsmasq", "/a", [1, 2, 3], "three lines", at=2)
    account.read("dnsmasq", "/a", [3, 4], "one line")
    account.add("danger", "dnsmasq", "/a:3", "ends badly")
    account.add("understood", "dnsmasq", "/a:2", "x", ("dnsmasq", "list", 1))
    account.add("understood", "dnsmasq", "/a:4", "y", ("dnsmasq", "list", 0))
    account.taken_out(("dnsmasq", "list", 0), "it is wrong")
    account.closed_up(("dnsmasq", "list", 0))
    account.taken_out(("dnsmasq", "other"), "nobody said that")
    held = {("dnsmasq", "list", 0)}
    notes = account.settled(lambda place: place in held)
    assert [(n.sort, n.where, n.lines, n.what, n.in_spec) for n in notes] == [
        ("understood", "/a:2", (1, 2), "x", True),
        ("danger", "/a:3", (3,), "ends badly", True),
        ("unmanaged", "/a:4", (4,), "y; it is wrong", False),
    ]


def test_more_lines_than_can_be_named_one_by_one_are_all_in_the_report() -> None:
    many = MAX_NOTES + 500
    lines = b"".join(b"dhcp-host=02:00:00:00:%02x:%02x,ignore\n" % divmod(n, 256) for n in range(many))
    made = adopt(Material({**BASE, "/etc/dnsmasq.conf": RANGE + lines}))
    found = [n for note in made.report.notes if note.where.startswith("/etc/dnsmasq.conf") for n in note.lines]
    assert sorted(found) == [*range(1, many + 4)]
    assert len(made.report.notes) < MAX_NOTES + 10
