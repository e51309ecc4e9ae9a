"""What hosts sent: one row a host, read back as it was."""

from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import update

from service.history import History
from service.history.columns import MAX_BYTES
from service.history.tables import sightings
from service.model.observed import Watch
from service.model.runs import HostStatus
from service.model.sightings import Sighting

WATCH = Watch(
    files=frozenset({"/etc/b", "/etc/a/*"}), units=frozenset({"x.service"}), sysctls=frozenset({"net.a"}),
    weighed=frozenset({("package:bind9", "absent"), ("unit:named.service", "disabled")}),
)  # fmt: skip


@pytest.fixture
def sighting(now: datetime) -> Sighting:
    return Sighting("pve1", now, "sha256:f", "ab", WATCH, b"\x00what it sent\xff" * 9, {"install": {"moves": []}})


def test_it_is_read_back_as_it_was_and_the_next_takes_its_place(history: History, sighting: Sighting) -> None:
    assert history.queries.sighting("pve1") is None
    for one in (sighting, replace(sighting, answer=b"more", watch=Watch(), weighed=None)):
        history.store.keep_sighting(one)
        assert history.queries.sighting("pve1") == one
    assert history.queries.sighting("pve2") is None


def test_what_is_too_large_is_not_kept_nor_is_what_was_before_it(history: History, sighting: Sighting) -> None:
    history.store.keep_sighting(sighting)
    history.store.keep_sighting(replace(sighting, answer=bytes(MAX_BYTES + 1)))
    assert history.queries.sighting("pve1") is None
    history.store.keep_sighting(replace(sighting, answer=bytes(MAX_BYTES)))
    assert history.queries.sighting("pve1") is not None


def test_what_another_release_asked_for_is_dropped(history: History, sighting: Sighting) -> None:
    history.store.keep_sighting(sighting)
    with history.queries._database.write() as connection:
        connection.execute(update(sightings).values(watch={"files": [], "planets": []}))
    assert history.queries.sighting("pve1") is None


def test_a_damaged_row_is_an_error_and_no_observation(history: History, sighting: Sighting) -> None:
    history.store.keep_sighting(sighting)
    with history.queries._database.write() as connection:
        connection.exec_driver_sql("UPDATE sightings SET answer = substr(answer, 1, 12)")
    with pytest.raises(ValueError, match="is cut"):
        history.queries.sighting("pve1")


def test_a_host_that_leaves_git_leaves_no_answer_behind(history: History, sighting: Sighting) -> None:
    history.store.set_host_status(HostStatus("pve1"), at=sighting.at)
    history.store.keep_sighting(sighting)
    history.store.orphan_host("pve1", at=sighting.at)
    assert history.queries.sighting("pve1") is None
