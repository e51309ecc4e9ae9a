"""dnsmasq runs and nobody answers on a served address: no socket, or a line in another file that keeps it away."""

from dataclasses import replace

import pytest

from service.model.observed import HostObserved, Listener
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.reconcile.decide import decide
from service.resources.desired import LastApplied
from tests.laws.host import after_plan, bare_host, file_fact
from tests.laws.sockets import waiting
from tests.laws.specs import FOLDER, desired_from

SPEC = (FOLDER / "bound.yaml").read_text()
DESIRED = desired_from(SPEC)
DNS, DHCP = "udp/53 on 10.10.10.1 (vmbr0)", "udp/67 on 10.10.10.1 (vmbr0)"
OTHER = "/etc/dnsmasq.d/local.conf"


def applied() -> HostObserved:
    host = bare_host(DESIRED.watch)
    return after_plan(host, make_plan(DESIRED, LastApplied(), host))


def planned(host: HostObserved) -> Plan:
    return make_plan(DESIRED, LastApplied.from_json(DESIRED.as_json()), host)


def silent(plan: Plan) -> list[str]:
    return [d.difference.resource for d in plan.drifts if d.difference.field == "answered by"]


def with_sockets(*texts: str) -> HostObserved:
    """The host with dnsmasq on these addresses alone, `ADDRESS:PORT`."""
    where = [text.rpartition(":") for text in texts]
    sockets = tuple(Listener("udp", address, int(port), "dnsmasq") for address, _, port in where)
    return replace(applied(), listeners=Seen(sockets))


def with_file(text: str) -> HostObserved:
    """The host with another file of dnsmasq's, and dnsmasq started after it."""
    host = applied()
    host = replace(
        host,
        texts={**host.texts, OTHER: Seen(text.encode())},
        facts={**host.facts, f"file:{OTHER}": Seen(file_fact(text.encode()))},
    )
    return replace(host, listeners=Seen(waiting(host)))


def with_fact(host: HostObserved, fact: str, seen: Observed[Json]) -> HostObserved:
    return replace(host, facts={**host.facts, fact: seen})


def test_a_host_as_the_spec_wants_it_answers() -> None:
    assert planned(applied()).drifts == ()


def test_an_address_that_dnsmasq_never_bound_is_drift_with_its_fix() -> None:
    plan = planned(with_sockets("127.0.0.1:53", "0.0.0.0%vmbr0:67"))
    assert [(d.difference.resource, d.difference.op, d.difference.want, d.moved) for d in plan.drifts] == [
        (DNS, "missing", "dnsmasq", "host")
    ]
    assert (plan.steps, plan.refusals) == ((), ())
    decision = decide(plan, "auto", latched=False, request=None)
    assert (decision.action, decision.sync, decision.reason) == ("nothing", "OutOfSync", "Drifted")
    assert decision.message == (
        f"nothing listens on {DNS}, although dnsmasq runs. Fix: run `systemctl restart dnsmasq` on pve1. If that does "
        "not help, look for options in /etc/default/dnsmasq"
    )


@pytest.mark.parametrize(
    ("sockets", "found"),
    [
        (("10.10.10.1:53", "0.0.0.0%vmbr0:67"), []),
        (("0.0.0.0:53", "0.0.0.0:67"), []),
        (("10.10.10.1:53",), [DHCP]),
        (("10.10.11.1:53", "0.0.0.0%vmbr1:67"), [DNS, DHCP]),
        ((), [DNS, DHCP]),
    ],
)
def test_the_sockets_say_whether_anybody_waits(sockets: tuple[str, ...], found: list[str]) -> None:
    assert silent(planned(with_sockets(*sockets))) == found


@pytest.mark.parametrize(
    ("text", "found", "line", "said"),
    [
        ("port=0\n", [DNS], 1, "port=0"),
        ("# mine\nport=5353\n", [DNS], 2, "port=5353"),
        ("except-interface=lo,vmbr0\n", [DNS, DHCP], 1, "except-interface=vmbr0"),
        ("except-interface=vmbr*\n", [DNS, DHCP], 1, "except-interface=vmbr*"),
        ("no-dhcp-interface=vmbr0\n", [DHCP], 1, "no-dhcp-interface=vmbr0"),
        ("port=53\nexcept-interface=vmbr00\nno-dhcp-interface=vmbr1\n", [], 0, ""),
    ],
)
def test_a_line_in_another_file_that_keeps_dnsmasq_away_is_named(
    text: str, found: list[str], line: int, said: str
) -> None:
    plan = planned(with_file(text))
    assert (silent(plan), plan.steps) == (found, ())
    for subject in found:
        assert (
            f"nobody answers on {subject}: {OTHER}:{line} says {said}, so dnsmasq does not serve it. "
            "Fix: remove that line on pve1, then run `systemctl restart dnsmasq` on pve1"
        ) in plan.notes


STOPPED: Observed[Json] = Seen({"enabled": "enabled", "active": False})


@pytest.mark.parametrize(
    ("fact", "seen"),
    [
        ("unit:dnsmasq.service", STOPPED),
        ("unit:dnsmasq.service", Absent()),
        ("unit:dnsmasq.service", Unknown("dnsmasq.service is just being started or stopped")),
        ("addresses:vmbr0", Seen([])),
        ("addresses:vmbr0", Unknown("`ip` did not answer")),
    ],
)
def test_what_another_difference_says_already_is_said_once(fact: str, seen: Observed[Json]) -> None:
    assert silent(planned(with_fact(with_sockets(), fact, seen))) == []


def test_where_no_file_serves_the_interface_yet_the_missing_directive_is_the_difference() -> None:
    host = with_sockets()
    path = "/etc/dnsmasq.d/passerelle.conf"
    host = replace(host, texts={**host.texts, path: Seen(b"interface=vmbr1\n")})
    plan = planned(host)
    assert silent(plan) == []
    assert "interface" in {d.difference.field for d in plan.drifts}


@pytest.mark.parametrize("unread", ["listeners", "files"])
def test_what_could_not_be_read_is_no_silence(unread: str) -> None:
    host, blind = with_sockets(), Unknown("could not be read")
    if unread == "listeners":
        host = replace(host, listeners=blind)
    else:
        host = replace(host, texts={**host.texts, "/etc/dnsmasq.conf": blind})
    assert {d.difference.op for d in planned(host).drifts if d.difference.field == "answered by"} <= {"changed"}


def test_an_ipv6_address_may_be_tentative_so_that_no_socket_proves_nothing() -> None:
    desired = desired_from(SPEC.replace("[10.10.10.1/24]", "[10.10.10.1/24, 'fd00:10::1/64']"))
    host = bare_host(desired.watch)
    host = after_plan(host, make_plan(desired, LastApplied(), host))
    base = LastApplied.from_json(desired.as_json())
    assert silent(make_plan(desired, base, host)) == []
    assert silent(make_plan(desired, base, replace(host, listeners=Seen(())))) == [DNS, DHCP]
