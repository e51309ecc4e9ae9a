"""Guests with one client-id: whose lease went to whom, from two looks at the lease file."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from service.kinds import KINDS
from service.kinds.guests_seen import guests_seen, name_findings
from service.kinds.shared_leases import lost_leases
from service.model.observed import HostObserved, Lease, Watch
from service.model.states import Seen, Unknown
from service.spec.models import claims_of
from tests.laws.host import bare_host
from tests.laws.specs import spec_of, whole

DUID = "ff:01:02:03:04"
HOST = bare_host(Watch())
NOW = int(HOST.observed_at.timestamp())
ONE = Lease("bc:24:11:00:00:01", "10.10.10.145", "dev", NOW + 3600, DUID)
TWO = Lease("bc:24:11:00:00:02", "10.10.10.145", "clone", NOW + 3660, DUID)
SPEC = """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges: {vmbr0: {addresses: [10.10.10.1/24]}}
dnsmasq: {dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.150}]}
guests: {dev: {mac: "BC:24:11:00:00:01"}}
packages: {dnsmasq: present}
"""


def with_leases(*leases: Lease, later_s: int = 60) -> HostObserved:
    return replace(HOST, leases=Seen(leases), observed_at=HOST.observed_at + timedelta(seconds=later_s))


def looked(*looks: Sequence[Lease], lost: tuple[Lease, ...] = ()) -> tuple[Lease, ...]:
    """What is lost after some looks, a minute apart."""
    before: HostObserved | None = None
    for number, leases in enumerate(looks):
        now = with_leases(*leases, later_s=60 * number)
        lost = lost_leases(lost, before, now)
        before = now
    return lost


OTHER = replace(TWO, client_id="ff:09:09:09:09")


@pytest.mark.parametrize(
    ("looks", "lost"),
    [
        ([(ONE,)], ()),
        ([(ONE,), (ONE,)], ()),
        ([(ONE,), (TWO,)], (ONE,)),
        ([(ONE,), (replace(TWO, address="10.10.10.60"),)], (ONE,)),  # each has an address of its own: dhcp-host
        ([(ONE,), (TWO,), (TWO,)], (ONE,)),
        ([(ONE,), (TWO,), (ONE,)], (TWO,)),
        ([(ONE,), (TWO,), ()], ()),
        ([(ONE,), ()], ()),  # it went home
        ([(ONE,), (OTHER,)], ()),
        ([(ONE,), (ONE, OTHER)], ()),
        ([(replace(ONE, client_id=""),), (replace(TWO, client_id=""),)], ()),
        ([(replace(ONE, expires=NOW + 30),), (TWO,)], ()),  # it had run out
        ([(ONE,), (TWO,), (TWO, replace(ONE, client_id="ff:05", address="10.10.10.146"))], ()),  # cured
        ([(ONE,), (TWO,), (replace(TWO, mac="bc:24:11:00:00:03"),)], (ONE, TWO)),
    ],
    ids=str,
)
def test_a_lease_is_lost_when_another_mac_comes_with_its_client_id(
    looks: Sequence[Sequence[Lease]], lost: tuple[Lease, ...]
) -> None:
    assert looked(*looks) == lost


def test_it_is_forgotten_when_it_would_have_run_out() -> None:
    assert lost_leases((ONE,), None, with_leases(TWO, later_s=3599)) == (ONE,)
    assert lost_leases((ONE,), None, with_leases(TWO, later_s=3600)) == ()
    endless = replace(ONE, expires=0)
    assert lost_leases((endless,), None, with_leases(replace(TWO, expires=0), later_s=10**7)) == (endless,)


def test_leases_that_could_not_be_read_change_nothing() -> None:
    blind = replace(HOST, leases=Unknown("cut short"))
    assert lost_leases((ONE,), with_leases(ONE), blind) == (ONE,)
    assert lost_leases((), blind, with_leases(TWO)) == ()


def test_the_guest_that_lost_its_lease_is_shown_as_shared_and_the_words_stay_whoever_asks() -> None:
    claims = claims_of(spec_of(whole(SPEC)), KINDS)
    first = name_findings(claims, with_leases(TWO), (ONE,))
    back = name_findings(claims, with_leases(ONE), (TWO,))
    assert first == back
    assert [(one.rule, one.mac) for one in first] == [("lease-shared", ONE.mac)]
    assert first[0].text == (
        "bc:24:11:00:00:01 (10.10.10.145, dev) and bc:24:11:00:00:02 (10.10.10.145, clone) send the same DHCP "
        "client-id: dnsmasq keeps one lease for them. The other has no lease and no name, and still uses its "
        "address. "
        "Fix: give each clone its own machine-id (`systemd-machine-id-setup` after `rm /etc/machine-id`), or set "
        "`dnsmasq.dhcp_ignore_clid: true`"
    )
    states = {
        one.mac: (one.name, one.source, one.state, one.address) for one in guests_seen(claims, with_leases(TWO), (ONE,))
    }
    assert states == {
        ONE.mac: ("dev", "spec", "shared", "10.10.10.145"),
        TWO.mac: ("clone", "lease", "foreign", "10.10.10.145"),
    }
    states = {
        one.mac: (one.name, one.source, one.state, one.address) for one in guests_seen(claims, with_leases(ONE), (TWO,))
    }
    assert states == {
        ONE.mac: ("dev", "spec", "named", "10.10.10.145"),
        TWO.mac: ("clone", "lease", "shared", "10.10.10.145"),
    }
