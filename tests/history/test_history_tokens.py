import re
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError, StoreError
from service.history import History, open_history
from service.history.pepper import parse_token, read_pepper
from service.history.sqlite.tokens import tokens_at
from service.history.store import receivers
from service.history.store.known_tokens import KEPT, KnownToken, KnownTokens
from service.model.access import Principal, is_selector
from service.model.listings import DeliveryListing
from service.model.secret import Secret
from tests.state_folders import made

DAY = timedelta(days=1)


def make(history: History, now: datetime, **options: object) -> str:
    settings: dict[str, object] = {"scopes": ["read"], "by": "local", "at": now} | options
    return history.store.create_token("ann", **settings)  # type: ignore[arg-type]


def test_a_token_has_the_form_that_scanners_know(history: History, now: datetime) -> None:
    assert re.fullmatch(r"psr_[0-9A-Za-z]{12}\.[0-9A-Za-z]{43}", make(history, now))


def test_a_good_token_names_its_principal(history: History, now: datetime) -> None:
    token = make(history, now, scopes=["plan", "read"], hosts=["pve*"])
    who = history.store.authenticate(token.encode(), at=now)
    assert who == Principal(token[4:16], "ann", frozenset({"plan", "read"}), ("pve*",))


def test_the_database_does_not_hold_the_secret(history: History, path: Path, now: datetime) -> None:
    token = make(history, now)
    secret = token.split(".")[1].encode()
    assert secret not in path.read_bytes()
    assert token[4:16].encode() in path.read_bytes()


def test_a_token_is_nobodys_when_it_expired_was_ended_or_is_wrong(history: History, now: datetime) -> None:
    good, ended = make(history, now), make(history, now)
    assert history.store.revoke_token(ended[4:16], by="bob", at=now)
    assert not history.store.revoke_token(ended[4:16], by="bob", at=now)
    swapped = good[:17] + ended[17:]
    for presented in (ended, swapped, good[:-1], good + "\n", good[:-1] + "_", "psr_" + "0" * 12 + good[16:], ""):
        assert history.store.authenticate(presented.encode(), at=now) is None
    assert history.store.authenticate(b"\xff" + good.encode(), at=now) is None
    assert history.store.authenticate(good.encode(), at=now + 90 * DAY) is None
    assert history.store.authenticate(good.encode(), at=now + 90 * DAY - timedelta(seconds=1)) is not None


def test_last_used_is_written_once_a_minute(history: History, now: datetime) -> None:
    token = make(history, now).encode()
    written = []
    for seconds in (0, 30, 59, 60, 90):
        history.store.authenticate(token, at=now + timedelta(seconds=seconds))
        [listed] = history.queries.tokens()
        assert listed.last_used_at is not None
        written.append((listed.last_used_at - now).seconds)
    assert written == [0, 0, 0, 60, 60]


def test_a_token_is_worth_nothing_without_its_pepper(path: Path, now: datetime) -> None:
    with open_history(path) as history:
        token = make(history, now).encode()
    (path.parent / "token.pepper").unlink()
    with open_history(path) as history:
        assert history.store.authenticate(token, at=now) is None


