"""What is missing before a step is done, and how far a migration is: pure, as tables."""

from dataclasses import replace
from typing import Any

import pytest

from service.errors import InputError
from service.migrate.judging import (
    NameSeen,
    SitePair,
    Stopped,
    not_running,
    records_to_change,
    unanswered,
    uncertified,
    unnamed,
    unready,
)
from service.migrate.order import STEPS, steps_from
from service.migrate.trailers import Past, Record, past_of, record_of
from service.model.sites.seen import Answer, CertificateServed

GOOD: dict[str, Any] = {
    "host": "pve2", "message": "", "quarantined": "", "sync_mode": "auto", "reason": "", "reachability": "Reachable",
    "sync": "Synced", "phase": "Idle",
}  # fmt: skip
PENDING = {"sync": "OutOfSync", "reason": "PendingChange", "message": "3 changes wait"}


@pytest.mark.parametrize(
    ("status", "has_commit", "said"),
    [
        ({}, True, []),
        ({}, False, ["pve2 was not compared with the new commit yet."]),
        ({"reachability": "Unreachable", "message": "timed out"}, True, ["pve2 is not reached: timed out."]),
        (PENDING, True, ["pve2 is not in sync: 3 changes wait."]),
        (
            PENDING | {"phase": "WaitingForApproval"},
            True,
            ["pve2 is not in sync: 3 changes wait. Fix: approve the plan: `passerelle apply pve2`"],
        ),
        ({"reason": "RolledBackLatched"}, False, ["pve2 was not compared with the new commit yet."]),
    ],
)
def test_a_host_is_ready_or_it_is_said_why_not(status: dict[str, Any], has_commit: bool, said: list[str]) -> None:
    assert list(unready(GOOD | status, has_commit=has_commit)) == said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"quarantined": "01M8", "message": "its rollback failed"}, "is in quarantine: its rollback failed"),
        ({"sync_mode": "observe"}, "has `sync: observe`"),
        ({"reason": "RolledBackLatched", "sync": "OutOfSync"}, "rolled the change back"),
    ],
)
def test_what_does_not_become_ready_on_its_own_stops_it(status: dict[str, Any], said: str) -> None:
    with pytest.raises(Stopped, match=said) as stopped:
        list(unready(GOOD | status, has_commit=True))
    assert stopped.value.hint


def test_guests_that_nobody_looks_into_are_no_reason_to_wait() -> None:
    facts: dict[str, Any] = {"guest:proxy": {"running": True}, "guest:dev": None, "guest:db": {"running": False}}
    facts |= {"guest:ci": {"unknown": "guest ci: the host did not report it"}}
    assert list(not_running("pve2", facts, ["proxy", "dev", "db", "ci", "adopted"])) == [
        "The guest dev on pve2 is not known to run: it does not exist.",
        "The guest db on pve2 does not run.",
        "The guest ci on pve2 is not known to run: guest ci: the host did not report it.",
    ]


ISSUED = CertificateServed(("www.example.org",), 2_000, "CN=x", "01")
OWN = replace(ISSUED, is_self_signed=True)


def answer(status: int = 200, certificate: CertificateServed | None = ISSUED, error: str = "") -> Answer:
    return Answer("198.51.100.12", status, error, certificate)


@pytest.mark.parametrize(
    ("giver", "taker", "certificate", "answers"),
    [
        (answer(), answer(), 0, 0),
        (answer(), answer(certificate=OWN), 1, 0),
        (answer(certificate=OWN), answer(certificate=OWN), 0, 0),
        (None, answer(certificate=OWN), 0, 0),
        (answer(), answer(0, None, "the connection was refused"), 1, 1),
        (answer(), answer(502), 0, 1),
        (answer(502), answer(502), 0, 0),
        (answer(503), answer(200), 0, 0),
        (answer(200), answer(404), 0, 1),
        (answer(404), answer(404), 0, 0),
        (answer(), answer(certificate=replace(ISSUED, not_after=900)), 0, 1),
    ],
)
def test_a_site_has_its_certificate_and_answers_as_before(
    giver: Answer | None, taker: Answer, certificate: int, answers: int
) -> None:
    pair = [SitePair("www.example.org", giver, taker)]
    assert len(list(uncertified(pair, "pve2"))) == certificate
    assert len(list(unanswered(pair, "pve1", "pve2", now=1_000))) == answers
    plain = [replace(pair[0], is_https=False)]
    assert not list(uncertified(plain, "pve2"))


def test_records_that_lead_elsewhere_are_named_and_a_private_name_is_none() -> None:
    names = [
        NameSeen("www.example.org", ("198.51.100.11", "2001:db8::11")),
        NameSeen("done.example.org", ("198.51.100.12",)),
        NameSeen("intranet.example.org"),
        NameSeen("lost.example.org", (), "no name server answered"),
    ]
    assert [str(one) for one in records_to_change(names, ["198.51.100.12"])] == [
        "www.example.org. A: 198.51.100.11 -> 198.51.100.12",
        "www.example.org. AAAA: 2001:db8::11 -> remove it",
    ]
    assert list(unnamed(names, ["198.51.100.12"]))[-1] == "no name server answered."


GIVE, TAKE = Record("a", "pve1", "pve2", "give"), Record("b", "pve1", "pve2", "take")
GIVE_BACK, TAKE_BACK = Record("c", "pve1", "pve2", "give-back"), Record("d", "pve1", "pve2", "take-back")
ELSEWHERE = Record("e", "pve8", "pve9", "give")
ONWARD = Record("f", "pve2", "pve3", "give")


@pytest.mark.parametrize(
    ("newest_last", "past"),
    [
        ([], Past()),
        ([GIVE], Past("both", "a")),
        ([GIVE, TAKE], Past("other", "a", "b")),
        ([GIVE, TAKE, GIVE_BACK], Past("both", "a")),
        ([GIVE, TAKE, GIVE_BACK, TAKE_BACK], Past(was_taken_back=True)),
        ([GIVE, TAKE_BACK], Past(was_taken_back=True)),
        ([GIVE, TAKE_BACK, replace(GIVE, commit="g")], Past("both", "g")),
        ([GIVE, ELSEWHERE], Past("both", "a")),
        ([GIVE, TAKE, ONWARD, replace(ONWARD, step="take")], Past()),
    ],
)
def test_how_far_a_migration_is(newest_last: list[Record], past: Past) -> None:
    assert past_of(newest_last[::-1], "pve1", "pve2") == past


def test_another_migration_of_a_host_has_to_end_first() -> None:
    with pytest.raises(InputError, match="the migration of pve2 to pve3 has begun and has not ended"):
        past_of([ONWARD, TAKE, GIVE], "pve1", "pve2")


@pytest.mark.parametrize(
    ("migration", "step"), [("pve1 to pve2", "destroy"), ("pve1; to pve2", "give"), ("pve1", "give")]
)
def test_trailers_of_anybody_else_are_none(migration: str, step: str) -> None:
    assert record_of("a", migration, step) is None


def test_the_steps_that_are_left() -> None:
    names = [step.name for step in STEPS]
    assert [step.name for step in steps_from("one", "a", "b")] == names
    assert [step.name for step in steps_from("one", "a", "b", is_back=True)] == names[1:]
    assert [step.name for step in steps_from("both", "a", "b")] == names[2:]
    assert [step.name for step in steps_from("other", "a", "b")] == ["last"]
    assert not any("{" in f"{step.does}{step.undone}{step.seen}" for step in steps_from("one", "a", "b"))
