"""Addresses by DHCP: no drift, and never a plan that leaves the host where nobody finds it."""

from dataclasses import replace

from service.model.observed import HostObserved, ManagementPath
from service.model.plans import Plan
from service.model.states import Absent, Json, Seen
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.files import sha256
from tests.laws.host import after_plan, bare_host, link
from tests.laws.specs import desired_from

LO = "auto lo\niface lo inet loopback\n\n"
BY_DHCP = LO + "auto enp1s0\niface enp1s0 inet dhcp\n"
STATIC = LO + "auto enp1s0\niface enp1s0 inet static\n\taddress 198.51.100.11/24\n\tgateway 198.51.100.1\n"
LEASE = {"enp1s0": ("198.51.100.11/24",)}
SPEC_DHCP = "interfaces:\n  enp1s0: {dhcp: true}\n"
SPEC_STATIC = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
BRIDGED = "interfaces:\n  enp1s0: {}\nbridges:\n  vmbr0: {dhcp: true, ports: [enp1s0]}\n"
BRIDGE = "bridges:\n  vmbr0: {addresses: [10.10.10.1/24]}\n"
MAIN = "/etc/network/interfaces"


def desired(sections: str) -> Desired:
    return desired_from(sections)


def host_of(want: Desired, files: str, *, by_dhcp: bool) -> HostObserved:
    host = bare_host(want.watch, {MAIN: files.encode()})
    return leased(host, "198.51.100.11") if by_dhcp else host


