"""The smallest change of the interfaces file: golden cases, laws for any file, refusals."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats import interfaces
from service.formats.interfaces import (
    MAIN_FILE,
    BootProgram,
    IfaceMeaning,
    RemoveLine,
    RemoveStanza,
    SetStanza,
    WantedBridge,
    WantedStanza,
    boot_ports,
    edit,
    edit_files,
    load,
    meaning,
    meanings,
    unmet,
)

CASES = sorted(path.parent for path in (Path(__file__).parent / "interfaces").glob("*/edit.json"))


def change(entry: dict[str, Any]) -> interfaces.Change:
    """One entry of an edit.json."""
    if "remove" in entry:
        return RemoveStanza(entry["remove"])
    if "remove_line" in entry:
        return RemoveLine(entry["remove_line"])
    bridge = entry.get("bridge")
    wanted = WantedStanza(
        tuple(entry.get("addresses", ())),
        tuple(entry.get("gateways", ())),
        None if bridge is None else WantedBridge(**(bridge | {"ports": tuple(bridge.get("ports", ()))})),
        entry.get("mtu"),
        entry.get("auto", True),
        dynamic=tuple(entry.get("dynamic", ())),
        is_static6=entry.get("is_static6", False),
    )
    return SetStanza(entry["set"], wanted)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_edit_changes_what_its_golden_case_shows(case: Path) -> None:
    changes = [change(entry) for entry in json.loads((case / "edit.json").read_text())]
    assert edit((case / "in").read_bytes(), changes) == (case / "out").read_bytes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_golden_result_needs_no_second_edit(case: Path) -> None:
    changes = [change(entry) for entry in json.loads((case / "edit.json").read_text())]
    again = [c for c in changes if not isinstance(c, RemoveLine)]
    result = (case / "out").read_bytes()
    assert edit(result, again) == result


# ------------------------------------------------------------------------------------------------ laws for any file

NAMES = st.sampled_from(["eno1", "vmbr0", "vmbr1", "vmbr0.5", "lo"])
ADDRESSES = st.sampled_from(["10.0.0.1/24", "10.0.0.2/24", "10.9.0.1/16", "192.0.2.1/32", "fd00::1/64", "fd00::2/128"])
GATEWAYS = st.sampled_from(["10.0.0.254", "10.0.0.253", "fd00::ff"])
OPTIONS = st.one_of(
    st.builds("address {}".format, st.one_of(ADDRESSES, st.sampled_from(["10.0.0.1", "10.7.0.1", "fd00::3", "junk"]))),
    st.builds("netmask {}".format, st.sampled_from(["255.255.255.0", "16", "64", "255.0.255.0"])),
    st.builds("gateway {}".format, st.one_of(GATEWAYS, st.just("10.0.0.300"))),
    st.sampled_from(
        [
            "bridge_ports none", "bridge-ports eno1 eno2", "bridge_stp on", "bridge-stp off", "bridge_fd 0",
            "bridge-fd 2.5", "mtu 1400", "mtu x", "broadcast 10.0.0.255", "scope link", "network 10.0.0.0",
            "bridge-ports-condone-regex ^(tap|veth|fwpr)", "bridge-vlan-aware yes", "hwaddress 02:00:00:00:00:01",
            "post-up echo 1 > /proc/sys/net/ipv4/ip_forward", "up ip addr add 10.8.0.1/24 dev vmbr0", "lonely",
            "# a comment", "", "source-directory /x", "ifcae vmbr9 inet static",
        ]
    ),
)  # fmt: skip
HEADS = st.builds(
    "iface {} {}".format,
    NAMES,
    st.sampled_from(["inet static", "inet manual", "inet dhcp", "inet6 static", "inet6 auto", "", "inet"]),
)
AUTOS = st.builds(
    lambda word, names: f"{word} {' '.join(names)}",
    st.sampled_from(["auto", "auto", "allow-hotplug"]),
    st.lists(NAMES, min_size=1, max_size=3),
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """An interfaces file, mostly sound, in some hand's style."""
    indent = draw(st.sampled_from(["\t", "    ", "  ", ""]))
    lines: list[str] = []
    for head in draw(st.lists(HEADS, max_size=5)):
        lines += draw(
            st.lists(st.one_of(AUTOS, st.sampled_from(["", "# between", "source /etc/network/x"])), max_size=2)
        )
        options = draw(st.lists(OPTIONS, max_size=6))
        lines += [head, *(indent + option if option and option[0] != "#" else option for option in options)]
    end = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    return end.join([*lines, *draw(st.sampled_from([[], [""]]))]).encode()


