"""Who did what: one chain, whoever writes, and every change of what was recorded is found."""

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update

from service.cli.audit import checked as checked_while_used
from service.cli.audit import portions
from service.history import History, open_history
from service.history.audit_queries import PORTION
from service.history.queries import Queries
from service.history.store.audit import TRIMMED, append
from service.history.tables import audit, audit_head
from service.lab.waiting import grown_s
from service.model.audit import TRIM, Act, Checked, Expected, Portion, check
from service.model.listings import AuditListing
from service.model.retention import Keep
from tests.state_folders import NAME, Patterns

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from service.history import open_history
from service.model.audit import Act
from service.model.secret import Secret

url = Secret(sys.argv[2].encode()) if sys.argv[2] else None
with open_history(Path(sys.argv[1]), url=url) as history:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(40):
        history.store.record_act(Act(by=sys.argv[3], how="api", action="create_apply"), at=datetime.now(UTC))
"""


def act(number: int, **more: object) -> Act:
    return Act(by="ann", how="api", action="create_apply", host=f"pve{number}", **more)  # type: ignore[arg-type]


def checked(history: History) -> Checked:
    return check(portions(history.queries))


def filled(history: History, now: datetime, number: int = 8) -> None:
    for one in range(1, number + 1):
        history.store.record_act(act(one, detail={"plan": f"p{one}"}), at=now + timedelta(seconds=one))


def test_what_was_recorded_is_read_and_checks(history: History, now: datetime) -> None:
    assert checked(history) == Checked(0)
    filled(history, now)
    found = checked(history)
    assert (found.entries, found.last, found.why) == (8, 8, "")
    newest = history.queries.acts(AuditListing(limit=2)).items
    assert [one.id for one in newest] == [8, 7]
    assert (newest[0].by, newest[0].how, newest[0].detail, newest[0].hash) == ("ann", "api", {"plan": "p8"}, found.hash)


def test_odd_text_is_stored_as_it_is_hashed(history: History, now: datetime) -> None:
    detail = {"reason": "a\0b\ud800\u202e\N{SNOWMAN}", "many": list(range(99)), "deep": {"x": None, "y": 1.5}}
    history.store.record_act(act(1, detail=detail, client="\n" * 5_000), at=now)
    assert checked(history).why == ""


def test_what_is_left_out_of_an_entry_is_counted(history: History, now: datetime) -> None:
    names = [f"pve{number}" for number in range(60)]
    history.store.record_act(act(1, detail={"hosts": names, "few": names[:50], "of": dict.fromkeys(names, 1)}), at=now)
    [one] = history.queries.acts(AuditListing()).items
    assert (one.detail["hosts"], one.detail["few"]) == ([*names[:50], "… 10 more"], names[:50])
    assert (len(one.detail["of"]), one.detail["of"]["…"]) == (51, 10)
    assert checked(history).why == ""


def changed(connection: Connection) -> None:
    connection.execute(update(audit).where(audit.c.id == 4).values(by="bob"))


def with_no_json(connection: Connection) -> None:
    connection.execute(text("UPDATE audit SET detail = '{' WHERE id = 4"))


def with_a_number_that_json_has_not(connection: Connection) -> None:
    connection.execute(text("""UPDATE audit SET detail = '{"x": NaN}' WHERE id = 4"""))


def removed(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.id == 4))


def closed_up(connection: Connection) -> None:
    removed(connection)
    for number in range(5, 9):
        connection.execute(update(audit).where(audit.c.id == number).values(id=number - 1))


def removed_at_the_end(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.id > 6))


def removed_at_the_start(connection: Connection) -> None:
    connection.execute(delete(audit).where(audit.c.id <= 3))


def all_removed(connection: Connection) -> None:
    connection.execute(delete(audit))


def row_of(connection: Connection, number: int) -> dict[str, object]:
    return dict(connection.execute(select(audit).where(audit.c.id == number)).mappings().one())


def inserted(connection: Connection) -> None:
    for number in range(8, 3, -1):
        connection.execute(update(audit).where(audit.c.id == number).values(id=number + 1))
    connection.execute(insert(audit).values(row_of(connection, 3) | {"id": 4, "by": "bob"}))


def inserted_at_the_end(connection: Connection) -> None:
    last = row_of(connection, 8)
    connection.execute(insert(audit).values(last | {"id": 9, "previous": last["hash"]}))


def moved(connection: Connection) -> None:
    for was, then in ((4, 99), (5, 4), (99, 5)):
        connection.execute(update(audit).where(audit.c.id == was).values(id=then))


FORGED: list[tuple[Callable[[Connection], None], int, str]] = [
    (changed, 4, "entry 4 was changed after it was recorded"),
    (with_no_json, 4, "entry 4 was changed after it was recorded"),
    (with_a_number_that_json_has_not, 4, "entry 4 was changed after it was recorded"),
    (removed, 4, "entry 4 is gone"),
    (closed_up, 4, "entry 4 was not recorded after entry 3"),
    (removed_at_the_end, 7, "entry 7 is gone, and all after it"),
    (removed_at_the_start, 3, "what was before entry 4 is gone"),
    (all_removed, 1, "entry 1 is gone, and all after it"),
    (inserted, 4, "entry 4 was not recorded after entry 3"),
    (inserted_at_the_end, 9, "entry 9 was changed after it was recorded"),
    (moved, 4, "entry 4 was not recorded after entry 3"),
]


@pytest.mark.parametrize(("forge", "broken", "why"), FORGED, ids=[one[0].__name__ for one in FORGED])
def test_whatever_was_done_to_an_entry_is_found(
    history: History, now: datetime, forge: Callable[[Connection], None], broken: int, why: str
) -> None:
    filled(history, now)
    with history.store._database.write() as connection:
        forge(connection)
    found = checked(history)
    assert found.broken == broken
    assert found.why.startswith(why)


def test_retention_leaves_a_chain_that_checks(history: History, now: datetime) -> None:
    filled(history, now - timedelta(days=400), TRIMMED + 30)
    filled(history, now, 3)
    before = checked(history)
    past: dict[str, object] = {}
    gone = 0
    while said := history.store.forget(Keep(), past, at=now):
        gone += said.get("audit", 0)
    assert gone == TRIMMED + 30
    found = checked(history)
    assert (found.why, found.entries) == ("", 3 + 2)
    assert found.last == before.last + 2
    newest = history.queries.acts(AuditListing(action=TRIM)).items[0]
    assert newest.detail["through"] == TRIMMED + 30
    with history.store._database.write() as connection:
        connection.execute(delete(audit).where(audit.c.id == TRIMMED + 31))
    assert checked(history).broken == TRIMMED + 31


@pytest.mark.parametrize("ahead", [1, TRIMMED + 1, 3 * TRIMMED])
def test_entries_of_the_future_go_with_those_around_them(history: History, now: datetime, ahead: int) -> None:
    """Somebody's clock was wrong for a while. Entries that are young stay, and those of the future before these."""
    long_ago, never = now - timedelta(days=400), now + timedelta(days=3650)
    filled(history, long_ago, 2)
    with history.store._database.write() as connection:
        for number in range(ahead):
            append(connection, act(number), at=never)
    filled(history, long_ago, 2)
    history.store.record_act(act(0), at=never)
    filled(history, now - timedelta(days=1), 2)
    gone = 0
    while trimmed := history.store.trim_acts(now - timedelta(days=365), at=now):
        assert trimmed <= TRIMMED
        gone += trimmed
    assert gone == 2 + ahead + 2
    assert checked(history).why == ""


