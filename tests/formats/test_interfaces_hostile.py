"""Whatever a host's interfaces file holds, reading it ends soon and never fails."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats.interfaces import (
    MAIN_FILE,
    SetStanza,
    WantedBridge,
    WantedStanza,
    edit,
    load,
    meanings,
    parse,
    up_effects,
)

WORDS = st.sampled_from(
    [b"iface", b"auto", b"source", b"allow-", b"vlan", b" ", b"\t", b"\n", b"\r", b"\\", b"\\\n", b"vmbr0", b"inet",
     b"static", b"address", b"10.0.0.1/24", b"netmask", b"#", b"\x00", b"\xff", b"\xc3\xa9", b"[1-3]", b"%", b"$IFACE"]
)  # fmt: skip


@given(st.one_of(st.binary(max_size=300), st.lists(WORDS, max_size=40).map(b"".join)))
def test_any_bytes_are_read_and_given_back(data: bytes) -> None:
    assert parse(data).text() == data
    config = load({MAIN_FILE: data})
    meanings(config)
    list(up_effects(config))


@given(st.lists(WORDS, max_size=40).map(b"".join))
def test_any_file_is_edited_as_wanted_or_refused(data: bytes) -> None:
    wanted = WantedStanza(("10.9.9.1/24",), (), WantedBridge())
    others = {name: m for name, m in meanings(load({MAIN_FILE: data})).items() if name != "vmbr0"}
    try:
        result = meanings(load({MAIN_FILE: edit(data, [SetStanza("vmbr0", wanted)])}))
    except InputError:
        return
    assert result.pop("vmbr0").addresses == ("10.9.9.1/24",)
    assert result == others


@pytest.mark.long
@pytest.mark.parametrize(
    "data",
    [
        b"\\" * 1_000_000,
        b"iface a\n" * 19_000,
        b"auto a[1-2]\niface a1 inet manual\n" * 9_000,
        b"iface a inet static\n" + b"address 10.0.0.1\nnetmask 24\n" * 9_000,
        b"source /a*b*c*d*e*f*\n" * 19_000,
        b"iface a inet manual\nup " + b"iptables " * 100_000,
        b"iface a inet manual\n" + b"up iptables -t nat -A POSTROUTING -j MASQUERADE\n" * 9_000,
        b"x" * 2_000_000,
        b"\n" * 500_000,
    ],
    ids=[
        "backslashes", "stanzas", "ranges", "addresses", "sources", "a long line", "up lines", "too large", "many lines"
    ],
)  # fmt: skip
def test_a_hostile_file_is_read_soon(data: bytes) -> None:
    started = time.process_time()
    config = load({MAIN_FILE: data, "/" + "a" * 200: b""})
    meanings(config)
    list(up_effects(config))
    assert time.process_time() - started < 5
    assert len(config.problems) <= 1000
