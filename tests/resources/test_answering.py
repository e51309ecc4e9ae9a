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
    """A host with sockets, `ADDRESS:PORT PROGRAM` with commas between them."""
    made = []
    for text in filter(None, sockets.split(", ")):
        where, _, program = text.partition(" ")
        address, _, port = where.rpartition(":")
        made.append(Listener("udp", address, int(port), program))
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
        ("10.10.10.1:53 ", ""),
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


def test_where_the_sockets_could_not_be_read_nothing_is_said() -> None:
    blind = replace(seen(""), listeners=Unknown("no ss"))
    assert [*AnsweredBy("dnsmasq", "dnsmasq", DNS, "vmbr0", ("10.10.10.1",)).differences(blind)] == []


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


@pytest.mark.parametrize("name", ["named", "named.service", "bind9"])
def test_what_the_spec_ends_by_itself_needs_no_word(name: str) -> None:
    text = served({}, {}).partition("host_keys")[2].partition("\n")[2] + f"services: {{{name}: disabled}}\n"
    desired = desired_from(text)
    held = replace(bare_host(desired.watch), listeners=seen("10.10.10.1:53 named").listeners)
    plan = make_plan(desired, LastApplied(), held)
    assert [d.difference.have for d in plan.drifts if d.difference.field == "answered by"] == ["named"]
    assert not [note for note in plan.notes if "named" in note]
