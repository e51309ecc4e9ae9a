"""Sessions of people in the browser: each ends in time, with its token, and when somebody signs out."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.history import History, open_history
from service.history.store.sessions import MOST_OF_TOKEN
from service.model.listings import AuditListing, EventListing
from service.model.retention import Keep
from service.model.web_sessions import SessionLimits, Visit, WebSession
from tests.history.test_history_tokens import make

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LIMITS = SessionLimits(idle=8 * HOUR, life=7 * DAY)
VISIT = Visit("192.0.2.7", "0123456789abcdef")


def signed_in(history: History, token: str, at: datetime) -> tuple[bytes, WebSession]:
    found = history.store.begin_session(token.encode(), limits=LIMITS, visit=VISIT, at=at)
    assert found is not None
    return found[0].encode(), found[1]


def is_in(history: History, cookie: bytes, at: datetime, **more: Any) -> bool:
    return history.store.session_of(cookie, limits=LIMITS, at=at, **more) is not None


def test_a_session_may_what_its_token_may(history: History, now: datetime) -> None:
    token = make(history, now, scopes=["plan", "read"], hosts=["pve*"])
    cookie, begun = signed_in(history, token, now)
    found = history.store.session_of(cookie, limits=LIMITS, at=now)
    assert found == begun
    assert found.principal == history.store.authenticate(token.encode(), at=now)
    assert found.ends_at == now + 7 * DAY


def test_nobody_signs_in_without_a_good_token(history: History, now: datetime) -> None:
    good, ended = make(history, now), make(history, now)
    history.store.revoke_token(ended[4:16], by="bob", at=now)
    for presented in (ended, good[:-1], good[:17] + ended[17:], "", "psr_"):
        assert history.store.begin_session(presented.encode(), limits=LIMITS, visit=VISIT, at=now) is None
    assert history.store.begin_session(good.encode(), limits=LIMITS, visit=VISIT, at=now + 90 * DAY) is None


def test_a_cookie_is_nobodys_when_it_is_wrong(history: History, now: datetime) -> None:
    token = make(history, now)
    first, second = signed_in(history, token, now)[0], signed_in(history, token, now)[0]
    swapped = first[:13] + second[13:]
    for presented in (swapped, first[:-1], first + b"0", b"0" * 12 + first[12:], b"", b"\xff", token.encode()):
        assert not is_in(history, presented, now), presented
    assert is_in(history, first, now)


def test_neither_a_cookie_is_a_token_nor_a_secret_of_a_token_a_session(history: History, now: datetime) -> None:
    token = make(history, now)
    cookie, _ = signed_in(history, token, now)
    assert history.store.authenticate(b"psr_" + cookie, at=now) is None
    assert not is_in(history, token[4:].encode(), now)


def test_the_database_does_not_hold_the_secret(path: Path, now: datetime) -> None:
    with open_history(path) as history:
        cookie, _ = signed_in(history, make(history, now), now)
    with closing(sqlite3.connect(path)) as connection:
        text = "\n".join(connection.iterdump())
    assert cookie[:12].decode() in text
    assert cookie[13:].decode() not in text


def test_a_session_ends_when_nobody_clicks_for_long(history: History, now: datetime) -> None:
    cookie, _ = signed_in(history, make(history, now), now)
    late = now + 8 * HOUR
    assert is_in(history, cookie, late - timedelta(seconds=1), is_use=False)
    assert not is_in(history, cookie, late)
    assert not is_in(history, cookie, late, is_use=False)


def test_clicks_move_the_idle_end_and_what_a_page_does_by_itself_does_not(history: History, now: datetime) -> None:
    cookie, _ = signed_in(history, make(history, now), now)
    assert is_in(history, cookie, now + 7 * HOUR)
    assert is_in(history, cookie, now + 14 * HOUR, is_use=False)
    assert not is_in(history, cookie, now + 15 * HOUR)


def test_a_session_ends_at_last_however_often_somebody_clicks(history: History, now: datetime) -> None:
    cookie, _ = signed_in(history, make(history, now), now)
    for hour in range(0, 7 * 24, 4):
        assert is_in(history, cookie, now + hour * HOUR)
    assert is_in(history, cookie, now + 7 * DAY - timedelta(seconds=1))
    assert not is_in(history, cookie, now + 7 * DAY)


def test_a_session_ends_with_its_token(history: History, now: datetime) -> None:
    revoked, short = make(history, now), make(history, now, lifetime=2 * HOUR)
    of_revoked, of_short = signed_in(history, revoked, now)[0], signed_in(history, short, now)[0]
    assert is_in(history, of_short, now + 2 * HOUR - timedelta(seconds=1))
    assert not is_in(history, of_short, now + 2 * HOUR)
    assert is_in(history, of_revoked, now)
    history.store.revoke_token(revoked[4:16], by="bob", at=now)
    assert not is_in(history, of_revoked, now)


def test_signing_out_ends_one_session_and_everywhere_ends_all(history: History, now: datetime) -> None:
    token, other = make(history, now), make(history, now)
    cookies = [signed_in(history, token, now) for _ in range(3)]
    kept, _ = signed_in(history, other, now)
    assert history.store.end_session(cookies[0][1].id, visit=VISIT, at=now)
    assert not history.store.end_session(cookies[0][1].id, visit=VISIT, at=now)
    assert [is_in(history, cookie, now) for cookie, _ in cookies] == [False, True, True]
    assert history.store.end_sessions_of(token[4:16], visit=VISIT, at=now) == 2
    assert history.store.end_sessions_of(token[4:16], visit=VISIT, at=now) == 0
    assert [is_in(history, cookie, now) for cookie, _ in cookies] == [False, False, False]
    assert is_in(history, kept, now)


def test_who_signed_in_and_out_is_recorded(history: History, now: datetime) -> None:
    token = make(history, now)
    cookie, session = signed_in(history, token, now)
    signed_in(history, token, now)
    history.store.end_session(session.id, visit=VISIT, at=now)
    history.store.end_sessions_of(token[4:16], visit=VISIT, at=now)
    acts = history.queries.acts(AuditListing(limit=20)).items
    assert [act.action for act in acts] == ["sign_out_everywhere", "sign_out", "sign_in", "sign_in"]
    for act in acts:
        assert (act.by, act.token, act.how, act.client) == ("ann", token[4:16], "web", "192.0.2.7")
        assert act.request_id == VISIT.request_id
    kinds = [event.type for event in history.queries.events(EventListing(limit=20)).items]
    assert [kind for kind in kinds if kind.startswith("session.")] == ["session.began"] * 2 + ["session.ended"] * 2
    assert cookie[13:].decode() not in str(acts)


def test_a_use_is_written_once_a_minute_and_counts_for_the_token(history: History, now: datetime) -> None:
    cookie, _ = signed_in(history, make(history, now), now)
    written = []
    for seconds in (0, 30, 59, 60, 90, 121):
        found = history.store.session_of(cookie, limits=LIMITS, at=now + timedelta(seconds=seconds))
        assert found is not None
        [token] = history.queries.tokens()
        assert token.last_used_at is not None
        written.append(((found.used_at - now).seconds, (token.last_used_at - now).seconds))
    assert written == [(0, 0), (0, 0), (0, 0), (60, 60), (60, 60), (121, 121)]


def test_a_session_is_recognised_until_anything_is_written(path: Path, now: datetime) -> None:
    with open_history(path, serve=True) as history:
        recognised(history, now)


def recognised(history: History, now: datetime) -> None:
    store = history.store

    def known(at: datetime = now, **more: Any) -> WebSession | None:
        return store.recognise_session(cookie, limits=LIMITS, at=at, **more)

    cookie, begun = signed_in(history, make(history, now), now)
    assert known() is None
    assert store.session_of(cookie, limits=LIMITS, at=now) == begun
    assert known() == begun
    for presented in (cookie[:-1] + (b"0" if cookie[-1:] != b"0" else b"1"), b"", b"\xff", cookie[:13]):
        assert store.recognise_session(presented, limits=LIMITS, at=now) is None
    minute = now + timedelta(minutes=1)
    assert known(minute) is None, "its use has to be noted again"
    assert known(minute, is_use=False) == begun
    assert known(now + 8 * HOUR, is_use=False) is None


@pytest.mark.parametrize(
    "end",
    [
        lambda store, one, at: store.end_session(one.id, visit=VISIT, at=at),
        lambda store, one, at: store.end_sessions_of(one.principal.id, visit=VISIT, at=at),
        lambda store, one, at: store.revoke_token(one.principal.id, by="bob", at=at),
    ],
    ids=["signed out", "signed out everywhere", "its token revoked"],
)
def test_what_another_process_ends_is_recognised_no_more(
    path: Path, now: datetime, end: Callable[[Any, WebSession, datetime], object]
) -> None:
    """Each opening of the file has connections of its own, as a second browser at a second process has."""
    with open_history(path, serve=True) as serving, open_history(path) as other:
        cookie, begun = signed_in(serving, make(serving, now), now)
        for history in (serving, other):
            assert history.store.session_of(cookie, limits=LIMITS, at=now) == begun
        assert serving.store.recognise_session(cookie, limits=LIMITS, at=now) == begun
        assert end(other.store, begun, now)
        assert serving.store.recognise_session(cookie, limits=LIMITS, at=now) is None
        assert serving.store.session_of(cookie, limits=LIMITS, at=now) is None


def test_of_too_many_sessions_the_one_used_longest_ago_ends(history: History, now: datetime) -> None:
    token = make(history, now)
    cookies = [signed_in(history, token, now + timedelta(seconds=n))[0] for n in range(MOST_OF_TOKEN)]
    late = now + HOUR
    assert is_in(history, cookies[0], late)
    signed_in(history, token, late)
    assert [is_in(history, cookie, late, is_use=False) for cookie in cookies[:3]] == [True, False, True]


def test_sessions_that_ended_long_ago_go_and_those_in_force_stay(history: History, now: datetime) -> None:
    token = make(history, now, lifetime=366 * DAY)
    old, _ = signed_in(history, token, now)
    late = now + 60 * DAY
    young, _ = signed_in(history, token, late)
    past: dict[str, Any] = {}
    gone = 0
    while said := history.store.forget(Keep(event_days=50), past, at=late):
        gone += said.get("web_sessions", 0)
    assert gone == 1
    assert not is_in(history, old, late)
    assert is_in(history, young, late)
