"""Why a source is not followed, in a sentence for people."""

import pytest

from service.model.sources import Advanced, Empty, Failed, Fetched, Missing, Unchanged
from service.reconcile.watching import words

FIX = "Fix: push the branch, or name another one in PASSERELLE_BRANCH"
KEPT, NOTHING = "the last good revision stays in force", "nothing is in force yet"


@pytest.mark.parametrize(
    ("fetched", "accepted", "said"),
    [
        (Missing("main"), None, f"the repository has no branch main; {NOTHING}. {FIX}"),
        (Missing("main", ("a", "b")), None, f"the repository has no branch main; there is a, b; {NOTHING}. {FIX}"),
        (Missing("main", ("a",)), "c" * 40, f"the branch main is gone; there is a; {KEPT}. {FIX}"),
        (Empty(), None, f"the repository has no branch; {NOTHING}. Fix: push one"),
        (Empty(), "c" * 40, f"the repository has no branch; {KEPT}. Fix: push one"),
        (Failed("busy", "another fetch"), None, "the source cannot be fetched (busy): another fetch"),
        (Unchanged("c" * 40), "c" * 40, ""),
        (Advanced("c" * 40), None, ""),
    ],
    ids=str,
)
def test_a_branch_is_called_gone_only_where_it_was_followed(fetched: Fetched, accepted: str | None, said: str) -> None:
    assert words(fetched, accepted) == said
