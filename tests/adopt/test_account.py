"""The laws of `tests/adopt/laws.py` over every host and every file that the tests have."""

from dataclasses import replace
from functools import cache

import pytest

from service.adopt import Adopted
from service.adopt.next_plan import FirstPlan
from tests.adopt import laws
from tests.adopt.corpora import hosts

HOSTS = dict(hosts())


@cache
def made_of(name: str) -> Adopted | None:
    """What adopt says, once for all laws."""
    return laws.made_of(HOSTS[name])


@pytest.mark.parametrize("name", HOSTS)
def test_what_is_said_of_a_host_is_said_once_and_true(name: str) -> None:
    if (made := made_of(name)) is not None:
        laws.each_line_once(HOSTS[name], made)
        laws.dnsmasq_as_said(HOSTS[name], made)
        laws.links_and_nat_as_said(HOSTS[name], made)


@pytest.mark.parametrize("name", HOSTS)
def test_the_first_plan_is_empty_or_each_of_its_differences_is_announced(name: str) -> None:
    if (made := made_of(name)) is not None:
        laws.first_plan_announced(HOSTS[name], made)


@pytest.mark.parametrize("name", HOSTS)
def test_taking_over_keeps_every_meaning_and_is_then_done(name: str) -> None:
    if (made := made_of(name)) is not None:
        for section in ("nat", "dnsmasq", "guests"):
            laws.taken_over(HOSTS[name], made, section)


def test_the_laws_notice_a_report_that_is_not_exact() -> None:
    """Negative controls: a line in no part, a line in two, a line that is wrongly reported as in the spec."""
    given = HOSTS["dnsmasq: guests of all sorts"]
    made = laws.made_of(given)
    assert made is not None
    notes = made.report.notes
    unmanaged = next(note for note in notes if note.sort == "unmanaged" and note.where == "/etc/dnsmasq.conf:6")
    wrong = (
        tuple(note for note in notes if note != unmanaged),
        (*notes, replace(unmanaged, what="again")),
        tuple(replace(note, sort="understood", in_spec=True) if note == unmanaged else note for note in notes),
    )
    for found in wrong:
        bad = replace(made, report=replace(made.report, notes=found))
        with pytest.raises(AssertionError):
            laws.each_line_once(given, bad)
            laws.dnsmasq_as_said(given, bad)
    loud = HOSTS["scripts enabled"]
    said = laws.made_of(loud)
    assert said is not None
    assert said.report.plan.changes
    with pytest.raises(AssertionError):
        laws.first_plan_announced(loud, replace(said, report=replace(said.report, plan=FirstPlan())))
