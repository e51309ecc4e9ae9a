"""Certificates go to the guest of another host: sealed, whole, and only where they are better."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from service.guestside import handover, openssl, run, settings, store
from service.guestside.errors import Trouble
from service.guestside.record import Record
from service.guestside.settings import Wanted
from tests.guestside.guest import WWW, Guest

DIRECTORY = "https://ca.example.org/dir"
ACME = {
    "directory": DIRECTORY, "staging": None, "ca_file": None, "email": None, "profile": None, "terms_agreed": True,
    "challenge": "http-01",
}  # fmt: skip


def new_guest(top: Path) -> Guest:
    guest = Guest(top, ACME)
    guest.state.mkdir(parents=True)
    guest.write()
    run.prepare(guest.world())
    return guest


def wanted_of(guest: Guest) -> settings.Settings:
    return settings.read(str(guest.config / "certificates.json"))


def issue(guest: Guest, *, days_more: int = 0, kind: str = "issued") -> None:
    """A certificate as an authority would have given it; openssl signs it here."""
    world, one = guest.world(), Wanted("www.example.org", ("www.example.org", "example.org"))
    with store.scratch(world) as folder:
        chain, key, facts = openssl.self_signed(one, world.now(), folder)
    facts = {**facts, "kind": kind, "directory": DIRECTORY, "not_after": facts["not_after"] + days_more * 86400}
    store.make_live(world, one.name, store.keep(world, one.name, chain, key, facts))
    (guest.state / "accounts" / ("0" * 16 + ".pem")).write_text("the account's key of " + guest.top.name)


def handed(giver: Guest, taker: Guest) -> list[str]:
    offered = handover.offer(taker.world())
    packed = handover.pack(giver.world(), wanted_of(giver), offered)
    names: list[str] = handover.unpack(taker.world(), wanted_of(taker), packed)["names"]
    return names


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Guest, Guest]:
    giver, taker = new_guest(tmp_path / "one"), new_guest(tmp_path / "two")
    issue(giver)
    run.placeholders(taker.world(), wanted_of(taker))
    return giver, taker


def live_of(guest: Guest) -> tuple[bytes, bytes]:
    return (guest.live() / "fullchain.pem").read_bytes(), (guest.live() / "privkey.pem").read_bytes()


def test_certificate_key_account_and_orders_arrive_and_stay(pair: tuple[Guest, Guest]) -> None:
    giver, taker = pair
    record = Record(giver.world())
    record.ordered(Wanted("www.example.org", ("www.example.org", "example.org")))
    assert handed(giver, taker) == ["www.example.org"]
    assert live_of(taker) == live_of(giver)
    assert taker.reloads == 1
    assert (taker.state / "accounts" / ("0" * 16 + ".pem")).read_text() == "the account's key of one"
    assert Record(taker.world()).all["orders"] == Record(giver.world()).all["orders"]
    assert taker.status()["certificate"]["kind"] == "issued"
    assert taker.status()["waits_for"] == "window", "no order is due: the budget of the authority is not touched"
    assert not (taker.state / "handover").exists()
    assert handed(giver, taker) == [], "once more changes nothing"
    assert taker.reloads == 1


def test_who_carries_it_reads_no_key(pair: tuple[Guest, Guest], tmp_path: Path) -> None:
    giver, taker = pair
    packed = handover.pack(giver.world(), wanted_of(giver), handover.offer(taker.world()))
    assert set(packed) == {"version", "sealed", "names"}
    assert "KEY" not in json.dumps(packed)
    other = new_guest(tmp_path / "three")
    handover.offer(other.world())
    with pytest.raises(Trouble, match="openssl"):
        handover.unpack(other.world(), wanted_of(other), packed)
    spoiled = packed["sealed"][:-8] + ("AAAA" if packed["sealed"][-8:-4] != "AAAA" else "BBBB") + packed["sealed"][-4:]
    with pytest.raises(Trouble):
        handover.unpack(taker.world(), wanted_of(taker), {**packed, "sealed": spoiled})
    assert taker.reloads == 0


def test_a_better_certificate_stays(pair: tuple[Guest, Guest]) -> None:
    giver, taker = pair
    issue(taker, days_more=30)
    before = live_of(taker)
    assert handed(giver, taker) == []
    assert live_of(taker) == before


@pytest.mark.parametrize(
    "change", [{"certificates": [{**WWW, "names": ["www.example.org"]}]}, {"acme": {**ACME, "directory": "https://b/"}}]
)
def test_a_certificate_for_other_names_or_of_another_authority_is_left(
    pair: tuple[Guest, Guest], change: dict[str, Any]
) -> None:
    giver, taker = pair
    for name, value in change.items():
        setattr(taker, name, value)
    taker.write()
    assert handed(giver, taker) == []


def test_a_guest_with_nothing_issued_gives_nothing(pair: tuple[Guest, Guest]) -> None:
    giver, taker = pair
    with pytest.raises(Trouble, match="no issued certificate to give"):
        handover.pack(taker.world(), wanted_of(taker), handover.offer(giver.world()))


def test_killed_between_the_parts_it_begins_again(pair: tuple[Guest, Guest]) -> None:
    giver, taker = pair
    handover.pack(giver.world(), wanted_of(giver), handover.offer(taker.world()))  # nobody unpacks it
    assert handed(giver, taker) == ["www.example.org"]


def test_the_verbs_speak_json(
    pair: tuple[Guest, Guest], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    giver, taker = pair
    text = "{}"
    for guest, verb in ((taker, "offer"), (giver, "pack"), (taker, "unpack")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert guest.do(verb) == 0
        text = capsys.readouterr().out
    assert json.loads(text)["names"] == ["www.example.org"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"certificate": "no"}')))
    assert giver.do("pack") == 1
    assert "certs.py pack: openssl: " in capsys.readouterr().err