def test_a_check_while_old_entries_go_is_no_alarm(history: History, now: datetime) -> None:
    with history.store._database.write() as connection:
        for number in range(PORTION + 10):
            append(connection, act(number), at=now - timedelta(days=400))
    filled(history, now, 3)

    class Trimming(Queries):
        """Entries go between two reads of the first check."""

        reads = 0

        def acts_after(self, last: int) -> Portion:
            self.reads += 1
            if self.reads == 2:
                while history.store.trim_acts(now - timedelta(days=365), at=now):
                    pass
            return super().acts_after(last)

    queries = Trimming(history.store._database, history.queries._pepper)
    found = checked_while_used(queries, Expected.of(""))
    assert (found.why, queries.reads) == ("", 5)
    with history.store._database.write() as connection:
        connection.execute(delete(audit).where(audit.c.id == found.last - 1))
    assert checked_while_used(history.queries, Expected.of("")).broken == found.last - 1


def test_the_newest_entry_stays_at_any_age(history: History, now: datetime) -> None:
    filled(history, now - timedelta(days=4000), 2)
    assert history.store.trim_acts(now, at=now) == 1
    assert history.store.trim_acts(now, at=now) == 1
    assert history.store.trim_acts(now, at=now) == 0
    assert checked(history).why == ""


def test_who_sees_some_hosts_sees_what_was_done_to_them(history: History, now: datetime) -> None:
    filled(history, now, 3)
    history.store.record_act(Act(by="ann", how="cli", action="create_token"), at=now)
    for visible, ids in ((("pve2",), [2]), (("pve2", "pve3"), [3, 2]), (("pve9",), [])):
        page = history.queries.acts(AuditListing(visible=visible))
        assert [one.id for one in page.items] == ids, visible
    page = history.queries.acts(AuditListing(visible=("pve2", "pve3"), limit=1))
    assert page.next == (3,)
    assert [one.id for one in history.queries.acts(AuditListing(start=(3,))).items] == [2, 1]


def test_processes_that_write_at_once_keep_one_chain(database: str, patterns: Patterns, tmp_path: Path) -> None:
    path = tmp_path / "state" / NAME
    with patterns.database(database) as url, open_history(path, url=url) as history:
        address = url.reveal().decode() if url is not None else ""
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), address, f"w{number}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for number in range(2)
        ]  # fmt: skip
        for one in writers:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        for one in writers:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        assert [(one.communicate(timeout=grown_s(60)), one.returncode)[1] for one in writers] == [0, 0]
        found = checked(history)
        assert (found.entries, found.last, found.why) == (80, 80, "")


def test_the_head_is_one_row(history: History, now: datetime) -> None:
    filled(history, now, 3)
    with history.store._database.read() as connection:
        assert [tuple(row)[:2] for row in connection.execute(select(audit_head))] == [(1, 3)]
