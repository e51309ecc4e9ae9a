"""`passerelle db copy`: everything goes over, is compared, and nothing stays where anything is wrong."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import insert, select

from service.cli import run
from service.errors import StoreError
from service.history import History, open_history
from service.history.copying import copy_records
from service.history.tables import events, leases
from service.model.events import SourceTrouble
from service.model.listings import EventListing, HostListing
from service.model.secret import Secret
from tests.api.world import World
from tests.documents import commands
from tests.postgres import Cluster
from tests.state_folders import made

pytestmark = pytest.mark.long


@pytest.fixture
def filled(path: Path, now: datetime) -> Path:
    """A file with some of everything, a NUL in a lease, and a last event that is not there any more."""
    with open_history(made(path)) as history:
        World(history).fill()
        begun = history.store.open_apply(
            "pve1", plan_id="P", commit="c", plan_digest="p", desired_digest="d", trigger="request",
            requested_by="ann", at=now,
        )  # fmt: skip
        history.store.start_apply(begun, generation=1, planned=[("a", "b"), ("c", "d")], at=now)
        odd = {"host": "pve1", "mac": "m", "ip": "::1%a\0", "ip_order": "6", "name": "", "active": False}
        many = [{"at": now, "type": "source.well", "host": "", "text": "é" * 9, "detail": {}}] * 2100
        with history._database.write() as connection:
            connection.execute(insert(events), many)
            connection.execute(insert(leases).values(**odd, first_seen=now, last_seen=now))
        history.store.add_event(SourceTrouble(why="x"), at=now)
        with history._database.write() as connection:
            newest = history.queries.newest_event_id()
            connection.execute(events.delete().where(events.c.id == newest))
    return path


@pytest.fixture
def url(cluster: Cluster) -> Iterator[Secret]:
    address = cluster.made()
    yield address
    cluster.dropped(address)


def rows_of(history: History) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, as our types read it."""
    with history._database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in events.metadata.sorted_tables
        }


def test_everything_is_the_same_there_and_goes_on(filled: Path, url: Secret, now: datetime) -> None:
    before = filled.read_bytes()
    copied = {one.table: one.rows for one in copy_records(filled, url)}
    assert filled.read_bytes() == before
    with open_history(filled) as old, open_history(filled, url=url) as new:
        expected, found = rows_of(old), rows_of(new)
        odd = [row for row in expected["leases"] if row[2] == "::1%a\0"]
        assert len(odd) == 1
        expected["leases"] = [
            tuple("::1%a\N{REPLACEMENT CHARACTER}" if value == "::1%a\0" else value for value in row)
            for row in expected["leases"]
        ]
        assert found == expected
        assert copied == {name: len(rows) for name, rows in expected.items()}
        assert len([name for name, rows in copied.items() if rows]) >= 12
        newest = old.queries.newest_event_id()
        new.store.add_event(SourceTrouble(why="after"), at=now)
        assert [one.id for one in new.queries.events(EventListing(limit=9, after=newest)).items] == [newest + 2]
        token = new.store.create_token("ann", scopes=["read"], by="local", at=now)
        assert new.store.authenticate(token.encode(), at=now) is not None


def test_nothing_is_copied_onto_records_or_beside_a_service(filled: Path, url: Secret, now: datetime) -> None:
    with (
        open_history(filled, serve=True),
        pytest.raises(StoreError, match=r"another passerelle already serves .*passerelle\.sqlite"),
    ):
        copy_records(filled, url)
    with (
        open_history(filled, url=url, serve=True),
        pytest.raises(StoreError, match="already serves the database"),
    ):
        copy_records(filled, url)
    copy_records(filled, url)
    with pytest.raises(StoreError, match=r"has records already .*nothing was copied"):
        copy_records(filled, url)
    with pytest.raises(StoreError, match="there is no database at"):
        copy_records(filled.with_name("other.sqlite"), url)


def test_what_arrives_otherwise_is_noticed_and_nothing_stays(filled: Path, cluster: Cluster, url: Secret) -> None:
    open_history(filled, url=url).close()
    name = str(psycopg.conninfo.conninfo_to_dict(url.reveal().decode())["dbname"])
    cluster.run(
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.id = 1500 THEN NEW.text := 'x'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER other BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION other()",
        name,
    )
    with pytest.raises(StoreError, match="the rows of events are not what was copied; nothing was changed"):
        copy_records(filled, url)
    with open_history(filled, url=url) as history:
        assert history.queries.hosts(HostListing(limit=9)).items == ()


def test_the_pages_commands_copy_and_look(
    filled: Path, url: Secret, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(filled.parent))
    assert run(["db", "copy"]) == 1
    assert "Fix: set PASSERELLE_DATABASE_URL" in capsys.readouterr().err
    monkeypatch.setenv("PASSERELLE_DATABASE_URL", url.reveal().decode())
    of_page = [one for one in commands() if one.page == "postgresql.md" and one.text.startswith("passerelle ")]
    copy, doctor = (command.words for command in of_page)
    assert run(copy) == 0
    told = capsys.readouterr()
    assert "are the same there" in told.err
    assert "events" in told.out
    run([*doctor, "--output", "json"])
    [database] = [one for one in json.loads(capsys.readouterr().out) if one["check"] == "database"]
    assert database["ok"]
    assert database["what"].startswith("the database ")
    assert "PostgreSQL" in database["what"]
