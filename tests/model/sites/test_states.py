"""The state of a site: one word and one sentence, the worst first."""

from dataclasses import replace
from typing import get_args

import pytest

from service.model.axes import SiteWord
from service.model.sites.seen import Answer, Check, Preflight
from service.model.sites.states import WEIGHTS, SiteLook, state_of
from service.model.sites.wanted import Authority, identity_of
from service.model.states import Absent, Unknown
from tests.model.sites.looks import (
    DAY,
    ISSUED,
    LIMITED,
    MINUTE,
    NOW,
    REFUSED,
    SELF_SIGNED,
    SITE,
    WINDOW,
    answered,
    look,
    probes,
    served,
    told,
)

REFUSED_SENTENCE = (
    "The last order failed at 2026-09-21 14:10 UTC at the stage challenge: 198.51.100.11: Fetching "
    "http://www.example.org/.well-known/acme-challenge/x: Connection refused (urn:ietf:params:acme:error:connection)."
)
CLOSED = Answer("198.51.100.11", error="the connection timed out")
WRONG_ADDRESS = Check("resolves", "www.example.org resolves to 203.0.113.9. Fix: set its A record to 198.51.100.11.")
ON_PROXMOX = replace(SITE, platform="proxmox", vmid=101)
PLAIN = replace(SITE, is_https=False)
STAGING = replace(SITE, authority=Authority("https://staging.example/directory", is_staging=True))

