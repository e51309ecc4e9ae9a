"""What is remembered of a host: a look that saw nothing new needs no planning, any other does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from service.model.observed import HostObserved
from service.model.runs import HostStatus
from service.model.states import Json, Seen, Unknown
from service.plan.make import Permission, make_plan
from service.reconcile.standing import Looked, Standing
from service.reconcile.status import failed
from service.resources.desired import Desired, LastApplied
from tests.laws.host import after_plan, bare_host, set_fact
from tests.laws.specs import desired_of, names

COMMIT = "c" * 40


def look(desired: Desired, observed: HostObserved, base: Json) -> Looked:
    return Looked(desired, base, observed, COMMIT, Permission())


def remembered(looked: Looked) -> Standing:
    """As a round leaves it."""
    plan = make_plan(looked.desired, LastApplied.from_json(looked.base), looked.observed, commit=looked.commit)
    return Standing(desired=looked.desired, observed=looked.observed, plan=plan, looked=looked)


@pytest.fixture
def settled() -> Looked:
    """A host that is as its spec says."""
    desired = desired_of("seed")
    bare = bare_host(desired.watch)
    done = after_plan(bare, make_plan(desired, LastApplied(), bare, commit=COMMIT))
    return look(desired, done, desired.as_json())


def later(observed: HostObserved) -> HostObserved:
    """The same host, read again a minute later: equal parts, not the same objects."""
    return replace(
        observed, observed_at=observed.observed_at + timedelta(minutes=1), facts=dict(observed.facts),
        texts={path: replace(text) if isinstance(text, Seen) else text for path, text in observed.texts.items()},
    )  # fmt: skip


def test_a_host_that_is_as_it_was_keeps_its_empty_plan(settled: Looked) -> None:
    standing = remembered(settled)
    assert standing.plan is not None
    assert standing.plan.is_empty
    assert standing.still(settled._replace(observed=later(settled.observed))) is standing.plan


def test_what_a_guest_says_of_its_certificates_makes_no_new_plan(settled: Looked) -> None:
    """The guest writes it every minute. No plan reads it: with it, and without it, the same one is made."""
    standing = remembered(settled)
    told = replace(settled.observed, guest_status={"proxy": Seen(b'{"written_at": 1767230383}')})
    assert standing.still(settled._replace(observed=told)) is standing.plan
    for name in names():
        desired = desired_of(name)
        host = bare_host(desired.watch)
        heard = replace(host, guest_status=told.guest_status)
        assert make_plan(desired, LastApplied(), host) == make_plan(desired, LastApplied(), heard)


CHANGES: dict[str, Callable[[Looked], Looked]] = {
    "a fact": lambda was: was._replace(observed=set_fact(was.observed, "sysctl:net.ipv4.ip_forward", "0", {})),
    "a file": lambda was: was._replace(
        observed=replace(was.observed, texts={**was.observed.texts, "/etc/sysctl.conf": Seen(b"#\n")})
    ),
    "what is not known": lambda was: was._replace(observed=replace(was.observed, leases=Unknown("not read"))),
    "the way to the host": lambda was: was._replace(observed=replace(was.observed, path=None)),
    "the commit": lambda was: was._replace(commit="d" * 40),
    "the base": lambda was: was._replace(base=None),
    "the permission": lambda was: was._replace(permission=Permission(management_change=True)),
    "what is wanted": lambda was: was._replace(desired=desired_of("seed")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_planned_anew(settled: Looked, change: str) -> None:
    now = CHANGES[change](settled)
    assert change == "what is wanted" or now != settled
    assert remembered(settled).still(now) is None


def test_a_plan_with_something_to_do_is_made_anew_each_time(settled: Looked) -> None:
    standing = remembered(settled._replace(observed=bare_host(settled.desired.watch)))
    assert standing.looked is not None
    assert standing.still(standing.looked) is None


def test_a_round_that_fails_waits_for_the_end_of_an_apply_only_where_it_began_one() -> None:
    standing, told = Standing(unsettled=False), []
    steps = (
        partial(standing.begin), partial(standing.begin, "01A"), partial(standing.end, "01A"), partial(standing.end)
    )  # fmt: skip
    for step in steps:
        step()
        status = failed(HostStatus("pve1"), "lost", apply_id=standing.applying)
        told.append((standing.unsettled, status.phase, status.apply_id))
    awaiting = (True, "AwaitingConfirmation", "01A")
    assert told == [(True, "Idle", ""), awaiting, awaiting, (False, "Idle", "")]
