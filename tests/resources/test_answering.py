"""Who answers on a served address: the socket that the kernel gives a datagram to."""

from dataclasses import replace

import pytest

from service.model.observed import HostObserved, Listener, Watch
from service.model.states import Seen, Unknown
from service.plan.make import make_plan
from service.reconcile.decide import decide
from service.resources.answering import DHCP, DNS, AnsweredBy
from service.resources.desired import LastApplied
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import desired_from
from tests.spec.test_planned import served


def seen(sockets: str) -> HostObserved:
    """A host with sockets, `ADDRESS:PORT PROGRAM[/INSTANCE]` with commas between them."""
    made = []
    for text in filter(None, sockets.split(", ")):
        where, _, program = text.partition(" ")
        address, _, port = where.rpartition(":")
        program, _, instance = program.partition("/")
        made.append(Listener("udp", address, int(port), program, int(instance or 0)))
    return replace(bare_host(Watch()), listeners=Seen(tuple(made)))


def holders(sockets: str, port: int = DNS, address: str = "10.10.10.1") -> str:
    found = [*AnsweredBy("dnsmasq", "dnsmasq", port, "vmbr0", (address,)).differences(seen(sockets))]
    return str(found[0].have) if found else ""


@pytest.mark.parametrize(
    ("sockets", "others"),
    [
        ("0.0.0.0:53 dnsmasq", ""),
        ("10.10.10.1:53 dnsmasq, 127.0.0.53%lo:53 systemd-resolve", ""),
        ("10.10.10.1:53 dnsmasq, 0.0.0.0:53 named", ""),
        ("10.10.10.1:53 dnsmasq, *:53 named", ""),
        ("10.10.10.1%vmbr0:53 dnsmasq, 10.10.10.1:53 named", ""),
        ("10.10.10.1:53 dnsmasq, 198.51.100.11:53 named", ""),
        ("0.0.0.0:53 dnsmasq, 10.10.10.1%vmbr1:53 named", ""),
        ("0.0.0.0:53 dnsmasq, *:53 named", ""),
        ("", ""),
        ("10.10.10.1:53 , 10.10.10.1:53 named", "named"),
        ("0.0.0.0:53 dnsmasq, 10.10.10.1:53 named", "named"),
        ("0.0.0.0:53 dnsmasq, 10.10.10.1%vmbr0:53 named", "named"),
        ("0.0.0.0:53 dnsmasq, 0.0.0.0%vmbr0:53 named", "named"),
        ("10.10.10.1:53 dnsmasq, 10.10.10.1:53 named", "dnsmasq, named"),
        ("0.0.0.0:53 named", "named"),
        ("*:53 named", "named"),
    ],
)
def test_a_query_goes_to_the_socket_that_is_bound_closest(sockets: str, others: str) -> None:
    assert holders(sockets) == others


@pytest.mark.parametrize(
    ("sockets", "others"),
    [
        ("[fd00:10::1]:53 dnsmasq, [::]:53 named", ""),
        ("*:53 dnsmasq, [fd00:10::1]:53 named", "named"),
        ("0.0.0.0:53 named, [::]:53 dnsmasq", ""),
    ],
)
def test_over_ipv6_too(sockets: str, others: str) -> None:
    assert holders(sockets, address="fd00:10::1") == others


@pytest.mark.parametrize(
    ("sockets", "others"),
    [
        ("0.0.0.0:67 dnsmasq", ""),
        ("0.0.0.0%vmbr0:67 dnsmasq, 0.0.0.0%virbr0:67 dnsmasq", ""),
        ("0.0.0.0:67 dnsmasq, 0.0.0.0:67 dhcpd", ""),  # dhcpd has this one for whatever network it serves
        ("0.0.0.0:67 dnsmasq, 0.0.0.0%vmbr1:67 systemd-network", ""),
        ("0.0.0.0:67 dnsmasq, 0.0.0.0%vmbr0:67 systemd-network", "dnsmasq, systemd-network"),
        ("0.0.0.0:67 dhcpd", "dhcpd"),
    ],
)
def test_requests_for_addresses_go_to_every_socket_of_the_interface(sockets: str, others: str) -> None:
    assert holders(sockets, DHCP) == others


TWO = "0.0.0.0%vmbr0:67 dnsmasq, 0.0.0.0%vmbr0:67 dnsmasq/1"


@pytest.mark.parametrize(
    ("port", "sockets", "others"),
    [
        (DHCP, TWO, "dnsmasq, a second dnsmasq"),
        (DHCP, "0.0.0.0%vmbr0:67 dnsmasq, 0.0.0.0%virbr0:67 dnsmasq/1", ""),
        (DHCP, "0.0.0.0%vmbr0:67 dnsmasq, 0.0.0.0:67 dnsmasq/1", ""),  # the other one may serve another network
        (DNS, "10.10.10.1:53 dnsmasq, 10.10.10.1:53 dnsmasq/1", "dnsmasq, a second dnsmasq"),
        (DNS, "10.10.10.1:53 dnsmasq, 192.168.122.1:53 dnsmasq/1", ""),
        (DNS, "10.10.10.1:53 dnsmasq/1, 0.0.0.0:53 dnsmasq", ""),
    ],
)
def test_a_second_process_of_the_same_program_is_another_one(port: int, sockets: str, others: str) -> None:
    assert holders(sockets, port) == others


