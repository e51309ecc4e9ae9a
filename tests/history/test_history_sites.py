"""Published sites in the history: written where anything changed, with the events that follow."""

from dataclasses import replace
from datetime import datetime, timedelta

from service.history import History
from service.model.listings import EventListing, SiteListing
from service.model.sites.records import SiteRecord, record_of
from service.model.sites.seen import Answer, Check, Preflight
from service.model.sites.states import SiteLook
from service.model.sites.told import CertificateTold
from tests.model.sites.looks import (
    DAY,
    ISSUED,
    NOW,
    REFUSED,
    SELF_SIGNED,
    SITE,
    WINDOW,
    answered,
    look,
    probes,
    told,
)

MINUTE = timedelta(minutes=1)
RENEWED = replace(ISSUED, serial="5b", not_after=NOW + 90 * DAY)
FAILED = Preflight(NOW, (Check("caa", "CAA forbids. Fix: add a record."),))


def seen(certificate: CertificateTold, name: str = "www.example.org", **values: object) -> SiteRecord:
    return record_of(look(certificate, wanted=replace(SITE, name=name), **values), NOW)


def told_events(history: History) -> list[str]:
    return [event.type for event in history.queries.events(EventListing(limit=100)).items]


WAITS = told(held=SELF_SIGNED, waits_for="permit")
WELL = told(held=ISSUED, window=WINDOW)


def test_the_life_of_a_site_is_told_once_each(history: History, now: datetime) -> None:
    down = probes(None, Answer("198.51.100.11", error="timed out"))
    life = [
        (seen(WAITS), []),
        (seen(WAITS, preflight=FAILED), ["site.waiting"]),
        (seen(WAITS, preflight=replace(FAILED, at=NOW + 60)), []),
        (seen(told(held=SELF_SIGNED, last_attempt=REFUSED)), ["certificate.order-failed"]),
        (seen(WELL), ["certificate.issued", "site.published"]),
        (seen(WELL, probes=down), ["site.unreachable"]),
        (seen(WELL, probes=probes(None, answered(502))), ["site.upstream-off"]),
        (seen(WELL, probes=probes(None, answered(200))), ["site.published"]),
        (seen(told(held=ISSUED, last_attempt=REFUSED, failed_since_issue=1)), ["certificate.renewal-failed"]),
        (seen(told(held=ISSUED, last_attempt=REFUSED, failed_since_issue=2)), []),
        (seen(told(held=RENEWED, window=WINDOW)), ["certificate.renewed", "site.published"]),
        (seen(told(held=RENEWED, window=replace(WINDOW, start=NOW - 1))), []),
        (seen(told(held=RENEWED, window=WINDOW)), []),
    ]
    known = 0
    for number, (record, expected) in enumerate(life):
        assert history.store.seen_sites("pve1", [record], at=now + number * MINUTE) == 1
        assert history.store.seen_sites("pve1", [record], at=now + number * MINUTE + MINUTE / 2) == 0
        assert told_events(history)[known:] == expected, number
        known += len(expected)
    assert history.store.seen_sites("pve1", [], at=now) == 1
    assert told_events(history)[known:] == ["site.gone"]


def test_a_site_has_its_state_since_it_came_into_it(history: History, now: datetime) -> None:
    for number, record in enumerate([seen(WELL), seen(told(held=RENEWED, window=WINDOW)), seen(WAITS)]):
        history.store.seen_sites("pve1", [record], at=now + number * MINUTE)
        [found] = history.queries.sites(SiteListing()).items
        assert found.since == (now if number < 2 else now + 2 * MINUTE)
        assert found.is_as(record)


def test_sites_are_listed_by_host_and_name_and_filtered(history: History, now: datetime) -> None:
    history.store.seen_sites("pve2", [replace(seen(WELL, "a.example.org"), host="pve2")], at=now)
    history.store.seen_sites("pve1", [seen(WELL, "b.example.org"), seen(WAITS, "a.example.org")], at=now)

    def names(asked: SiteListing) -> list[tuple[str, str]]:
        return [(one.host, one.site) for one in history.queries.sites(asked).items]

    everything = [("pve1", "a.example.org"), ("pve1", "b.example.org"), ("pve2", "a.example.org")]
    assert names(SiteListing()) == everything
    assert names(SiteListing(visible=["pve1"])) == everything[:2]
    assert names(SiteListing(state="published")) == everything[1:]
    assert names(SiteListing(weight="waits")) == everything[:1]
    assert names(SiteListing(name="example.org")) == everything
    assert names(SiteListing(name="example.or_")) == []
    page = history.queries.sites(SiteListing(limit=2))
    assert page.next == ("pve1", "b.example.org")
    assert names(SiteListing(limit=2, start=page.next)) == everything[2:]


def test_what_a_guest_says_is_stored_as_it_is_shown(history: History, now: datetime) -> None:
    long = replace(SITE, upstream="http://dev:8080")
    record = record_of(SiteLook(long), NOW)
    noisy = replace(record, message="one\ntwo \x1b[31m" + "x" * 5000)
    history.store.seen_sites("pve1", [noisy], at=now)
    [found] = history.queries.sites(SiteListing()).items
    assert found.message.startswith("one two [31mxxx")
    assert len(found.message) == 2000
    assert history.store.seen_sites("pve1", [noisy], at=now) == 0
