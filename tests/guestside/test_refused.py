"""What goes wrong at an authority: the certificate before stays, the reason is its own, and no limit is broken."""

import email.utils
from collections.abc import Callable

import pytest

from tests.guestside.authority import Authority, Refusal
from tests.guestside.guest import Guest, matched, verified

pytestmark = pytest.mark.host

URN = "urn:ietf:params:acme:error:"
CAA = {
    "type": URN + "caa",
    "detail": "While processing CAA for www.example.org: CAA record for example.org prevents issuance",
}
LIMITED = {
    "type": URN + "rateLimited",
    "detail": "too many certificates (5) already issued for this exact set of identifiers",
}


def failed(guest: Guest, stage: str, kind: str | None) -> str:
    """The reason of the last attempt, which failed there, with what the status says of the next one."""
    found = guest.status()
    assert (found["last_attempt"]["outcome"], found["last_attempt"]["stage"]) == ("failed", stage), found
    assert found["last_attempt"]["type"] == (kind and URN + kind)
    assert found["waits_for"] in ("back-off", "budget")
    assert found["next_attempt_at"] > guest.now()
    reason: str = found["last_attempt"]["detail"]
    return reason


@pytest.mark.parametrize("port", ["closed", "elsewhere"])
def test_port_80_that_does_not_reach_the_guest(authority: Authority, guest: Guest, port: str) -> None:
    elsewhere = guest.top / "elsewhere"
    if port == "elsewhere":
        elsewhere.mkdir()
    authority.serve(elsewhere)
    guest.permit()
    guest.do("run")
    reason = failed(guest, "challenge", "connection" if port == "closed" else "unauthorized")
    assert ("EOF" if port == "closed" else "404") in reason
    assert guest.starts_in_s == [], "the timer comes before the back-off ends"
    matched(guest)
    assert guest.status()["certificate"]["kind"] == "self-signed"
    assert authority.finalized == 0


def test_a_name_that_does_not_resolve(authority: Authority, guest: Guest) -> None:
    authority.dns("set-servfail", host="www.example.org")
    guest.certificates = [{"name": "www.example.org", "names": ["www.example.org"]}]
    guest.permit()
    guest.do("run")
    authority.dns("clear-servfail", host="www.example.org")
    assert 'could not resolve URL "http://www.example.org:' in failed(guest, "challenge", "connection")


def test_a_name_that_the_authority_does_not_issue_for(authority: Authority, guest: Guest) -> None:
    guest.certificates = [{"name": "blocked.example", "names": ["blocked.example"]}]
    guest.permit()
    guest.do("run")
    found = guest.status("blocked.example")["last_attempt"]
    assert (found["stage"], found["type"]) == ("order", URN + "rejectedIdentifier")
    assert "blocked" in found["detail"]


def test_a_profile_that_the_authority_does_not_have(authority: Authority, new_guest: Callable[..., Guest]) -> None:
    guest = new_guest(profile="eternal")
    guest.permit()
    guest.do("run")
    assert "eternal" in failed(guest, "order", "invalidProfile")


def test_caa_forbids_a_renewal_and_the_old_certificate_stays(authority: Authority, guest: Guest) -> None:
    guest.permit()
    guest.do("run")
    first = guest.serial()
    authority.refusals.append(Refusal("^/finalize-order", 403, CAA))
    guest.set_clock(guest.status()["next_attempt_at"] + 1)
    guest.do("run")
    assert failed(guest, "finalize", "caa") == CAA["detail"]
    assert (guest.serial(), guest.status()["failed_since_issue"]) == (first, 1)
    verified(authority, guest)
    authority.refusals.clear()
    guest.set_clock(guest.status()["next_attempt_at"] + 1)
    guest.do("run")
    assert guest.serial() != first
    assert (guest.status()["failed_since_issue"], guest.status()["last_attempt"]["outcome"]) == (0, "issued")


@pytest.mark.parametrize("form", ["a number", "a date"])
def test_a_rate_limit_is_waited_out(authority: Authority, guest: Guest, form: str) -> None:
    until = "200000" if form == "a number" else email.utils.formatdate(guest.now() + 200000, usegmt=True)
    authority.refusals.append(Refusal("^/order-plz", 429, LIMITED, {"Retry-After": until}))
    guest.permit()
    guest.do("run")
    assert failed(guest, "order", "rateLimited") == LIMITED["detail"]
    assert guest.status()["next_attempt_at"] == pytest.approx(guest.now() + 200000, abs=30)
    authority.refusals.clear()
    guest.permit(ok=False)
    guest.permit()  # a preflight that passes again does not shorten it
    guest.ahead_s = 199000
    guest.do("run")
    assert authority.orders == []
    guest.ahead_s = 200100
    guest.do("run")
    verified(authority, guest)


def test_an_authority_that_is_down_costs_one_try_for_all_names(authority: Authority, guest: Guest) -> None:
    guest.certificates.append({"name": "wiki.example.org", "names": ["wiki.example.org"]})
    authority.down = True
    guest.permit()
    guest.do("run")
    reason = failed(guest, "directory", None)
    assert reason.startswith("the authority cannot be reached: ")
    assert guest.status("wiki.example.org")["last_attempt"]["detail"] == reason
    in_s = guest.status()["next_attempt_at"] - guest.now()
    assert guest.starts_in_s == [pytest.approx(in_s + 1, abs=10)], "it is left to the timer of every minute"


def test_an_authority_that_nobody_answers_for_is_named_in_few_words(
    guest: Guest, new_guest: Callable[..., Guest]
) -> None:
    guest.acme["directory"] = "https://127.0.0.1:1/dir"
    guest.permit()
    guest.do("run")
    assert failed(guest, "directory", None) == "the authority cannot be reached: Connection refused"


