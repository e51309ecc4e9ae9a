"""A garbled answer makes things Unknown. It never makes one Absent, or another value, that the whole answer had not."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.observed import HostObserved
from service.model.states import Seen, Unknown
from service.observe.frames import Section, sections
from service.observe.script import SECTIONS
from tests.observe.samples import CASES, NONCE, PROBES, answer, read


def values(observed: HostObserved) -> dict[str, Any]:
    """Everything that a plan could be built on."""
    whole = read(answer("gateway"))
    ids = {*whole.facts, *read(answer("bare")).facts, *PROBES}
    found: dict[str, Any] = {fact: observed.fact(fact) for fact in ids}
    found |= {f"text {path}": observed.text(path) for path in whole.texts}
    found |= {f"package {name}": seen for name, seen in observed.packages.items()}
    return found | {
        "masquerades": observed.masquerades,
        "listeners": observed.listeners,
        "leases": observed.leases,
    }


def assert_only_unknowns(garbled: HostObserved, whole: HostObserved) -> int:
    """Every value is as in the whole answer, or Unknown with a reason; gives the number of Unknowns."""
    unknown = 0
    expected = values(whole)
    for name, seen in values(garbled).items():
        if isinstance(seen, Unknown):
            assert seen.why
            unknown += 1
        else:
            assert seen == expected[name], name
    return unknown


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_an_answer_cut_anywhere_gives_unknowns_only(case: str) -> None:
    whole = read(answer(case))
    unknown = [assert_only_unknowns(read(answer(case)[:end]), whole) for end in range(0, len(answer(case)), 50)]
    assert unknown[0] > 20
    assert unknown == sorted(unknown, reverse=True)


def test_an_answer_whose_beginning_is_lost_gives_unknowns_only() -> None:
    whole = read(answer("gateway"))
    for start in range(0, len(answer("gateway")), 500):
        assert_only_unknowns(read(answer("gateway")[start:]), whole)


def test_nothing_at_all_is_all_unknown() -> None:
    observed = read(b"")
    assert all(isinstance(seen, Unknown) for seen in values(observed).values())
    assert observed.path is None
    assert observed.armed == "unreadable"


def test_an_answer_with_another_nonce_is_no_answer() -> None:
    stale = answer("gateway").replace(NONCE.encode(), b"f" * 16)
    assert all(isinstance(seen, Unknown) for seen in values(read(stale)).values())


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "session"])
@pytest.mark.parametrize("status", ["2", "124", "x", "-1", ""])
def test_a_program_that_failed_makes_what_it_feeds_unknown(section: str, status: str) -> None:
    ended = f"@@{NONCE} end {section} ".encode()
    garbled = re.sub(re.escape(ended) + rb"\d+", ended + status.encode(), answer("gateway"))
    unknown = assert_only_unknowns(read(garbled), read(answer("gateway")))
    silent = {"stat", "again", "iptables_legacy", "marks"}
    assert unknown > 0 or (section in silent and status in ("2", "124"))


@pytest.mark.parametrize("section", [name for name in SECTIONS if name not in ("session", "iptables_legacy")])
def test_a_section_twice_is_believed_in_neither_form(section: str) -> None:
    frame = re.search(
        rb"@@%b begin %b\n.*?@@%b end %b \d+\n" % ((NONCE.encode(), section.encode()) * 2), answer("gateway"), re.S
    )
    assert frame
    twice = answer("gateway") + frame[0]
    assert_only_unknowns(read(twice), read(answer("gateway")))


@given(st.data())
def test_flipped_bytes_never_raise(data: st.DataObject) -> None:
    garbled = bytearray(answer("bare"))
    for _ in range(data.draw(st.integers(1, 20))):
        garbled[data.draw(st.integers(0, len(garbled) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(garbled))


@given(st.lists(st.sampled_from([*answer("bare").splitlines(keepends=True)]), max_size=80))
def test_shuffled_lines_never_raise(lines: list[bytes]) -> None:
    read(b"".join(lines))


def with_body(section: str, body: bytes) -> bytes:
    """The gateway's answer with another body in one section."""
    begin, words = f"@@{NONCE} begin {section}\n".encode(), f"\n@@{NONCE} words\n".encode()
    head, _, rest = answer("gateway").partition(begin)
    return head + begin + body + words + rest.partition(words)[2]


