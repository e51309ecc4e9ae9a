"""When the checks of a site are repeated."""

import pytest

from service.model.sites.seen import Check, Preflight
from service.reconcile.site_standing import SiteStanding

SITE = "www.example.org"
WRONG = Check("resolves", "it resolves to 203.0.113.9. Fix: set its A record.")
SILENT = Check("caa", "no name server answered. The check is repeated.", is_known=False)


@pytest.mark.parametrize(
    ("checks", "after_s"),
    [((WRONG,), [30, 60, 120, 240]), ((WRONG, SILENT), [30, 60, 120, 240]), ((SILENT,), [5, 10, 20, 40])],
    ids=["failed", "failed, and another could not be made", "could not be made"],
)
def test_a_check_is_repeated_less_and_less_often_and_one_that_could_not_be_made_soon(
    checks: tuple[Check, ...], after_s: list[int]
) -> None:
    standing, now_s = SiteStanding(), 100.0
    for wait_s in after_s:
        assert standing.checks_due([SITE], now_s, 16) == [SITE]
        standing.check(SITE, Preflight(0, checks), now_s)
        assert standing.checks_due([SITE], now_s + wait_s - 0.1, 16) == []
        now_s += wait_s
    assert (SITE in standing.unsent) == (WRONG in checks), "the guest is told what is known"