def test_a_name_fails_at_most_four_times_in_any_hour_however_often_it_is_permitted(
    authority: Authority, guest: Guest
) -> None:
    authority.serve(guest.top / "nowhere")
    asked = []
    for minute in range(0, 130, 10):  # as the timer does
        guest.ahead_s = minute * 60
        guest.permit(ok=False, why="flaps")
        guest.permit()
        before = len(authority.orders)
        guest.do("run")
        asked += [guest.now()] * (len(authority.orders) - before)
    assert len(asked) > 4
    for at in asked:
        assert sum(at <= other < at + 3600 for other in asked) <= 4, asked
    assert authority.finalized == 0


def test_staging_comes_first_and_once(authority: Authority, new_guest: Callable[..., Guest]) -> None:
    guest = new_guest(staging=authority.staging)
    guest.permit()
    guest.do("run")
    assert [order["host"] for order in authority.orders] == ["127.0.0.1", "localhost"]
    assert guest.status()["certificate"]["kind"] == "issued"
    assert guest.status()["failures_in_the_hour"] == 0
    verified(authority, guest)
    guest.set_clock(guest.status()["next_attempt_at"] + 1)
    guest.do("run")
    assert [order["host"] for order in authority.orders] == ["127.0.0.1", "localhost", "localhost"]


def test_what_staging_refuses_never_reaches_production(authority: Authority, new_guest: Callable[..., Guest]) -> None:
    guest = new_guest(staging=authority.staging)
    authority.serve(guest.top / "nowhere")
    guest.permit()
    guest.do("run")
    failed(guest, "challenge", "connection")
    assert [order["host"] for order in authority.orders] == ["127.0.0.1"]
    authority.serve(guest.webroot)
    guest.set_clock(guest.status()["next_attempt_at"] + 1)
    guest.do("run")
    assert [order["host"] for order in authority.orders] == ["127.0.0.1", "127.0.0.1", "localhost"]


def test_a_certificate_of_a_staging_directory_is_shown_as_such(
    authority: Authority, new_guest: Callable[..., Guest]
) -> None:
    guest = new_guest(staging=authority.directory)
    guest.permit()
    guest.do("run")
    assert guest.status()["certificate"]["kind"] == "staging"


def test_terms_that_nobody_agreed_to(authority: Authority, new_guest: Callable[..., Guest]) -> None:
    guest = new_guest(terms_agreed=False)
    guest.permit()
    guest.do("run")
    assert "terms_agreed" in failed(guest, "account", None)
    assert authority.orders == []


def test_nginx_that_rejects_its_files_keeps_the_old_certificate_and_costs_no_order(
    authority: Authority, guest: Guest
) -> None:
    guest.do("placeholders")
    placeholder = guest.chain()
    guest.broken = "nginx: [emerg] unknown directive in /etc/nginx/conf.d/own.conf:3"
    guest.permit()
    guest.do("run")
    assert guest.chain() == placeholder
    found = guest.status()
    assert (found["waits_for"], found["last_attempt"]["stage"]) == ("nginx", "install")
    assert (found["last_attempt"]["detail"], found["failed_since_issue"]) == (guest.broken, 1)
    guest.do("run")
    guest.broken = ""
    guest.do("run")
    verified(authority, guest)
    assert (len(authority.orders), guest.status()["last_attempt"]["outcome"]) == (1, "issued")


@pytest.mark.parametrize("works", [True, False])
def test_dns_01_by_a_hook(authority: Authority, new_guest: Callable[..., Guest], works: bool) -> None:
    guest = new_guest()
    hook = guest.top / "hook"
    url = f"http://127.0.0.1:{authority.ports['management']}"
    script = f'''#!/bin/sh
echo "$1 $2" >>{guest.top}/said
case $1 in present) set -- set-txt "$2" "$3" ;; *) set -- clear-txt "$2" "$3" ;; esac
exec python3 -c 'import sys, json, urllib.request as r
r.urlopen(r.Request("{url}/" + sys.argv[1], json.dumps(dict(host=sys.argv[2], value=sys.argv[3])).encode()))' "$@"
'''
    hook.write_text(script if works else "#!/bin/sh\necho no such zone >&2\nexit 7\n")
    hook.chmod(0o755)
    guest.acme["challenge"] = {"dns-01": str(hook)}
    guest.certificates = [{"name": "wild.example.org", "names": ["wild.example.org", "*.wild.example.org"]}]
    authority.serve(guest.top / "nowhere")
    guest.permit()
    guest.do("run")
    found = guest.status("wild.example.org")
    if works:
        assert found["certificate"]["kind"] == "issued", found
        said = (guest.top / "said").read_text().split()
        assert (
            said
            == ["present", "_acme-challenge.wild.example.org."] * 2
            + ["cleanup", "_acme-challenge.wild.example.org."] * 2
        )
    else:
        assert found["last_attempt"]["detail"].endswith("present ended with exit code 7: no such zone")


def test_no_way_to_the_package_index_is_said_and_tried_again(guest: Guest) -> None:
    (made,) = guest.state.glob("venv-*")
    made.rename(guest.top / "made")
    guest.packages = "acme==0.0.0 --hash=sha256:" + "0" * 64 + "\n"
    guest.permit()
    guest.do("run")
    reason = failed(guest, "client", None)
    assert reason.startswith("the packages of the ACME client cannot be installed. Fix: ")
    assert "No matching distribution found for acme==0.0.0" in reason
    (guest.top / "made").rename(made)  # as after an upgrade: the environment before serves till the index does
    guest.set_clock(guest.status()["next_attempt_at"] + 1)
    guest.do("run")
    assert guest.status()["certificate"]["kind"] == "issued"