TABLE: dict[str, tuple[SiteLook, SiteWord, str]] = {
    "never looked": (
        SiteLook(SITE),
        "not-seen",
        "the state of its certificate is not known: nobody has looked yet.",
    ),
    "not reported": (look(guest=Absent()), "not-seen", "the guest proxy has not reported this site yet."),
    "guest down": (
        look(is_guest_down=True, guest=Unknown("not running")),
        "guest-down",
        "the guest proxy is not running, so nothing is known of this site now. Fix: run `lxc-start -n proxy` on pve1.",
    ),
    "guest down on proxmox": (
        look(is_guest_down=True, wanted=ON_PROXMOX),
        "guest-down",
        "the guest proxy is not running, so nothing is known of this site now. Fix: run `pct start 101` on pve1.",
    ),
    "nginx down": (
        look(probes=probes(Answer("10.10.10.20", error="connection refused"), CLOSED)),
        "proxy-down",
        "the proxy does not answer at 10.10.10.20 port 443, seen from pve1: connection refused. "
        "Fix: run `lxc-attach -n proxy -- systemctl status nginx` on pve1.",
    ),
    "only the inside answers": (
        look(probes=probes(answered(address="10.10.10.20"), CLOSED)),
        "unreachable",
        "it cannot be reached from outside: 198.51.100.11 port 443 does not answer the controller: the connection "
        "timed out. The proxy itself answers pve1. Fix: allow TCP ports 80 and 443 to 198.51.100.11 in every firewall "
        "between the internet and pve1.",
    ),
    "somebody else answers": (
        look(probes=probes(None, answered(certificate=served(names=("nas.example.com",), serial="77")))),
        "other-answers",
        "another server answers at 198.51.100.11 port 443: its certificate is for nas.example.com. "
        "Fix: find out what else holds port 443 of 198.51.100.11.",
    ),
    "an older certificate of ours is no other server": (
        look(probes=probes(None, answered(certificate=served(serial="77")))),
        "published",
        "issued until 2026-11-20. It is renewed from 2026-10-20 on (by the CA).",
    ),
    "upstream off": (
        look(probes=probes(answered(502), answered(502))),
        "upstream-off",
        "the proxy answers 502: its upstream http://dev:8080 does not accept connections. "
        "Fix: start the service there, or correct `to` and `port` of the site in Git.",
    ),
    "upstream silent": (
        look(probes=probes(None, answered(504))),
        "upstream-off",
        "the proxy answers 504: its upstream http://dev:8080 does not answer in time. "
        "Fix: start the service there, or correct `to` and `port` of the site in Git.",
    ),
    "an error page of the upstream is the upstream's": (
        look(probes=probes(answered(500), answered(404))),
        "published",
        "issued until 2026-11-20. It is renewed from 2026-10-20 on (by the CA).",
    ),
    "waits, not checked": (
        look(told(held=SELF_SIGNED, waits_for="permit")),
        "waits-for-permit",
        "the checks before the first order have not run yet.",
    ),
    "waits, a check failed": (
        look(told(held=SELF_SIGNED, waits_for="permit"), preflight=Preflight(NOW - MINUTE, (WRONG_ADDRESS,))),
        "waits-for-permit",
        "no order yet, because a check failed at 2026-09-21 14:12 UTC. "
        "www.example.org resolves to 203.0.113.9. Fix: set its A record to 198.51.100.11.",
    ),
    "waits, all passed": (
        look(told(held=SELF_SIGNED, waits_for="permit"), preflight=Preflight(NOW - 1, (Check("resolves"),))),
        "waits-for-permit",
        "all checks before the first order passed at 2026-09-21 14:13 UTC. The order begins.",
    ),
    "an order is under way": (
        look(told(held=SELF_SIGNED, waits_for="authority")),
        "self-signed",
        "it answers with a self-signed certificate until the CA has issued one. An order is under way.",
    ),
    "an order is due, and the run has not come to it": (
        look(told(held=SELF_SIGNED, next_attempt_at=NOW)),
        "self-signed",
        "it answers with a self-signed certificate until the CA has issued one.",
    ),
    "an order after one that failed is under way": (
        look(told(held=SELF_SIGNED, last_attempt=REFUSED, waits_for="authority")),
        "back-off",
        f"no certificate yet. {REFUSED_SENTENCE} An order is under way. "
        "Fix: check that each name resolves to this host, and that port 80 is open to everybody.",
    ),
    "refused before the first": (
        look(
            told(held=SELF_SIGNED, last_attempt=REFUSED, waits_for="back-off", next_attempt_at=NOW + 27 * MINUTE)
        ),
        "back-off",
        f"no certificate yet. {REFUSED_SENTENCE} The next try is at 2026-09-21 14:40 UTC. "
        "Fix: check that each name resolves to this host, and that port 80 is open to everybody.",
    ),
    "limited": (
        look(told(held=SELF_SIGNED, last_attempt=LIMITED, waits_for="budget", next_attempt_at=NOW + 7200)),
        "back-off",
        "no certificate yet. The last order failed at 2026-09-21 14:10 UTC at the stage order: too many "
        "certificates (urn:ietf:params:acme:error:rateLimited). The next try is at 2026-09-21 16:13 UTC. "
        "It waits so long to stay below the CA's limits. "
        "Fix: wait; the program tries again when the CA's limit allows it.",
    ),
    "the program cannot work": (
        look(program_trouble="state.json is damaged. Fix: restore it"),
        "program-failed",
        "the program that orders certificates cannot work in proxy: state.json is damaged. Fix: restore it.",
    ),
    "the first renewal is under way": (
        look(told(held=ISSUED, window=WINDOW, failed_since_issue=1)),
        "published",
        "issued until 2026-11-20. It is renewed from 2026-10-20 on (by the CA).",
    ),
    "no record": (
        look(probes=probes(None, Answer("", error="www.example.org does not exist in the DNS"))),
        "unreachable",
        "nobody finds it: www.example.org does not exist in the DNS. "
        "Fix: add the record `www.example.org. A 198.51.100.11`.",
    ),
    "plain": (
        look(wanted=PLAIN, probes=probes(answered(200), answered(200))),
        "published",
        "it answers over plain HTTP.",
    ),
    "plain, closed": (
        look(wanted=PLAIN, probes=probes(None, CLOSED)),
        "unreachable",
        "it cannot be reached from outside: 198.51.100.11 port 80 does not answer the controller: the connection "
        "timed out. Fix: allow TCP ports 80 and 443 to 198.51.100.11 in every firewall between the internet and pve1.",
    ),
    "plain, never requested": (look(wanted=PLAIN), "not-seen", "nobody has requested it yet."),
    "first failed renewal": (
        look(
            told(
                held=ISSUED, window=WINDOW, last_attempt=REFUSED, failed_since_issue=1, waits_for="back-off",
                next_attempt_at=NOW + 3600,
            )
        ),
        "renewal-failed",
        f"the renewal failed once. {REFUSED_SENTENCE} The old certificate is valid until 2026-11-20. "
        "The next try is at 2026-09-21 15:13 UTC. "
        "Fix: check that each name resolves to this host, and that port 80 is open to everybody.",
    ),
    "expired": (
        look(told(held=replace(ISSUED, not_after=NOW - 3 * DAY), last_attempt=REFUSED, failed_since_issue=9)),
        "expired",
        f"its certificate expired on 2026-09-18. {REFUSED_SENTENCE} "
        "Fix: check that each name resolves to this host, and that port 80 is open to everybody.",
    ),
    "staging worked": (
        look(told(held=replace(ISSUED, kind="staging"), waits_for="authority")),
        "staging",
        "the order in staging succeeded; the one in production follows. An order is under way.",
    ),
    "staging is what Git wants": (
        look(wanted=STAGING),
        "staging",
        "its certificate is from the staging directory that Git names, until 2026-11-20. "
        "No browser trusts it. Fix: set `directory` to the one for production.",
    ),
    "the window is open": (
        look(
            told(
                held=ISSUED, window=replace(WINDOW, start=NOW - DAY), waits_for="window", next_attempt_at=NOW + 3600
            )
        ),
        "renewing",
        "issued until 2026-11-20. Its renewal window is open since 2026-09-20 14:13 UTC. "
        "The next try is at 2026-09-21 15:13 UTC.",
    ),
    "well": (
        look(probes=probes(answered(address="10.10.10.20"), answered())),
        "published",
        "issued until 2026-11-20. It is renewed from 2026-10-20 on (by the CA).",
    ),
    "well, two thirds": (
        look(told(held=ISSUED, window=replace(WINDOW, by="two-thirds"))),
        "published",
        "issued until 2026-11-20. It is renewed from 2026-10-20 on (at two thirds of its life).",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_each_state_has_its_word_and_its_sentence(case: str) -> None:
    seen, word, sentence = TABLE[case]
    found = state_of(seen, NOW)
    assert (found.word, found.sentence) == (word, sentence)


def test_every_word_has_a_case() -> None:
    assert {word for _, word, _ in TABLE.values()} == set(get_args(SiteWord)) == set(WEIGHTS)


def test_a_site_that_does_not_answer_says_so_before_what_its_certificate_is() -> None:
    failing = told(held=ISSUED, last_attempt=REFUSED, failed_since_issue=1)
    assert state_of(look(failing, probes=probes(None, CLOSED)), NOW).word == "unreachable"
    assert state_of(look(failing, probes=probes(None, answered(502))), NOW).word == "renewal-failed"


def test_a_check_that_failed_is_trouble_and_one_that_could_not_be_made_waits() -> None:
    waiting = told(held=SELF_SIGNED, waits_for="permit")
    unknown = Check("resolves", "no name server answered.", is_known=False)
    failed = state_of(look(waiting, preflight=Preflight(NOW, (WRONG_ADDRESS, unknown))), NOW)
    unanswered = state_of(look(waiting, preflight=Preflight(NOW, (unknown,))), NOW)
    assert (failed.weight, unanswered.weight) == ("trouble", "waits")


def test_the_last_day_is_told_by_the_minute() -> None:
    last = look(told(held=replace(ISSUED, not_after=NOW + 3 * 3600)))
    assert state_of(last, NOW).sentence == "issued until 2026-09-21 17:13 UTC."


def test_the_identity_tells_proxies_apart_and_not_how_a_mac_is_written() -> None:
    one = identity_of("pve1", "proxy", "BC:24:11:00:00:02")
    assert one == identity_of("pve1", "proxy", "bc:24:11:00:00:02")
    others = [
        identity_of(*words)
        for words in (
            ("pve1", "web", "bc:24:11:00:00:02"), ("pve1", "proxy", "bc:24:11:00:00:03"),
            ("pve2", "proxy", "bc:24:11:00:00:02"),
        )
    ]  # fmt: skip
    assert len({one, *others}) == 4