NAMES = AnsweredBy("dnsmasq", "dnsmasq", DNS, "vmbr0", ("10.10.10.1",))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (replace(seen(""), listeners=Unknown("no ss")), "no ss"),
        (seen("10.10.10.1:53 "), "`ss` names no program for a socket there"),
        (seen("10.10.10.1:53 dnsmasq, 10.10.10.1:53 "), "`ss` names no program for a socket there"),
    ],
)
def test_where_nobody_can_say_who_answers_it_is_unknown(host: HostObserved, why: str) -> None:
    (found,) = NAMES.differences(host)
    assert (found.resource, found.unknown, found.have) == ("udp/53 on 10.10.10.1 (vmbr0)", why, None)
    (note,) = NAMES.notes(host)
    assert note == (
        f"passerelle does not know who answers udp/53 on 10.10.10.1 (vmbr0): the sockets of pve1 could not be read "
        f"({why}). Fix: run `ss -lunp` on pve1 as root"
    )


def test_unknown_sockets_are_no_synced_host_and_stop_no_other_change() -> None:
    desired = desired_from(served({}, {}).partition("host_keys")[2].partition("\n")[2])
    host = bare_host(desired.watch)
    first = make_plan(desired, LastApplied(), host)
    base = LastApplied.from_json(desired.as_json())
    blind = Unknown("`ss` did not answer within 8 s")
    after = make_plan(desired, base, replace(after_plan(host, first), listeners=blind))
    assert {d.difference.resource for d in after.drifts} == {
        "udp/53 on 10.10.10.1 (vmbr0)", "udp/53 on fd00:10::1 (vmbr0)", "udp/67 on 10.10.10.1 (vmbr0)",
    }  # fmt: skip
    decision = decide(after, "auto", latched=False, request=None)
    assert (decision.action, decision.sync) == ("nothing", "Unknown")
    assert "passerelle does not know who answers udp/53 on 10.10.10.1 (vmbr0)" in decision.message
    begun = make_plan(desired, LastApplied(), replace(host, listeners=blind))
    assert (begun.steps, begun.refusals) == (first.steps, ())


@pytest.mark.parametrize(
    ("sockets", "port", "fix"),
    [
        ("10.10.10.1:53 named", DNS, "stop named on pve1, or have passerelle do it with `services: {named: disabled}`"),
        (
            "10.10.10.1:53 pdns_recursor",
            DNS,
            "stop pdns_recursor on pve1, or have passerelle do it with `services: {pdns-recursor: disabled}`",
        ),
        ("10.10.10.1:53 nsd", DNS, "stop nsd on pve1, or have passerelle do it with `services: {nsd: disabled}`"),
        (
            "0.0.0.0:67 dhcrelay",
            DHCP,
            "stop dhcrelay on pve1, or have passerelle do it with `services: {isc-dhcp-relay: disabled}`",
        ),
        (
            "10.10.10.1:53 python3",
            DNS,
            "stop python3 on pve1. `ss -lunp` shows the process there, and `systemctl status PID` its service",
        ),
        (
            "10.10.10.1:53 systemd-resolve",
            DNS,
            "remove DNSStubListenerExtra from systemd-resolved's configuration on pve1",
        ),
        (TWO, DHCP, "stop it on pve1, where `ss -lunp` shows the process"),
    ],
)
def test_the_fix_names_the_service(sockets: str, port: int, fix: str) -> None:
    (note,) = replace(NAMES, port=port).notes(seen(sockets))
    assert note.partition("Fix: ")[2] == fix


def test_bind_on_a_served_address_is_drift_that_names_it_and_says_what_to_do() -> None:
    desired = desired_from(served({}, {}).partition("host_keys")[2].partition("\n")[2])
    host = bare_host(desired.watch)
    base = LastApplied.from_json(desired.as_json())
    applied = after_plan(host, make_plan(desired, LastApplied(), host))
    taken = seen("0.0.0.0:53 dnsmasq, 10.10.10.1:53 named, [fd00:10::1]:53 named, 0.0.0.0:67 dnsmasq").listeners
    plan = make_plan(desired, base, replace(applied, listeners=taken))
    assert [(d.difference.resource, d.difference.want, d.difference.have, d.moved) for d in plan.drifts] == [
        ("udp/53 on 10.10.10.1 (vmbr0)", "dnsmasq", "named", "host"),
        ("udp/53 on fd00:10::1 (vmbr0)", "dnsmasq", "named", "host"),
    ]
    assert (plan.steps, plan.refusals) == ((), ())
    decision = decide(plan, "auto", latched=False, request=None)
    assert (decision.action, decision.sync, decision.reason) == ("nothing", "OutOfSync", "Drifted")
    assert decision.message.startswith("named holds udp/53 on 10.10.10.1 (vmbr0)")
    assert "Fix: stop named on pve1" in decision.message


@pytest.mark.parametrize("name", ["named", "named.service", "bind9", "bind9.service"])
def test_what_the_spec_ends_by_itself_needs_no_word(name: str) -> None:
    text = served({}, {}).partition("host_keys")[2].partition("\n")[2] + f"services: {{{name}: disabled}}\n"
    desired = desired_from(text)
    held = replace(bare_host(desired.watch), listeners=seen("10.10.10.1:53 named").listeners)
    plan = make_plan(desired, LastApplied(), held)
    assert [d.difference.have for d in plan.drifts if d.difference.field == "answered by"] == ["named"]
    assert not [note for note in plan.notes if "named" in note]
