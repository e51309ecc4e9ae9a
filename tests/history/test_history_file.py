import logging
import sqlite3
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from service.errors import StoreError
from service.history import History, open_history
from service.history.database import Database
from service.history.locks import schema_lock
from service.history.sqlite.engine import journal_mode, make_engine
from service.history.sqlite.file import APPLICATION_ID
from service.history.tables import events, hosts, receivers
from service.history.versions import head
from service.lab.waiting import grown_s
from service.model.events import ReconcileAsked, SourceTrouble, SourceWell
from service.model.listings import EventListing
from service.model.runs import HostStatus


def test_a_second_service_on_the_same_file_is_refused_clearly(history: History, path: Path) -> None:
    with pytest.raises(StoreError, match=r"another passerelle already serves .*passerelle\.sqlite \(stop it first"):
        open_history(path, serve=True)


def test_a_service_may_start_again_after_the_first_one_ended(path: Path, now: datetime) -> None:
    for _ in range(2):
        with open_history(path, serve=True) as history:
            history.store.add_event(SourceTrouble(why="y"), at=now)
    with open_history(path) as history:
        assert history.queries.newest_event_id() == 2


def test_a_file_in_use_is_not_swapped_for_a_newer_one(path: Path) -> None:
    path.parent.mkdir()
    user = schema_lock(path)
    assert user.take(shared=True)
    with pytest.raises(StoreError, match="has to be brought to a newer schema, but is in use"):
        open_history(path, wait_s=0.01)
    assert not path.exists()
    user.release()
    open_history(path, wait_s=0.01).close()


@pytest.mark.long
def test_the_lock_of_a_killed_service_is_free(path: Path) -> None:
    program = (
        "import pathlib, os, signal, sys; from service.history import open_history;"
        "h = open_history(pathlib.Path(sys.argv[1]), serve=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", program, str(path)], timeout=grown_s(60), check=False, cwd=root)
    assert killed.returncode == -9
    open_history(path, serve=True).close()


def test_a_command_works_beside_a_running_service(history: History, path: Path, now: datetime) -> None:
    with open_history(path) as beside:
        token = beside.store.create_token("ann", scopes=["read"], by="local", at=now)
    assert history.store.authenticate(token.encode(), at=now) is not None


def test_the_file_is_set_up_to_survive(history: History, path: Path) -> None:
    with history._database.read() as connection:
        found = {
            pragma: connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "trusted_schema")
        }
    assert found == {
        "journal_mode": journal_mode().lower(),
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "trusted_schema": 0,
    }
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (int(head()),)