def test_the_pepper_is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "token.pepper"
    first = read_pepper(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_pepper(path) == first
    assert repr(first) == "Pepper(value=Secret(***))"
    assert [p.name for p in tmp_path.iterdir()] == ["token.pepper"]
    path.chmod(0o640)
    with pytest.raises(StoreError, match="can be read by others"):
        read_pepper(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(StoreError, match="not a pepper"):
        read_pepper(path)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"scopes": []}, "needs a scope"),
        ({"scopes": ["read", "root"]}, "no scope 'root'"),
        ({"hosts": []}, "needs hosts"),
        ({"hosts": ["pve[12]"]}, "selects no host"),
        ({"hosts": ["pve1\n"]}, "selects no host"),
        ({"lifetime": 367 * DAY}, "at most 366 days"),
        ({"lifetime": 0 * DAY}, "is valid for more than 0"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    history: History, now: datetime, options: dict[str, object], what: str
) -> None:
    with pytest.raises(InputError, match=what):
        make(history, now, **options)
    assert history.queries.tokens() == ()


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a\n", "-a", "a" * 64, "\x1b[1m"])
def test_a_name_that_is_none_is_refused(history: History, now: datetime, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        history.store.create_token(name, scopes=["read"], by="local", at=now)
    with pytest.raises(InputError, match="name"):
        history.store.add_receiver(name, "github", by="local", at=now)


def test_a_receivers_secret_is_told_once_and_never_printed(history: History, now: datetime) -> None:
    secret = history.store.add_receiver("gh", "github", by="local", at=now)
    known = history.queries.receiver_secret("gh")
    assert known is not None
    assert (known.secret, known.receiver.type) == (Secret(secret.encode()), "github")
    assert secret not in repr(known)
    with pytest.raises(InputError, match="already"):
        history.store.add_receiver("gh", "generic", by="local", at=now)
    assert history.store.remove_receiver("gh", by="local", at=now)
    assert not history.store.remove_receiver("gh", by="local", at=now)
    assert history.queries.receiver_secret("gh") is None


def test_a_delivery_counts_once(history: History, now: datetime) -> None:
    assert history.store.record_delivery("gh", "id-1", outcome="accepted", at=now)
    assert not history.store.record_delivery("gh", "id-1", outcome="accepted", at=now)
    assert history.store.record_delivery("other", "id-1", outcome="accepted", at=now)


def test_refused_deliveries_do_not_drive_the_others_out(
    history: History, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "KEPT_DELIVERIES", 20)
    monkeypatch.setattr(receivers, "KEPT_REFUSED", 5)
    for number in range(12):
        assert history.store.record_delivery("gh", f"good-{number}", outcome="accepted", at=now)
    for number in range(100):
        assert history.store.record_delivery("gh", f"bad-{number}", outcome="refused", at=now)
    found = [one.delivery for one in history.queries.deliveries(DeliveryListing(limit=100)).items]
    assert found[:5] == [f"bad-{number}" for number in reversed(range(95, 100))]
    assert found[5:] == [f"good-{number}" for number in reversed(range(12))]
    for number in range(12, 50):
        assert history.store.record_delivery("gh", f"good-{number}", outcome="accepted", at=now)
    assert len(history.queries.deliveries(DeliveryListing(limit=100)).items) == 25


@given(st.binary(max_size=80))
def test_nothing_but_a_token_is_parsed_as_one(text: bytes) -> None:
    parsed = parse_token(text)
    assert parsed is None or text == b"psr_" + parsed[0].encode() + b"." + parsed[1]


@given(st.from_regex(r"[a-z0-9*?._-]{1,12}", fullmatch=True), st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True))
def test_a_selector_means_the_same_to_sqlite_as_to_python(selector: str, host: str) -> None:
    import sqlite3
    from contextlib import closing

    assert is_selector(selector)
    with closing(sqlite3.connect(":memory:")) as connection:
        [found] = connection.execute("SELECT ? GLOB ?", (host, selector)).fetchone()
    assert Principal("i", "n", frozenset(), (selector,)).sees(host) == bool(found)


def test_the_seal_of_secrets_lasts_as_long_as_the_pepper_and_is_not_it(tmp_path: Path) -> None:
    first, second = read_pepper(tmp_path / "token.pepper"), read_pepper(tmp_path / "other.pepper")
    assert first.seal == read_pepper(tmp_path / "token.pepper").seal
    assert first.seal != second.seal
    assert first.seal.key != first.value


def test_a_token_is_recognised_until_anything_is_written(path: Path, now: datetime) -> None:
    """Also by another process: each opening of the file has connections of its own."""
    with open_history(path, serve=True) as serving, open_history(path) as command:
        store = serving.store
        token = make(command, now).encode()
        assert store.recognise(token, at=now) is None
        assert store.authenticate(token, at=now)  # notes the use, which is a write
        assert store.recognise(token, at=now) is None
        who = store.authenticate(token, at=now)
        assert who is not None
        assert store.recognise(token, at=now) == who
        wrong = token[:-1] + (b"0" if token[-1:] != b"0" else b"1")
        for presented in (wrong, b"", b"\xff", token[:17]):
            assert store.recognise(presented, at=now) is None
        assert store.recognise(token, at=now + timedelta(seconds=60)) is None, "its use has to be noted again"
        assert store.recognise(token, at=now) == who
        assert command.store.revoke_token(who.id, by="bob", at=now)
        assert store.recognise(token, at=now) is None
        assert store.authenticate(token, at=now) is None
        assert store.recognise(token, at=now) is None


def test_only_so_many_tokens_are_remembered(now: datetime) -> None:
    known: KnownTokens[KnownToken] = KnownTokens()
    for number in range(KEPT + 10):
        who = Principal(f"id{number}", "ann", frozenset(), ("*",))
        known.keep(KnownToken(who, "digest", now, now), 1)
    assert known.of("id9", 1) is None
    assert known.of("id10", 1) is not None
    known.keep(KnownToken(Principal("late", "ann", frozenset(), ("*",)), "digest", now, now), 0)
    assert known.of("late", 1) is None, "it was read before the database changed"
    assert known.of("id10", 2) is None
    assert known.of("id10", None) is None


def test_a_file_lists_its_tokens_as_the_history_does(history: History, path: Path, now: datetime) -> None:
    used, ended = make(history, now), make(history, now + DAY, scopes=["plan", "read"], hosts=["pve*", "lab1"])
    history.store.authenticate(used.encode(), at=now + timedelta(microseconds=1))
    history.store.revoke_token(ended[4:16], by="bob", at=now)
    assert tokens_at(path) == history.queries.tokens() != ()


def test_what_has_to_be_reported_first_is_left_to_who_opens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "passerelle.sqlite"
    assert tokens_at(path) is None
    made(path)
    assert tokens_at(path) == ()
    path.chmod(0o640)
    assert tokens_at(path) is None
    path.chmod(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=3")
    assert tokens_at(path) is None
    other = tmp_path / "other.sqlite"
    other.touch(mode=0o600)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE tokens (id TEXT)")
    with pytest.raises(StoreError, match="not a database of passerelle"):
        tokens_at(other)