STATIC = st.builds(
    WantedStanza,
    addresses=st.lists(ADDRESSES, max_size=3).map(tuple),
    gateways=st.lists(GATEWAYS, max_size=2).map(tuple),
    bridge=st.none()
    | st.builds(
        WantedBridge,
        ports=st.lists(st.sampled_from(["eno1", "eno2"]), max_size=2).map(tuple),
        stp=st.booleans(),
        forward_delay_s=st.integers(0, 30).map(float),
    ),
    mtu=st.none() | st.integers(1280, 9000),
    is_static6=st.booleans(),
)
FROM_ELSEWHERE = st.builds(
    lambda wanted, methods: replace(
        wanted,
        addresses=tuple(a for a in wanted.addresses if _family(a) not in {m.partition(" ")[0] for m in methods}),
        gateways=tuple(g for g in wanted.gateways if _family(g) not in {m.partition(" ")[0] for m in methods}),
        dynamic=methods,
    ),
    STATIC,
    st.sampled_from([("inet dhcp",), ("inet6 auto",), ("inet6 dhcp",), ("inet dhcp", "inet6 auto")]),
)
WANTED = STATIC | FROM_ELSEWHERE


def _family(text: str) -> str:
    return "inet6" if ":" in text else "inet"


def edited(data: bytes, change: SetStanza | RemoveStanza) -> bytes:
    """The file, edited. Netmasks count over all stanzas of an interface, so one of another stanza may be in the
    way, which is refused. So is an address for the port of a bridge, DHCP for `lo`, and what would wake a stanza that
    is ignored.
    Without any of these there is no such reason."""
    try:
        return edit(data, [change])
    except InputError:
        wanted = change.wanted if isinstance(change, SetStanza) else WantedStanza()
        own = wanted.bridge.ports if wanted.bridge else ()
        now = load({MAIN_FILE: data})
        assume(b"netmask" not in data and change.name not in own and change.name not in boot_ports(now))
        assume(not now.ignored)
        assume(change.name != "lo" or not wanted.dynamic)
        raise


def others(here: Mapping[str, IfaceMeaning], name: str, there: Mapping[str, IfaceMeaning]) -> dict[str, IfaceMeaning]:
    """What all but one interface and its ports mean: a port loses its addresses to the bridge, and gets them back."""
    bridges = [found.bridge for found in (here.get(name), there.get(name)) if found and found.bridge]
    left_out = {name, *(port for bridge in bridges for port in bridge.ports)}
    return {n: m for n, m in here.items() if n not in left_out}


@pytest.mark.long
@given(files(), NAMES, WANTED)
def test_an_edited_stanza_is_as_wanted_and_no_other_means_anything_else(
    data: bytes, name: str, wanted: WantedStanza
) -> None:
    before = meanings(load({MAIN_FILE: data}))
    result = edited(data, SetStanza(name, wanted))
    after = meanings(load({MAIN_FILE: result}))
    assert unmet(after[name], wanted) == {}
    assert others(after, name, before) == others(before, name, after)
    if name in before:
        assert after[name].up_lines == before[name].up_lines


@pytest.mark.long
@given(files(), NAMES, WANTED)
def test_editing_twice_is_editing_once(data: bytes, name: str, wanted: WantedStanza) -> None:
    once = edited(data, SetStanza(name, wanted))
    assert edited(once, SetStanza(name, wanted)) == once


@pytest.mark.long
@given(files(), NAMES)
def test_what_is_met_already_keeps_every_byte(data: bytes, name: str) -> None:
    have = meaning(load({MAIN_FILE: data}), name)
    if have is not None and not any(method.startswith("inet dhcp") for method in have.methods):
        wanted = WantedStanza(have.addresses, have.gateways, None, have.mtu, have.auto)
        assert edited(data, SetStanza(name, wanted)) == data


@given(files(), NAMES, WANTED)
def test_lines_of_other_stanzas_stay_byte_for_byte_in_order(data: bytes, name: str, wanted: WantedStanza) -> None:
    result = edited(data, SetStanza(name, wanted))
    own = {n for s in load({MAIN_FILE: data}).of(name) for n in range(s.stanza.first_line, s.stanza.last_line + 1)}
    lines = data.splitlines()
    kept = [line for number, line in enumerate(lines, 1) if number not in own]
    remaining = iter(result.splitlines())
    assert all(line in remaining for line in kept)


@pytest.mark.long
@given(files(), NAMES)
def test_a_removed_interface_is_gone_and_no_other_means_anything_else(data: bytes, name: str) -> None:
    before = meanings(load({MAIN_FILE: data}))
    after = load({MAIN_FILE: edited(data, RemoveStanza(name))})
    assert others(meanings(after), name, before) == others(before, name, meanings(after))
    if name in before:
        assert name not in after.files[MAIN_FILE].auto


def test_what_would_wake_an_ignored_stanza_is_refused_and_says_which_line_to_remove() -> None:
    """ifupdown2 of Debian 12 takes one stanza with `bridge-vlan-aware yes`, and ignores the next one."""
    first, second = (f"iface {name} inet manual\n\tbridge-vlan-aware yes\n".encode() for name in ("vmbr0", "vmbr1"))
    with pytest.raises(InputError, match="without harm: it would change vmbr1") as refused:
        edit(first + second, [RemoveStanza("vmbr0")])
    assert refused.value.hint.startswith("ifupdown2 ignores the stanza of vmbr1 now")
    assert edit(first + second, [RemoveStanza("vmbr1")]) == first


