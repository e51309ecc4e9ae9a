"""A number that no row has yet finds nothing, with either kind of database: PostgreSQL's own type for it is larger."""

import pytest

from service.history import History
from service.model.listings import EventListing

LARGEST = 2**63 - 1


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, LARGEST])
def test_a_number_beyond_all_rows_finds_nothing(history: History, number: int) -> None:
    assert history.queries.events(EventListing(after=number)).items == ()
    assert history.queries.events(EventListing(start=(number,))).items == ()
