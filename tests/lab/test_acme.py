"""The lab's certificate authority and its name server, as programs with nothing of ours in them see them."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from service.errors import LabError
from service.lab import Lab, addresses
from service.lab.acme import CAA_IDENTITY, NAME, REFUSED, Acme

pytestmark = pytest.mark.lab

SITE = "www.example.org"
QUESTION = """
import sys, dns.message, dns.query, dns.rcode
answer = dns.query.udp(dns.message.make_query(sys.argv[2], sys.argv[3]), sys.argv[1], timeout=5)
print(dns.rcode.to_text(answer.rcode()), *[record.to_text() for found in answer.answer for record in found])
"""


@pytest.fixture(scope="module")
def authority_lab() -> Iterator[Lab]:
    with Lab.up("acme", hosts=[]) as lab:
        yield lab


@pytest.fixture(scope="module")
def acme(authority_lab: Lab) -> Acme:
    return Acme.start(authority_lab)


def curl(acme: Acme, lab: Lab, path: str, *words: str) -> tuple[int, str, Any]:
    """(status, Server header, JSON) of one request from the controller's network; (0, what curl said, None) if none."""
    ca = str(acme.folder / "ca.pem")
    there = ["--resolve", f"{NAME}:443:{addresses.INTERNET}", f"https://{NAME}{path}"]
    told = "%{stderr}%{http_code} %header{server}"
    done = lab.run_in("ctl", ["curl", "-sS", "--cacert", ca, "--write-out", told, *there, *words])
    if done.returncode != 0:
        return 0, done.stderr, None
    status, _, server = done.stderr.partition(" ")
    return int(status), server, json.loads(done.stdout)


def resolved(lab: Lab, name: str, kind: str) -> str:
    return lab.run_in(
        "ctl", [sys.executable, "-c", QUESTION, addresses.INTERNET, name, kind], check=True
    ).stdout.strip()


def test_the_directory_is_verified_by_its_ca_and_has_profiles_and_renewal_windows(
    acme: Acme, authority_lab: Lab
) -> None:
    status, _, directory = curl(acme, authority_lab, "/dir")
    assert status == 200
    assert "renewalInfo" in directory
    assert directory["meta"]["caaIdentities"] == [CAA_IDENTITY]
    assert {"classic", "tlsserver", "shortlived"} <= set(directory["meta"]["profiles"])


def test_a_new_start_is_another_authority_behind_the_same_door(acme: Acme, authority_lab: Lab) -> None:
    before, door = acme.root_pem(), acme.ca_pem
    anew = Acme.start(authority_lab, validity_s={"shortlived": 600})
    assert anew.root_pem() != before
    assert anew.ca_pem == door
    assert curl(anew, authority_lab, "/dir")[2]["meta"]["profiles"]["shortlived"] == "600 s"


def test_the_public_name_server_says_what_was_set_and_the_lab_keeps_its_own_names(
    acme: Acme, authority_lab: Lab
) -> None:
    acme.names(SITE, a=["198.51.100.11"], aaaa=["2001:db8::11"], caa=["other.example"])
    assert resolved(authority_lab, SITE, "A") == "NOERROR 198.51.100.11"
    assert resolved(authority_lab, SITE, "AAAA") == "NOERROR 2001:db8::11"
    assert resolved(authority_lab, SITE, "CAA") == 'NOERROR 0 issue "other.example"'
    acme.names(SITE, a=["198.51.100.12"])
    assert resolved(authority_lab, SITE, "A") == "NOERROR 198.51.100.12"
    assert resolved(authority_lab, SITE, "CAA") == "NOERROR"
    with acme.broken_name(SITE):
        assert resolved(authority_lab, SITE, "A") == "SERVFAIL"
    assert resolved(authority_lab, SITE, "A") == "NOERROR 198.51.100.12"
    assert resolved(authority_lab, f"nobody.{SITE}", "A") == "NXDOMAIN"
    assert resolved(authority_lab, "deb.lab.example", "A") == f"NOERROR {addresses.INTERNET}"


def test_down_means_that_the_connection_is_refused(acme: Acme, authority_lab: Lab) -> None:
    with acme.down():
        assert "Couldn't connect" in curl(acme, authority_lab, "/dir")[1]
    assert curl(acme, authority_lab, "/dir")[0] == 200


def test_a_rate_limit_is_told_by_a_stand_in_that_says_so_and_hands_the_rest_on(acme: Acme, authority_lab: Lab) -> None:
    before = acme.orders()
    with acme.rate_limited("too many certificates (5) already issued"):
        status, server, problem = curl(acme, authority_lab, "/order-plz", "--data", "{}")
        assert (status, server.strip()) == (429, "passerelle lab stand-in")
        assert problem["type"] == "urn:ietf:params:acme:error:rateLimited"
        assert problem["detail"] == "too many certificates (5) already issued"
        assert curl(acme, authority_lab, "/dir")[2]["newOrder"] == f"https://{NAME}/order-plz"
        assert acme.orders() == before
    assert curl(acme, authority_lab, "/order-plz", "--data", "{}")[0] == 415, "pebble itself wants a signed order"
    assert acme.orders() == before + 1


def test_what_pebble_says_no_to_is_an_error_here(acme: Acme) -> None:
    with pytest.raises(LabError, match="/set-renewal-info/: 400"):
        acme.move_window("no certificate", "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z")
    assert REFUSED in (acme.folder / "pebble.json").read_text()
