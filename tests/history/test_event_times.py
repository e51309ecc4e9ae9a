"""Events of a part of time are found by halves, and are those that a look at each would find."""

import random
from datetime import datetime, timedelta

import pytest

from service.history import History
from service.history.tables import events
from service.model.events import SourceTrouble
from service.model.listings import EventListing


@pytest.mark.parametrize("seed", range(4))
def test_a_part_of_time_has_the_events_of_that_time(history: History, now: datetime, seed: int) -> None:
    chance, times = random.Random(seed), []
    at = now
    for number in range(chance.randrange(40)):
        at += timedelta(seconds=chance.choice((0, 0, 1, 60)))
        times.append(at)
        history.store.add_event(SourceTrouble(why=str(number)), at=at)
    with history.store._database.write() as connection:  # what retention leaves has holes
        connection.execute(events.delete().where(events.c.id % chance.choice((3, 5, 99)) == 1))
    left = [(one.id, one.at) for one in history.queries.events(EventListing(limit=200)).items]
    edges = [None, now - timedelta(days=1), *chance.sample(times, min(5, len(times))), at + timedelta(days=1)]
    for since in edges:
        for until in edges:
            expected = [n for n, t in left if (since is None or t >= since) and (until is None or t < until)]
            for newest in (False, True):
                asked = EventListing(since=since, until=until, newest=newest, limit=200)
                found = [one.id for one in history.queries.events(asked).items]
                assert found == (expected[::-1] if newest else expected)