@pytest.mark.long
@given(files(), st.sampled_from(["vmbr7", "eno7"]), WANTED)
def test_a_new_interface_that_goes_again_leaves_the_file_as_it_was(
    data: bytes, name: str, wanted: WantedStanza
) -> None:
    added = edited(data, SetStanza(name, wanted))
    assert added.startswith(data)
    assert edited(added, RemoveStanza(name)).rstrip() == data.rstrip()


# ------------------------------------------------------------------------------------------------ several files


def test_a_stanza_is_changed_in_the_sourced_file_where_it_stands() -> None:
    files = {
        MAIN_FILE: b"source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n",
        "/etc/network/interfaces.d/vmbr0": b"auto vmbr0\niface vmbr0 inet static\n  address 10.0.0.1/24\n",
    }
    wanted = WantedStanza(("10.0.0.2/24",))
    assert edit_files(files, [SetStanza("vmbr0", wanted)]) == {
        "/etc/network/interfaces.d/vmbr0": b"auto vmbr0\niface vmbr0 inet static\n  address 10.0.0.2/24\n"
    }


def test_a_broadcast_that_another_ifupdown_sets_follows_its_address() -> None:
    data = b"auto a\niface a inet static\n  address 10.0.0.1/24\n  broadcast 10.0.0.255\n"
    change = SetStanza("a", WantedStanza(("10.0.1.1/24",)))
    kept = {MAIN_FILE: data.replace(b"10.0.0.", b"10.0.1.")}
    assert edit_files({MAIN_FILE: data}, [change], lambda files: load(files, program=BootProgram())) == kept
    assert edit(data, [change]) == b"auto a\niface a inet static\n  address 10.0.1.1/24\n"


def test_a_new_stanza_is_not_put_into_a_file_that_nothing_sources() -> None:
    files = {MAIN_FILE: b"", "/etc/network/interfaces.d/x": b""}
    with pytest.raises(InputError, match="not sourced"):
        edit_files(files, [SetStanza("vmbr0", WantedStanza(), path="/etc/network/interfaces.d/x")])


def test_removed_lines_are_those_of_the_file_as_it_was_given() -> None:
    data = b"iface a inet manual\n  up one\n  up two\n  up three\n"
    assert edit(data, [RemoveLine(2), RemoveLine(4)]) == b"iface a inet manual\n  up two\n"


# ------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vmbr0\nauto x", WantedStanza()),
        ("a-name-of-16-char", WantedStanza()),
        ("vmbr0:1", WantedStanza()),
        ("$IFACE", WantedStanza()),
        ("vmbr0\\", WantedStanza()),
        ("vmbr0", WantedStanza(addresses=("10.0.0.1",))),
        ("vmbr0", WantedStanza(addresses=("10.0.0.1/24\nup reboot",))),
        ("vmbr0", WantedStanza(addresses=("10.0.0.1/33",))),
        ("vmbr0", WantedStanza(gateways=("10.0.0.1/24",))),
        ("vmbr0", WantedStanza(gateways=("fe80::1%eth0",))),
        ("vmbr0", WantedStanza(mtu=67)),
        ("vmbr0", WantedStanza(bridge=WantedBridge(ports=("none",)))),
        ("vmbr0", WantedStanza(bridge=WantedBridge(ports=("eno1 eno2",)))),
        ("vmbr0", WantedStanza(bridge=WantedBridge(forward_delay_s=0.5))),
        ("vmbr0", WantedStanza(bridge=WantedBridge(forward_delay_s=float("nan")))),
        ("vmbr0", WantedStanza(bridge=WantedBridge(), condone_regex="^(a)\nup reboot")),
    ],
)
def test_a_value_that_cannot_be_written_is_refused_and_named(name: str, wanted: WantedStanza) -> None:
    with pytest.raises(InputError) as caught:
        edit(b"auto vmbr0\niface vmbr0 inet manual\n", [SetStanza(name, wanted)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"auto lo\niface\n", "without what must follow"),
        (b"auto lo\niface lo inet loopback\n# ends in a backslash \\\n", "without harm"),
        (b"iface vmbr[0-3] inet manual\n", "range"),
    ],
    ids=["a lone keyword", "a backslash that would swallow the new stanza", "a range of names"],
)
def test_a_file_that_cannot_be_edited_without_harm_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        edit(data, [SetStanza("vmbr0", WantedStanza(("10.0.0.1/24",)))])


def test_an_auto_line_that_holds_back_stray_lines_is_not_removed_silently() -> None:
    data = b"iface a inet manual\nauto b\n  mtu 9000\niface b inet manual\n"
    with pytest.raises(InputError, match="would change a"):
        edit(data, [RemoveStanza("b")])


def test_a_line_that_is_no_option_is_not_removed() -> None:
    with pytest.raises(InputError, match="interfaces:1: there is no option"):
        edit(b"auto a\niface a inet manual\n", [RemoveLine(1)])
