"""Certificates from a real ACME server."""

import pytest

from service.formats.certificate_status import read_status
from service.guestside import settings
from service.guestside.record import Record
from service.model.sites.told import CertificateTold, PermitKept
from service.model.states import Seen
from tests.guestside.authority import Authority, Refusal
from tests.guestside.guest import Guest, matched, verified

pytestmark = pytest.mark.host


def told(guest: Guest) -> CertificateTold:
    """The status as the service reads it."""
    found = read_status((guest.state / "status.json").read_bytes())
    assert isinstance(found, Seen), found
    return found.value.certificates["www.example.org"]


def test_the_service_reads_every_state_that_the_program_writes(authority: Authority, guest: Guest) -> None:
    guest.do("placeholders")
    assert (told(guest).waits_for, told(guest).permit) == ("permit", None)
    guest.permit(ok=False, why="CAA forbids it.")
    guest.do("run")
    assert told(guest).permit == PermitKept(False, "CAA forbids it.")
    authority.refusals.append(
        Refusal("^/order-plz", 403, {"type": "urn:ietf:params:acme:error:caa", "detail": "no\x1b[2J \u202e"}, times=1)
    )
    guest.permit()
    guest.do("run")
    attempt = told(guest).last_attempt
    assert attempt is not None
    assert (attempt.outcome, attempt.stage, told(guest).waits_for) == ("failed", "order", "back-off")
    guest.broken = "nginx: [emerg] unknown directive"
    guest.set_clock(guest.status()["next_attempt_at"] + 1)
    guest.do("run")
    assert (told(guest).waits_for, told(guest).failed_since_issue) == ("nginx", 1)
    guest.broken = ""
    guest.do("run")
    held, window = told(guest).held, told(guest).window
    assert held is not None
    assert window is not None
    assert (held.kind, window.by, told(guest).failed_since_issue) == ("issued", "ari", 0)


def test_while_an_order_runs_the_authority_has_the_next_move(authority: Authority, guest: Guest) -> None:
    seen: list[CertificateTold] = []

    def meanwhile() -> None:
        guest.do("placeholders")  # another process writes the status, too
        seen.append(told(guest))

    guest.permit()
    authority.meanwhile = meanwhile
    guest.do("run")
    (first,) = seen
    assert (first.waits_for, first.next_attempt_at) == ("authority", None)
    assert (first.failures_in_the_hour, first.failed_since_issue) == (0, 0)
    assert told(guest).waits_for == "window"


def test_an_order_that_died_is_not_under_way_any_more(authority: Authority, guest: Guest) -> None:
    guest.permit()
    guest.do("placeholders")
    wanted = settings.read(str(guest.config / "certificates.json"))
    Record(guest.world()).begin(wanted.certificates[0], 0.5)  # and nothing after it
    guest.do("run")
    now = told(guest)
    assert (now.waits_for, now.failures_in_the_hour, now.failed_since_issue) == ("back-off", 1, 1)
    assert authority.orders == []


def test_a_name_gets_a_placeholder_then_after_its_permit_a_certificate(authority: Authority, guest: Guest) -> None:
    assert guest.do("placeholders") == 0
    matched(guest)
    assert guest.do("run") == 0
    assert (guest.status()["certificate"]["kind"], guest.status()["waits_for"]) == ("self-signed", "permit")
    assert authority.orders == []
    guest.permit()
    assert guest.do("run") == 0
    assert guest.status()["last_attempt"]["outcome"] == "issued", guest.status()
    verified(authority, guest)
    assert guest.status()["certificate"]["kind"] == "issued"
    assert guest.status()["waits_for"] == "window"
    assert guest.reloads == 1
    (order,) = authority.orders
    assert {each["value"] for each in order["identifiers"]} == {"www.example.org", "example.org"}
    assert "replaces" not in order
    assert list((guest.webroot / ".well-known/acme-challenge").iterdir()) == []