HOSTILE = {
    "no JSON": b"<script>alert(1)</script>",
    "another type": b'{"a": 1}',
    "a list of lists": b"[[1], [2]]",
    "null": b"null",
    "deep": b"[" * 100_000,
    "a huge number": b'[{"ifname": "lo", "mtu": ' + b"9" * 5000 + b', "addr_info": []}]',
    "numbers for names": b'[{"ifname": 7, "addr_info": [{"local": 3}]}]',
    "not UTF-8": b'[{"ifname": "\xff\xfe"}]',
    "NaN": b'[{"ifname": "lo", "mtu": NaN, "flags": 3}]',
    "ten thousand": b"[" + b",".join(b'{"ifname": "v%d", "flags": [], "mtu": 1}' % n for n in range(10_000)) + b"]",
}


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "session"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_in_any_section_never_raises(section: str, body: bytes) -> None:
    read(with_body(section, body))


def batch(addresses: bytes) -> bytes:
    return addresses + b"\n[]"


def test_too_many_links_are_unknown_and_not_cut_off_silently() -> None:
    observed = read(with_body("ip", batch(HOSTILE["ten thousand"])))
    assert isinstance(seen := observed.fact("link:nope"), Unknown)
    assert "10000" in seen.why


def test_a_link_with_a_name_for_a_browser_is_not_taken_up() -> None:
    named = b'[{"ifname": "<b>x</b>", "flags": ["UP"], "mtu": 1500}, {"ifname": "lo", "flags": ["UP"], "mtu": 65536}]'
    observed = read(with_body("ip", batch(named)))
    assert [fact for fact in observed.facts if fact.startswith("link:")] == ["link:lo"]


def test_other_names_of_a_card_are_read_as_far_as_a_file_can_say_them() -> None:
    link = b'{"ifname": "eno1", "flags": ["UP"], "mtu": 1500, "altnames": %s}'
    names = {b'["enp0s31f6", "a b", 7, "enx-of-more-than-15"]': {"enp0s31f6": "eno1"}, b'"enp0s31f6"': {}, b"[]": {}}
    for said, found in names.items():
        assert read(with_body("ip", batch(b"[" + link % said + b"]"))).altnames == found


def test_an_address_that_is_none_makes_addresses_unknown() -> None:
    odd = b'[{"ifname": "lo", "addr_info": [{"family": "inet", "local": "no", "prefixlen": 8, "scope": "global"}]}]'
    assert isinstance(read(with_body("ip", batch(odd))).fact("addresses:lo"), Unknown)


def test_a_file_that_changed_while_it_was_read_is_unknown_and_the_others_are_known() -> None:
    line = re.search(rb"f\|regular file\|\d+\|\d+\|\d+\|\d+\|[\d.]+\|/etc/dnsmasq\.conf\n", answer("gateway"))
    assert line
    head, mark, again = answer("gateway").partition(f"@@{NONCE} begin again\n".encode())
    moved = head + mark + again.replace(line[0], line[0].replace(b"|/etc", b"1|/etc"))
    observed = read(moved)
    assert isinstance(seen := observed.fact("file:/etc/dnsmasq.conf"), Unknown)
    assert "changed while" in seen.why
    assert isinstance(observed.fact("file:/etc/network/interfaces"), Seen)


def test_a_body_of_another_length_than_told_is_nobodys() -> None:
    longer = answer("gateway").replace(b"domain=madyanne.lan", b"domain=madyanne.example")
    observed = read(longer)
    assert isinstance(observed.text("/etc/dnsmasq.d/guests"), Unknown)
    assert isinstance(observed.text("/etc/network/interfaces"), Unknown)


def test_words_of_a_host_are_shown_without_control_characters() -> None:
    said = answer("gateway").replace(
        f"\n@@{NONCE} end nft 0".encode(), f"\x1b[2Jboom\x07\n@@{NONCE} end nft 1".encode()
    )
    assert isinstance(seen := read(said).masquerades, Unknown)
    assert seen.why == "`nft` ended with status 1: [2Jboom"


def test_marks_of_another_question_are_text_like_any_other() -> None:
    other = b"f" * len(NONCE)
    body = b"@@%b words\n\n@@%b end one 0\n@@%b begin two\n@@@@%b done\nx@@%b done\n" % (
        other, other, other, other, NONCE.encode(),
    )  # fmt: skip
    mark = b"@@" + NONCE.encode()
    found = sections(mark + b" begin one\n" + body + b"\n" + mark + b" words\n\n" + mark + b" end one 0\n", NONCE)
    section = found.get("one")
    assert isinstance(section, Section) and section.body == body
    assert not found.complete and "two" not in found.whole
