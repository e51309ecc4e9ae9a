"""Secrets of receivers are encrypted in the database, with a key that is not in it."""

import base64
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from service.history import History, open_history
from service.history.pepper import CLOSED, Pepper
from service.history.tables import receivers
from service.model.secret import Secret
from tests.state_folders import NAME, Patterns

OLD, NEW = "o" * 8 + "correct-horse-1", "n" * 8 + "battery-staple-2"
PEPPER = Pepper(Secret(bytes(range(32))))


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_closed_is_opened_for_its_owner_only(secret: bytes, about: str) -> None:
    kept = PEPPER.closed(Secret(secret), about)
    assert PEPPER.opened(kept, about) == Secret(secret)
    assert PEPPER.opened(kept, about + "x") == Secret(b"")
    assert Pepper(Secret(b"x" * 32)).opened(kept, about) == Secret(b"")
    assert PEPPER.closed(Secret(secret), about) != kept
    raw = base64.b64decode(kept.removeprefix(CLOSED))
    assert len(secret) < 4 or secret not in raw


@pytest.mark.parametrize("at", [0, 15, 16, 30, -1])
def test_a_changed_text_is_worth_nothing(at: int) -> None:
    raw = bytearray(base64.b64decode(PEPPER.closed(Secret(NEW.encode()), "forge").removeprefix(CLOSED)))
    raw[at] ^= 1
    assert PEPPER.opened(CLOSED + base64.b64encode(raw).decode(), "forge") == Secret(b"")


def kept_of(history: History) -> tuple[str, str]:
    with history.store._database.read() as connection:
        row = connection.execute(select(receivers.c.secret, receivers.c.old_secret)).one()
    return row.secret, row.old_secret


def test_the_database_has_neither_the_secret_nor_the_old_one(history: History, now: datetime) -> None:
    history.store.add_receiver("forge", "github", by="ann", at=now, secret=OLD)
    history.store.rotate_receiver("forge", by="ann", at=now, secret=NEW)
    assert all(text.startswith(CLOSED) for text in kept_of(history))
    found = history.queries.receiver_secret("forge")
    assert found is not None
    assert [one.reveal().decode() for one in found.secrets(now)] == [NEW, OLD]


def test_secrets_of_an_earlier_version_are_encrypted_at_the_next_start(
    database: str, patterns: Patterns, tmp_path: Path, now: datetime
) -> None:
    with patterns.database(database) as url:
        path = tmp_path / "state" / NAME
        with open_history(path, serve=True, url=url) as history:
            history.store.add_receiver("forge", "github", by="ann", at=now, secret=OLD)
            with history.store._database.write() as connection:
                connection.execute(update(receivers).values(secret=NEW, old_secret=OLD, old_until=now))
            found = history.queries.receiver_secret("forge")
            assert found is not None and found.secret == Secret(NEW.encode())
        with open_history(path, serve=True, url=url) as history:
            history.store.close_secrets()
            assert all(text.startswith(CLOSED) for text in kept_of(history))
            found = history.queries.receiver_secret("forge")
            assert found is not None and (found.secret, found.old) == (Secret(NEW.encode()), Secret(OLD.encode()))


def test_a_process_whose_pepper_is_not_that_of_the_tokens_encrypts_nothing(
    database: str, patterns: Patterns, tmp_path: Path, now: datetime
) -> None:
    with patterns.database(database) as url:
        path = tmp_path / "state" / NAME
        with open_history(path, serve=True, url=url) as history:
            history.store.create_token("ann", scopes=["read"], by="test", at=now)
            history.store.add_receiver("forge", "github", by="ann", at=now, secret=NEW)
            with history.store._database.write() as connection:
                connection.execute(update(receivers).values(secret=NEW))
        path.with_name("token.pepper").unlink()
        with open_history(path, serve=True, url=url) as history:
            history.store.close_secrets()
            assert kept_of(history)[0] == NEW
