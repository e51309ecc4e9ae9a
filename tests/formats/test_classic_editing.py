"""The smallest change of interfaces files that the classic ifupdown reads: cases, laws for any file, refusals."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats.interfaces import (
    MAIN_FILE,
    InterfacesConfig,
    RemoveLine,
    RemoveStanza,
    SetStanza,
    WantedBridge,
    WantedStanza,
    classic_program,
    edit_files,
    load,
    meaning,
    meanings,
    unmet,
)
from tests.formats.test_interfaces_editing import NAMES, WANTED, files, others

LO = b"auto lo\niface lo inet loopback\n\n"
CLASSIC = classic_program("0.8.41")


def read(texts: dict[str, bytes]) -> InterfacesConfig:
    return load(texts, program=CLASSIC)


def edited(data: bytes, *changes: SetStanza | RemoveStanza | RemoveLine) -> bytes:
    return edit_files({MAIN_FILE: data}, changes, lambda texts: read(dict(texts))).get(MAIN_FILE, data)


def test_a_new_interface_has_a_stanza_for_each_of_its_addresses() -> None:
    wanted = WantedStanza(
        ("10.0.0.1/24", "10.0.1.1/24", "fd00::1/64", "fd00::2/64"),
        ("fd00::ff",),
        WantedBridge(("eth1",)),
    )
    made = edited(LO, SetStanza("vmbr0", wanted))
    assert made == LO + (
        b"auto vmbr0\niface vmbr0 inet static\n\taddress 10.0.0.1/24\n\tbridge-ports eth1\n\tbridge-stp off\n"
        b"\tbridge-fd 0\n\niface vmbr0 inet static\n\taddress 10.0.1.1/24\n\n"
        b"iface vmbr0 inet6 static\n\taddress fd00::1/64\n\tgateway fd00::ff\n\n"
        b"iface vmbr0 inet6 static\n\taddress fd00::2/64\n"
    )
    assert edited(made, SetStanza("vmbr0", wanted)) == made


STATIC = b"auto eth0\niface eth0 inet static\n"


@pytest.mark.parametrize(
    ("before", "addresses", "after"),
    [
        (b"\taddress 10.0.0.1\n", ("10.0.0.1/24",), b"\taddress 10.0.0.1/24\n"),
        (b"\taddress 10.0.0.1\n", ("10.0.0.1/8",), b"\taddress 10.0.0.1\n"),
        (
            b"\taddress 10.0.0.1/24\n\tnetmask 255.255.0.0\n",
            ("10.0.0.1/24",),
            b"\taddress 10.0.0.1\n\tnetmask 255.255.255.0\n",
        ),
        (
            b"\taddress 10.0.0.1/24\n",
            ("10.0.0.1/24", "10.0.1.1/24"),
            b"\taddress 10.0.0.1/24\n\niface eth0 inet static\n\taddress 10.0.1.1/24\n",
        ),
        (
            b"\taddress 10.0.0.1/24\n\taddress 10.0.1.1/24\n",
            ("10.0.0.1/24", "10.0.1.1/24"),
            b"\taddress 10.0.0.1/24\n\niface eth0 inet static\n\taddress 10.0.1.1/24\n",
        ),
        (
            b"\taddress 10.0.0.1/24\n",
            ("10.0.0.1/24", "fd00::1/64"),
            b"\taddress 10.0.0.1/24\n\niface eth0 inet6 static\n\taddress fd00::1/64\n",
        ),
    ],
)
def test_an_address_is_changed_as_the_program_reads_it(before: bytes, addresses: tuple[str, ...], after: bytes) -> None:
    assert edited(LO + STATIC + before, SetStanza("eth0", WantedStanza(addresses))) == LO + STATIC + after


def test_a_manual_stanza_whose_address_never_counted_becomes_static() -> None:
    manual = b"auto eth0\niface eth0 inet manual\n\taddress 10.0.0.1/24\n"
    made = edited(manual, SetStanza("eth0", WantedStanza(("10.0.0.1/24",))))
    assert made == manual.replace(b"manual", b"static")


def test_a_removed_interface_takes_its_aliases_and_their_auto_lines_along() -> None:
    alias = b"auto eth0:1\niface eth0:1 inet static\n\taddress 10.0.1.1/24\n"
    assert edited(LO + STATIC + b"\taddress 10.0.0.1/24\n\n" + alias, RemoveStanza("eth0")).rstrip() == LO.rstrip()


def test_a_line_is_removed_by_its_number() -> None:
    text = STATIC + b"\taddress 10.0.0.1/24\n\tup ip addr add \\\n10.0.1.1/24 dev eth0\n\tmtu 1400\n"
    assert edited(text, RemoveLine(4)) == STATIC + b"\taddress 10.0.0.1/24\n\tmtu 1400\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STATIC + b"\taddress\n", "`address` has no value"),
        (b"iface base inet static\n\tmtu 1400\n" + b"auto eth0\niface eth0 inherits base\n", "eth0 inherits options"),
    ],
)
def test_what_cannot_be_changed_without_harm_is_refused(text: bytes, said: str) -> None:
    with pytest.raises(InputError) as refused:
        edited(text, SetStanza("eth0", WantedStanza(("10.0.0.9/24",))))
    assert said in str(refused.value)


@pytest.mark.long
@given(files(), NAMES, WANTED)
def test_a_changed_file_means_what_is_wanted_and_nothing_else_or_is_refused(
    data: bytes, name: str, wanted: WantedStanza
) -> None:
    before = read({MAIN_FILE: data})
    assume(before.fatal is None)
    try:
        result = edited(data, SetStanza(name, wanted))
    except InputError:
        return
    after = read({MAIN_FILE: result})
    found = meaning(after, name)
    assert found is not None
    assert {key: value for key, value in unmet(found, wanted).items() if key != "condone_regex"} == {}
    assert others(meanings(after), name, meanings(before)) == others(meanings(before), name, meanings(after))
    assert edited(result, SetStanza(name, wanted)) == result


@pytest.mark.long
@given(files(), st.sampled_from(["vmbr7", "eno7"]), WANTED)
def test_a_new_interface_that_goes_again_leaves_the_file_as_it_was(
    data: bytes, name: str, wanted: WantedStanza
) -> None:
    assume(read({MAIN_FILE: data}).fatal is None and len([g for g in wanted.gateways if ":" not in g]) < 2)
    assume(all(any((":" in a) == (":" in g) for a in wanted.addresses) for g in wanted.gateways))
    assume(wanted.mtu is None or "inet dhcp" not in wanted.dynamic)  # that method has no MTU: a plan says so
    added = edited(data, SetStanza(name, wanted))
    assert added.startswith(data)
    assert edited(added, RemoveStanza(name)).rstrip() == data.rstrip()


@given(st.binary(max_size=400))
def test_no_bytes_stop_the_reader(data: bytes) -> None:
    config = read({MAIN_FILE: data, "/etc/network/interfaces.d/x": data})
    meanings(config)
    assert config.files[MAIN_FILE].text() == data
