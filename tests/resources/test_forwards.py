"""What is published on a host: said with its cause, seen where it is edited by hand, gone when nobody wants it."""

from dataclasses import replace

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, Listener
from service.model.plans import Plan
from service.model.states import Seen
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.forwards import FORWARDS_FILE, TABLE_FACT
from service.resources.nat import LOADER_FILE
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import FOLDER, desired_of, head, spec_of

NONE = head() + (FOLDER / "forwards.yaml").read_text().partition("forwards:")[0]


def applied(name: str = "forwards") -> tuple[Desired, HostObserved, Plan]:
    """What is wanted, the host after it was applied, and the plan that was."""
    desired = desired_of(name)
    host = bare_host(desired.watch)
    plan = make_plan(desired, LastApplied(), host)
    return desired, after_plan(host, plan), plan


def base_of(desired: Desired) -> LastApplied:
    return LastApplied.from_json(desired.as_json())


def test_everything_that_follows_is_shown_with_its_cause() -> None:
    derived = dict(applied()[2].derived)
    web = "forwards: tcp/80,443 on enp1s0 to proxy (10.10.10.20)"
    assert derived["DNAT 198.51.100.11, 198.51.100.12 tcp/80,443 to 10.10.10.20"] == web
    assert derived["DROP 10.20.0.0/16 from enp1s0"].startswith("10.20.0.9 in 10.20.0.0/16 can be reached from enp1s0")
    assert "MASQUERADE 10.10.10.0/24 to proxy" in derived
    assert "forwards: enp1s0 to proxy" in derived["sysctl:net.ipv4.ip_forward"]


def test_where_a_firewall_is_it_closes_the_networks_and_lets_through_what_is_published() -> None:
    desired, _, plan = applied("forwards-and-firewall")
    [table] = [resource for resource in desired.resources if resource.id == TABLE_FACT]
    assert [chain.name for chain in table.table.chains] == ["published", "prerouting", "output", "postrouting"]  # type: ignore[attr-defined]
    derived = dict(plan.derived)
    cause = "forwards: tcp/8443 on enp1s0 to 10.20.0.9 port 443"
    assert derived["FORWARD ACCEPT -source 203.0.113.0/24,192.0.2.7 -dest 10.20.0.9 -p tcp -dport 443"] == cause
    assert "OUT ACCEPT -dest 10.10.10.20 -p tcp -dport 80,443" in derived
    assert not [thing for thing in derived if thing.startswith("OUT") and "-source" in thing]
    assert "DROP 10.20.0.0/16 from enp1s0" in derived


def test_a_name_is_the_guests_own_address_to_guests() -> None:
    wishes = {key[2]: want for key, want in desired_of("forwards").wishes.items() if key[0] == "dnsmasq"}
    assert wishes["host-record"] == ["example.org,10.10.10.20", "www.example.org,10.10.10.20"]


def test_a_rule_deleted_by_hand_is_drift_of_the_host() -> None:
    desired, host, _ = applied()
    fact = host.facts[TABLE_FACT]
    assert isinstance(fact, Seen)
    assert isinstance(fact.value, dict)
    normal = fact.value["normal"]
    assert isinstance(normal, list)
    left = [item for item in normal if not (isinstance(item, dict) and "dnat" in str(item) and "5020" in str(item))]
    edited = replace(host, facts={**host.facts, TABLE_FACT: Seen({"normal": left})})
    plan = make_plan(desired, base_of(desired), edited)
    assert [(d.difference.resource, d.difference.field, d.moved) for d in plan.drifts] == [
        ("inet passerelle_forwards published", "rules", "host")
    ]
    assert [step.fact for step in plan.steps] == [TABLE_FACT]


def test_without_the_section_the_table_and_its_file_go_and_the_loader_stays_for_the_nat() -> None:
    before, host, _ = applied()
    desired = desire(spec_of(NONE), KINDS)
    plan = make_plan(desired, base_of(before), host)
    gone = {step.fact for step in plan.steps if step.after is None}
    assert {TABLE_FACT, f"file:{FORWARDS_FILE}"} <= gone
    assert f"file:{LOADER_FILE}" not in gone
    again = make_plan(desired, base_of(desired), after_plan(host, plan))
    assert (again.drifts, again.steps) == ((), ())


def test_a_port_that_a_program_of_the_host_waits_on_is_told() -> None:
    desired = desired_of("forwards")
    listeners = (
        Listener("tcp", "0.0.0.0", 80, "nginx"),
        Listener("tcp", "198.51.100.12", 443, "nginx"),
        Listener("tcp", "127.0.0.1", 8080, "java"),
        Listener("udp", "*", 5005, ""),
    )
    plan = make_plan(desired, LastApplied(), replace(bare_host(desired.watch), listeners=Seen(listeners)))
    told = [note for note in plan.notes if "goes to" in note]
    assert told == [
        "tcp/80 goes to proxy from now on, no more to nginx here",
        "tcp/443 goes to proxy from now on, no more to nginx here",
        "udp/5005 goes to proxy from now on, no more to a program here",
    ]