def leased(host: HostObserved, address: str) -> HostObserved:
    """With that address from a DHCP server, and reached there."""
    route: Json = [{"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}]
    facts = {**host.facts, "addresses:enp1s0": Seen([]), "routes:default": Seen(route)}
    return replace(
        host, facts=facts, dynamic={"enp1s0": (f"{address}/24",)}, path=ManagementPath("198.18.0.10", address, 22)
    )


def plan_of(sections: str, files: str, *, by_dhcp: bool) -> Plan:
    want = desired(sections)
    return make_plan(want, LastApplied(), host_of(want, files, by_dhcp=by_dhcp))


def told(plan: Plan) -> str:
    return "\n".join(refusal.what for refusal in plan.refusals)


def test_another_lease_is_no_drift_and_stops_no_plan() -> None:
    want = desired(SPEC_DHCP + BRIDGE)
    host = host_of(want, BY_DHCP, by_dhcp=True)
    plan = make_plan(want, LastApplied(), host)
    assert plan.steps
    assert plan.refusals == ()
    base = LastApplied.from_json(want.as_json())
    done = replace(after_plan(host, plan), dynamic=host.dynamic)
    for address in ("198.51.100.11", "203.0.113.77"):
        quiet = make_plan(want, base, leased(done, address))
        assert (quiet.drifts, quiet.steps, quiet.refusals) == ((), (), ())


def test_a_client_that_sets_an_address_without_an_end_is_no_drift_either() -> None:
    want = desired(SPEC_DHCP)
    plan = make_plan(want, LastApplied(), host_of(want, BY_DHCP, by_dhcp=False))
    assert plan.drifts == ()


def test_a_bridge_that_would_take_the_leased_card_is_refused() -> None:
    plan = plan_of(BRIDGED, BY_DHCP, by_dhcp=True)
    assert "enp1s0, which carries 198.51.100.11, would become a port of vmbr0" in told(plan)


def test_a_static_uplink_becomes_dhcp_only_once_the_host_is_reached_by_a_lease() -> None:
    assert "has an address that a server gives instead of 198.51.100.11" in told(
        plan_of(SPEC_DHCP, STATIC, by_dhcp=False)
    )
    plan = plan_of(SPEC_DHCP, STATIC, by_dhcp=True)
    assert plan.refusals == ()
    assert b"iface enp1s0 inet dhcp\n" in plan.blobs[sha256(BY_DHCP.encode())]
    assert any("until the next boot" in note for note in plan.notes)


def test_a_leased_uplink_becomes_static_with_the_address_that_it_has_and_no_other() -> None:
    plan = plan_of(SPEC_STATIC, BY_DHCP, by_dhcp=True)
    assert plan.refusals == ()
    assert [step.fact for step in plan.steps] == [f"file:{MAIN}"]
    assert any("passerelle stops no DHCP client" in note for note in plan.notes)
    other = plan_of(SPEC_STATIC.replace(".11/24", ".12/24"), BY_DHCP, by_dhcp=True)
    assert "at the next boot 198.51.100.11, by which the service reaches this host, is not on enp1s0" in told(other)


def test_without_a_client_that_the_boot_starts_no_stanza_says_dhcp() -> None:
    want = desired(SPEC_DHCP)
    host = host_of(want, STATIC, by_dhcp=True)
    plan = make_plan(want, LastApplied(), replace(host, packages={**host.packages, "isc-dhcp-client": Absent()}))
    assert plan.steps == ()
    assert any("finds no DHCP client that it can start for enp1s0" in note for note in plan.notes)


def test_ipv6_from_elsewhere_that_leaves_the_spec_leaves_the_file() -> None:
    both = desired("interfaces:\n  enp1s0: {dhcp: true, ipv6: auto}\n")
    host = host_of(both, BY_DHCP + "\niface enp1s0 inet6 auto\n", by_dhcp=True)
    assert make_plan(both, LastApplied(), host).drifts == ()
    less = desired(SPEC_DHCP)
    assert make_plan(less, LastApplied(), host).drifts == ()  # nobody wanted it, so it stays
    plan = make_plan(less, LastApplied.from_json(both.as_json()), host)
    assert [(d.difference.field, d.moved) for d in plan.drifts] == [("dynamic", "git")]
    assert any(b"iface enp1s0 inet6 manual" in text for text in plan.blobs.values())


def test_the_classic_ifupdown_sets_no_mtu_beside_dhcp_and_the_plan_says_so() -> None:
    want = desired("interfaces:\n  enp1s0: {dhcp: true, mtu: 1400}\n")
    host = host_of(want, BY_DHCP, by_dhcp=True)
    classic = {**host.packages, "ifupdown2": Absent(), "ifupdown": Seen("0.8.41")}
    plan = make_plan(want, LastApplied(), replace(host, packages=classic))
    assert not any(step.fact == f"file:{MAIN}" for step in plan.steps)
    assert any("ifupdown sets no MTU of enp1s0" in note and "Fix: remove `mtu`" in note for note in plan.notes)


BRIDGE_BY_DHCP = LO + (
    "auto enp1s0\niface enp1s0 inet manual\n\nauto vmbr0\niface vmbr0 inet dhcp\n"
    "\tbridge-ports enp1s0\n\tbridge-stp off\n\tbridge-fd 0\n"
)


def bridged_by_dhcp(want: Desired) -> HostObserved:
    """A host that is reached over a bridge by DHCP."""
    host = host_of(want, BRIDGE_BY_DHCP, by_dhcp=True)
    bridge = link(type="bridge", stp=False, forward_delay_s=0, ports=[{"name": "enp1s0", "up": True}])
    facts = {
        **host.facts, "link:vmbr0": Seen(bridge), "link:enp1s0": Seen(link(master="vmbr0")),
        "addresses:vmbr0": Seen([]),
        "routes:default": Seen([{"family": 4, "via": "198.51.100.1", "dev": "vmbr0"}]),
    }  # fmt: skip
    return replace(host, facts=facts, dynamic={"vmbr0": ("198.51.100.11/24",)})


def test_a_bridge_by_dhcp_keeps_the_port_that_carries_the_way_at_the_next_boot() -> None:
    kept, lost = desired(BRIDGED), desired(BRIDGED.replace("[enp1s0]", "[]"))
    assert make_plan(kept, LastApplied(), bridged_by_dhcp(kept)).refusals == ()
    assert "enp1s0 is not a port of vmbr0" in told(make_plan(lost, LastApplied(), bridged_by_dhcp(lost)))
