"""What is so on a PostgreSQL server only: its address, whose database it is, who holds it, a server that goes away."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import SQLModel

from service.errors import InputError, StoreError
from service.history import History, open_history
from service.history.database import Database
from service.history.migrate import upgrade
from service.history.postgres.engine import make_engine
from service.history.postgres.server import Held, Server, looked_at_server, sort_by_bytes
from service.history.tables import events, hosts
from service.history.versions import head, migrations_folder
from service.lab.waiting import grown_s
from service.model.access import Principal
from service.model.events import ReconcileAsked, SourceTrouble
from service.model.listings import EventListing, HostListing
from service.model.runs import HostStatus
from service.model.secret import Secret
from tests.postgres import Cluster, cluster
from tests.state_folders import NAME

FAILING = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{after}", "{head}"


def upgrade() -> None:
    op.add_column("hosts", sa.Column("note", sa.String(), nullable=False, server_default=""))
    op.execute("SELECT 1 / (SELECT count(*) FROM events)")
"""
of_server = pytest.mark.long


@pytest.fixture
def url(cluster: Cluster) -> Iterator[Secret]:
    """An empty database."""
    made = cluster.made()
    yield made
    cluster.dropped(made)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state" / NAME


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://db/x", "does not begin with postgresql://"),
        ("db.example.net/x", "does not begin with postgresql://"),
        ("postgresql://u:hunter2@db/x?no_such_option=1", "cannot be read"),
        ("postgresql://u:hunter2@[::1/x", "cannot be read"),
    ],
)
def test_an_address_that_is_none_is_told_without_its_password(state: Path, address: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        open_history(state, url=Secret(address.encode()))
    assert "PASSERELLE_DATABASE_URL" in error.value.hint
    assert "hunter2" not in str(error.value)
    assert not state.parent.exists()


def test_a_server_that_is_away_is_told_without_its_password(state: Path, tmp_path: Path) -> None:
    address = Secret(f"postgresql://ann:hunter2@/things?host={tmp_path}".encode())
    with pytest.raises(StoreError, match=r"the database things on .* cannot be reached: .*No such file") as error:
        open_history(state, url=address)
    assert "hunter2" not in str(error.value)
    assert error.value.hint == "start PostgreSQL, or correct PASSERELLE_DATABASE_URL"


@of_server
def test_the_migrations_make_the_tables_that_the_program_uses(state: Path, url: Secret) -> None:
    open_history(state, url=url).close()
    engine = make_engine(url.reveal().decode())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
        by_bytes = connection.exec_driver_sql(
            "SELECT count(*) FILTER (WHERE collation_name = 'C'), count(*) FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
            " AND data_type IN ('text', 'character varying')"
        ).one()
    engine.dispose()
    assert by_bytes[0] == by_bytes[1] > 50


@of_server
def test_names_come_in_the_order_of_their_bytes_whatever_the_language(
    cluster: Cluster, state: Path, now: datetime
) -> None:
    cluster.run("CREATE DATABASE in_english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
    names = ["a-b", "a.c", "a1", "aa", "ab"]
    with open_history(state, url=cluster.url("in_english")) as history:
        for name in reversed(names):
            history.store.set_host_status(HostStatus(name), at=now)
        assert [one.host for one in history.queries.hosts(HostListing(limit=9)).items] == sorted(names)
        page = history.queries.hosts(HostListing(limit=9, start=("a.c",)))
        assert [one.host for one in page.items] == ["a1", "aa", "ab"]
    cluster.dropped(cluster.url("in_english"))


@of_server
@pytest.mark.parametrize("selector", ["*", "pve?", "pve_1", "p*1", "a.b", "?", "pve*", "*-*", "p?e*"])
def test_a_selector_means_the_same_as_to_python(state: Path, url: Secret, now: datetime, selector: str) -> None:
    names = ["pve1", "pve12", "pve_1", "pveX1", "a.b", "axb", "p-1", "p"]
    with open_history(state, url=url) as history:
        for name in names:
            history.store.set_host_status(HostStatus(name), at=now)
        found = history.queries.hosts(HostListing(limit=99, visible=(selector,))).items
    who = Principal("i", "n", frozenset(), (selector,))
    assert [one.host for one in found] == sorted(name for name in names if who.sees(name))


@of_server
def test_a_database_of_another_program_is_refused_and_left_as_it_is(cluster: Cluster, state: Path, url: Secret) -> None:
    name = psycopg.conninfo.conninfo_to_dict(url.reveal().decode())["dbname"]
    cluster.run("CREATE TABLE invoices (id int)", str(name))
    with pytest.raises(StoreError, match=r"holds tables of another program \(invoices\); nothing was changed") as error:
        open_history(state, url=url)
    assert "createdb" in error.value.hint


@of_server
def test_a_newer_schema_is_refused(cluster: Cluster, state: Path, url: Secret) -> None:
    open_history(state, url=url).close()
    name = psycopg.conninfo.conninfo_to_dict(url.reveal().decode())["dbname"]
    cluster.run("UPDATE alembic_version SET version_num = '9999'", str(name))
    with pytest.raises(StoreError, match=f"has schema 9999, this passerelle knows up to {head()}; nothing was changed"):
        open_history(state, url=url)


def brought_forward(url: Secret, folder: Path) -> None:
    """What `open_history` does, with other migrations."""
    held, engine = Held(Server(url), serve=False, wait_s=0.05), make_engine(url.reveal().decode())
    try:
        held.with_newest_schema(head(folder), lambda: upgrade(engine, sort_by_bytes, folder))
    finally:
        engine.dispose()
        held.release()


@of_server
def test_a_migration_that_fails_leaves_nothing_and_one_in_use_is_not_begun(
    state: Path, url: Secret, tmp_path: Path, now: datetime
) -> None:
    after = f"{int(head()) + 1:04d}"
    folder = tmp_path / "migrations"
    shutil.copytree(migrations_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = FAILING.format(after=after, head=head())
    (folder / "versions" / f"{after}_note.py").write_text(text)
    with open_history(state, url=url), pytest.raises(StoreError, match="to a newer schema, but is in use"):
        brought_forward(url, folder)
    with pytest.raises(SQLAlchemyError, match="division by zero"):
        brought_forward(url, folder)
    with open_history(state, url=url) as history:
        history.store.add_event(SourceTrouble(why="x"), at=now)
    brought_forward(url, folder)
    with pytest.raises(StoreError, match=f"has schema {after}"):
        open_history(state, url=url)


@of_server
def test_a_second_service_on_the_same_database_is_refused_and_a_command_is_not(
    state: Path, url: Secret, now: datetime
) -> None:
    with open_history(state, url=url, serve=True) as history:
        with pytest.raises(StoreError, match=r"another passerelle already serves the database .*\(stop it first"):
            open_history(state, url=url, serve=True)
        with open_history(state, url=url) as beside:
            token = beside.store.create_token("ann", scopes=["read"], by="local", at=now)
        assert history.store.authenticate(token.encode(), at=now) is not None
    open_history(state, url=url, serve=True).close()


@of_server
def test_a_service_may_start_again_at_once_after_it_ended_or_was_killed(state: Path, url: Secret) -> None:
    """The server lets go of the locks of a session some time after its end."""
    program = (
        "import pathlib, os, signal, sys; from service.history import open_history;"
        "from service.model.secret import Secret;"
        "h = open_history(pathlib.Path(sys.argv[1]), serve=True, url=Secret(sys.argv[2].encode()));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(5):
        for _ in range(3):
            open_history(state, url=url, serve=True).close()
        command = [sys.executable, "-c", program, str(state), url.reveal().decode()]
        killed = subprocess.run(command, timeout=grown_s(60), check=False, cwd=Path(__file__).parents[2])
        assert killed.returncode == -9
    open_history(state, url=url, serve=True).close()


@of_server
def test_a_service_that_lost_its_right_writes_nothing_any_more(
    cluster: Cluster, state: Path, url: Secret, now: datetime
) -> None:
    """Its session ended, as after a cut of the network, and another one took over."""
    with open_history(state, url=url, serve=True) as first:
        cluster.run(
            "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            f" WHERE locktype = 'advisory' AND objid = 3 AND d.datname = '{_name(url)}'"
        )
        with open_history(state, url=url, serve=True) as second:
            with pytest.raises(StoreError, match="another passerelle already serves"):
                first.store.next_generation("pve1")
            assert second.store.next_generation("pve1") == 1
        assert first.store.next_generation("pve1") == 2  # nobody else serves: the right was taken again


@of_server
def test_no_update_is_lost_between_two_processes(state: Path, url: Secret) -> None:
    """Two that share nothing but the server."""
    with open_history(state, url=url) as history:
        history.store.next_generation("pve1")
        start = threading.Barrier(2)

        def count(database: Database) -> None:
            start.wait()
            for _ in range(60):
                with database.write() as connection:
                    number = connection.execute(select(hosts.c.generation)).scalar_one()
                    connection.execute(update(hosts).values(generation=number + 1))

        both = [Database(make_engine(url.reveal().decode())) for _ in range(2)]
        threads = [threading.Thread(target=count, args=(database,)) for database in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for database in both:
            database.close()
        assert history.queries.generation("pve1") == 121


@of_server
def test_who_asks_for_what_came_after_an_event_never_misses_one(state: Path, url: Secret, now: datetime) -> None:
    """Numbers of a sequence are given out before others can see the row: a later number could be seen first."""
    writers = [open_history(state, url=url) for _ in range(3)]
    done = threading.Event()

    def write(history: History) -> None:
        for _ in range(40):
            history.store.add_event(ReconcileAsked(host="pve1", by="ann"), at=now)

    seen: list[int] = []

    def follow(history: History) -> None:
        while True:
            ended = done.is_set()
            after = seen[-1] if seen else 0
            seen.extend(one.id for one in history.queries.events(EventListing(limit=200, after=after)).items)
            if ended:
                return

    with open_history(state, url=url) as reader:
        threads = [threading.Thread(target=write, args=(one,)) for one in writers]
        follower = threading.Thread(target=follow, args=(reader,))
        for thread in [follower, *threads]:
            thread.start()
        for thread in threads:
            thread.join(60)
        done.set()
        follower.join(60)
    for one in writers:
        one.close()
    assert seen == list(range(1, 121))


@of_server
def test_a_held_database_is_unavailable_not_broken(state: Path, url: Secret) -> None:
    with open_history(state, url=url) as history:
        impatient = Database(make_engine(url.reveal().decode(), wait_ms=50))
        with history._database.write():
            with pytest.raises(StoreError, match=r"cannot be used now: .*lock timeout"), impatient.write():
                pass
            with impatient.read() as connection:
                assert connection.execute(select(hosts.c.host)).all() == []
        with impatient.write():
            pass
        impatient.close()


@of_server
def test_a_reader_cannot_write(state: Path, url: Secret, now: datetime) -> None:
    row = {"at": now, "type": "t", "host": "", "text": "x", "detail": {}}
    with (
        open_history(state, url=url) as history,
        pytest.raises(StoreError, match="read-only transaction"),
        history._database.read() as connection,
    ):
        connection.execute(insert(events).values(**row))


@of_server
def test_after_a_restart_of_the_server_everything_goes_on(state: Path, now: datetime) -> None:
    with cluster() as server:
        url = server.made("things")
        with open_history(state, url=url, serve=True) as history:
            history.store.set_host_status(HostStatus("pve1"), at=now)
            server.stop()
            with pytest.raises(StoreError, match="cannot be"):
                history.store.next_generation("pve1")
            with pytest.raises(StoreError, match="cannot be used now"):
                history.queries.host("pve1")
            server.start()
            assert history.queries.host("pve1") is not None
            assert history.store.next_generation("pve1") == 1
            with pytest.raises(StoreError, match="already serves"):
                open_history(state, url=url, serve=True)


@of_server
def test_the_size_is_without_room_that_rows_left(state: Path, url: Secret, now: datetime) -> None:
    with open_history(state, url=url) as history:
        rows = [{"at": now - timedelta(days=99), "type": "t", "host": "", "text": "x" * 1000, "detail": {}}] * 3000
        with history._database.write() as connection:
            connection.execute(insert(events), rows)
        full = history.store.kept().size_bytes
        with history._database.write() as connection:
            connection.execute(events.delete().where(events.c.id > 300))
        assert history.store.kept().size_bytes < full / 3
        used, since, version = looked_at_server(Server(url))
    assert (since, int(version.split(".")[0]) >= 13) == ("2025-11-22", True)
    assert 0 < used < full / 3


def _name(url: Secret) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url.reveal().decode())["dbname"])