def test_no_update_is_lost_between_two_connections(history: History, path: Path) -> None:
    """Two that share nothing but the file: what two processes are to it. SQLAlchemy's own way loses most of these."""
    history.store.next_generation("pve1")
    start = threading.Barrier(2)

    def count(database: Database) -> None:
        start.wait()
        for _ in range(60):
            with database.write() as connection:
                number = connection.execute(select(hosts.c.generation)).scalar_one()
                connection.execute(update(hosts).values(generation=number + 1))

    both = [Database(make_engine(path)) for _ in range(2)]
    threads = [threading.Thread(target=count, args=(database,)) for database in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for database in both:
        database.close()
    assert history.queries.generation("pve1") == 121


def test_generations_are_given_out_once_to_many_threads(history: History) -> None:
    given: list[int] = []
    threads = [
        threading.Thread(target=lambda: given.extend(history.store.next_generation("pve1") for _ in range(25)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(given) == list(range(1, 101))


def test_a_file_held_by_another_is_unavailable_not_broken(history: History, path: Path, now: datetime) -> None:
    history.store.set_host_status(HostStatus("pve1"), at=now)
    impatient = Database(make_engine(path, busy_timeout_ms=50))
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="cannot be used now: database is locked") as caught, impatient.write():
            pass
        assert "passerelle doctor" in caught.value.hint
        with impatient.read() as connection:
            assert connection.execute(select(hosts.c.host)).scalars().all() == ["pve1"]
        holder.execute("ROLLBACK")
    with impatient.write():
        pass
    impatient.close()


def test_a_full_disk_undoes_the_transition_and_reading_goes_on(history: History, path: Path, now: datetime) -> None:
    history.store.add_event(ReconcileAsked(host="pve1", by="ann"), at=now)
    database = history._database
    with database.write() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        full = connection.connection.driver_connection
    assert full is not None
    with pytest.raises(StoreError, match="full"):
        for number in range(10_000):
            history.store.add_event(SourceTrouble(why=f"{number}" + "x" * 1500), at=now)
    assert history.queries.events(EventListing(limit=1)).items[0].type == "host.reconcile-asked"
    full.execute("PRAGMA max_page_count=1073741823").close()
    history.store.add_event(SourceWell(), at=now)
    assert history.queries.events(EventListing(limit=200, type="source.well")).items != ()


def test_a_transition_that_fails_leaves_nothing(history: History, now: datetime) -> None:
    with pytest.raises(ZeroDivisionError), history._database.write() as connection:
        connection.execute(insert(events).values(at=now, type="x", host="", text="", detail={}))
        assert 1 / 0
    assert history.queries.newest_event_id() == 0


def test_a_claimed_key_does_not_outlive_a_crash(path: Path, now: datetime) -> None:
    with open_history(path, serve=True) as history:
        assert history.store.claim_key("me", "k", "d", at=now).outcome == "new"
        assert history.store.claim_key("me", "k", "d", at=now).outcome == "busy"
    with open_history(path, serve=True) as history:
        assert history.store.claim_key("me", "k", "d", at=now).outcome == "new"


def test_a_key_is_kept_for_a_day(history: History, now: datetime) -> None:
    history.store.claim_key("me", "k", "d", at=now)
    history.store.settle_key("me", "k", status=202, location="/x", body={"a": 1})
    again = history.store.claim_key("me", "k", "d", at=now + timedelta(hours=23))
    assert (again.outcome, again.status, again.location, again.body) == ("done", 202, "/x", {"a": 1})
    assert history.store.claim_key("me", "k", "e", at=now).outcome == "other"
    assert history.store.claim_key("you", "k", "e", at=now).outcome == "new"
    assert history.store.claim_key("me", "k", "e", at=now + timedelta(hours=25)).outcome == "new"


def test_what_was_to_be_written_stands_in_no_error(
    history: History, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLAlchemy puts the parameters of a failed statement into its text, and a logged traceback shows it."""
    canary = "canary-5f2d"
    row = {"name": "gh", "type": "generic", "secret": canary, "created_at": now}
    with history.store._database.write() as connection:
        connection.execute(insert(receivers).values(**row))
    try:
        with history.store._database.write() as connection:
            connection.execute(insert(receivers).values(**row))
    except SQLAlchemyError:
        logging.getLogger("test").exception("it failed")
    assert "UNIQUE constraint failed" in caplog.text or "duplicate key value" in caplog.text
    assert canary not in caplog.text


def test_where_too_many_wait_for_the_database_it_is_an_error_of_ours(path: Path, now: datetime) -> None:
    open_history(path).close()
    engine = make_engine(path, busy_timeout_ms=50)
    database = Database(engine)
    with ExitStack() as held:
        for _ in range(16):
            held.enter_context(database.read())
        with pytest.raises(StoreError, match="too many wait for it") as error, database.read():
            pass
    assert "passerelle doctor" in error.value.hint
    database.close()


def test_a_state_folder_that_cannot_be_used_is_said_in_words(path: Path) -> None:
    """As where it is mounted read-only: it was a traceback."""
    path.parent.mkdir()
    path.with_name(path.name + ".serve.lock").symlink_to("elsewhere")
    with pytest.raises(StoreError, match=r"the state folder .* cannot be used: .*is it mounted read-only") as error:
        open_history(path, serve=True)
    assert error.value.__suppress_context__
