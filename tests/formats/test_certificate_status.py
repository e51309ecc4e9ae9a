"""What the program in a proxy's guest says: read whole, or Unknown with the place. A guest may write anything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.certificate_status import MOST_BYTES, canonical_serial, read_status
from service.model.sites.told import Attempt, CertificateHeld, CertificateTold, RenewalWindow
from service.model.states import Absent, Seen, Unknown

WWW = {
    "names": ["www.example.org", "example.org"],
    "certificate": {"kind": "issued", "not_before": 1, "not_after": 9, "issuer": "CN=R13", "serial": "00:4A:1F"},
    "window": {"start": 5, "end": 7, "by": "ari"},
    "last_attempt": {
        "at": 2,
        "outcome": "failed",
        "stage": "challenge",
        "type": "urn:x",
        "detail": "no\troute\x1b[31m",
    },
    "failures_in_the_hour": 1,
    "failed_since_issue": 2,
    "next_attempt_at": 8.5,
    "waits_for": "back-off",
}
BARE = {"names": ["a.example"], "certificate": None, "window": None, "last_attempt": None, "waits_for": "permit"}


def status(**certificates: Any) -> bytes:
    named = {name.replace("_", "."): one for name, one in certificates.items()}
    return json.dumps({"version": 1, "written_at": 3, "certificates": named}).encode()


def changed(path: str, value: Any) -> bytes:
    """The status of www with one value another."""
    row = json.loads(json.dumps(WWW))
    *above, last = path.split(".")
    inner = row
    for key in above:
        inner = inner[key]
    inner[last] = value
    return status(www_example_org=row)


def test_all_of_it_is_read() -> None:
    read = read_status(status(www_example_org=WWW, a_example=BARE))
    assert isinstance(read, Seen)
    assert read.value.written_at == 3
    assert read.value.certificates["www.example.org"] == CertificateTold(
        "www.example.org",
        ("www.example.org", "example.org"),
        CertificateHeld("issued", 1, 9, "CN=R13", "4a1f"),
        RenewalWindow(5, 7, "ari"),
        Attempt(2, "failed", "challenge", "urn:x", "no route[31m"),
        1,
        2,
        8,
        "back-off",
    )
    assert read.value.certificates["a.example"] == CertificateTold("a.example", ("a.example",), waits_for="permit")


def test_nothing_written_yet_is_no_error() -> None:
    assert read_status(b" \n") == Absent()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"\xff", "its status is not JSON"),
        (b"[" * 100_000, "its status is not JSON"),
        (b'{"version": 1, "written_at": NaN, "certificates": {}}', "its status is not JSON"),
        (b" " * MOST_BYTES + b"{}", "its status is larger than 256 KiB"),
        (b"[]", "its status cannot be read: the whole is not an object"),
        (b'{"version": 2}', "its status cannot be read: version is not 1"),
        (b'{"version": true}', "its status cannot be read: version is not 1"),
        (b'{"version": 1, "certificates": []}', "its status cannot be read: certificates is not an object"),
        (status(x=1), "its status cannot be read: x is not an object"),
        (changed("names", []), "its status cannot be read: www.example.org: names is not a list of 1 to 100 names"),
        (changed("names", ["a b"]), "its status cannot be read: www.example.org: names: a b is not a domain name"),
        (changed("window.end", 4), "its status cannot be read: www.example.org: window: it ends before it starts"),
        (
            changed("window.by", "luck"),
            "its status cannot be read: www.example.org: window: by is none of ari, two-thirds",
        ),
        (
            changed("certificate.not_after", 10**30),
            "its status cannot be read: www.example.org: certificate: not_after is not a time",
        ),
        (
            changed("certificate.serial", "<b>"),
            "its status cannot be read: www.example.org: certificate: serial is not hexadecimal",
        ),
        (
            changed("failed_since_issue", True),
            "its status cannot be read: www.example.org: failed_since_issue is not a count",
        ),
        (
            changed("waits_for", "Godot"),
            "its status cannot be read: www.example.org: waits_for is not a word",
        ),
    ],
)
def test_what_is_wrong_makes_all_of_it_unknown_with_the_place(text: bytes, why: str) -> None:
    assert read_status(text) == Unknown(why)


def test_a_name_that_is_none_is_not_told_whole() -> None:
    read = read_status(json.dumps({"version": 1, "written_at": 1, "certificates": {"../" * 99: WWW}}).encode())
    assert isinstance(read, Unknown)
    assert len(read.why) < 200


def test_a_long_reason_is_cut_and_a_newer_program_may_say_more() -> None:
    row = WWW | {"last_attempt": {"at": 1, "outcome": "failed", "detail": "x" * 9000}, "color": "blue"}
    read = read_status(status(www_example_org=row))
    assert isinstance(read, Seen)
    attempt = read.value.certificates["www.example.org"].last_attempt
    assert attempt is not None
    assert len(attempt.detail) == 500


def test_serials_are_one_however_they_are_written() -> None:
    assert {canonical_serial(one) for one in ("004A1F", "4a1f", "4A:1F")} == {"4a1f"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WWW, "version"]), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200) | JSON.map(lambda one: json.dumps(one).encode()))
def test_nothing_that_a_guest_writes_raises(text: bytes) -> None:
    assert isinstance(read_status(text), Seen | Absent | Unknown)


@given(st.sampled_from(sorted(WWW)), JSON)
def test_no_value_in_any_place_raises(key: str, value: Any) -> None:
    assert isinstance(read_status(status(www_example_org=WWW | {key: value})), Seen | Unknown)
