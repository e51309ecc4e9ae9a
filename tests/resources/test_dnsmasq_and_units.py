"""dnsmasq's directives over all its files, and daemons that have not read their files yet."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_config import OWN_FILE, DnsmasqConfig
from service.resources.units import STALE_SLACK_S, STARTED, Unit
from tests.laws.host import after_plan, bare_host, file_fact

CONFIG = DnsmasqConfig(
    "dnsmasq",
    (
        ("domain", "madyanne.lan"),
        ("cache-size", "256"),
        ("expand-hosts", ""),
        ("interface", "vmbr0"),
        ("dhcp-range", "10.10.10.100,10.10.10.200,12h"),
    ),
    ("10.10.10.1/24",),
)
DESIRED = Desired.of("pve1", [CONFIG])
MINE = "/etc/dnsmasq.d/mine.conf"


def plan_of(files: Mapping[str, bytes]) -> Plan:
    return make_plan(DESIRED, LastApplied(), bare_host(DESIRED.watch, files))


def written(plan: Plan) -> set[str]:
    """The directives of the file that a plan writes."""
    (content,) = plan.blobs.values()
    return {line for line in content.decode().splitlines() if line and line[0] != "#"}


def test_on_a_bare_host_all_directives_go_into_our_file() -> None:
    plan = plan_of({})
    assert [step.fact for step in plan.steps] == [f"file:{OWN_FILE}"]
    assert plan.checks == (("dnsmasq", OWN_FILE),)
    assert {line.split("=")[0] for line in written(plan)} == {
        "domain", "cache-size", "expand-hosts", "interface", "dhcp-range",
    }  # fmt: skip
    host = bare_host(DESIRED.watch)
    assert make_plan(DESIRED, LastApplied(), after_plan(host, plan)).is_empty


@pytest.mark.parametrize("path", ["/etc/dnsmasq.conf", MINE])
def test_what_another_file_says_is_met_there_and_not_said_twice(path: str) -> None:
    plan = plan_of({path: b"cache-size=256\nexpand-hosts\n# a comment\n"})
    assert {line.split("=")[0] for line in written(plan)} == {"domain", "interface", "dhcp-range"}
    assert plan.refusals == ()


def test_where_other_files_say_all_of_it_nothing_is_written() -> None:
    text = b"domain = madyanne.lan\ncache-size=256\nexpand-hosts\ninterface=vmbr0\n"
    ranged = b"dhcp-range=10.10.10.100,10.10.10.200,255.255.255.0,12h\n"
    plan = plan_of({"/etc/dnsmasq.conf": text, MINE: ranged})
    assert plan.is_empty
    assert plan.drifts == ()


def test_another_value_in_a_file_that_is_not_ours_is_refused_with_its_line() -> None:
    plan = plan_of({MINE: b"# hand-made\ncache-size=1000\n"})
    (refusal,) = plan.refusals
    assert (refusal.rule, refusal.what) == ("not-ours", f"{MINE}:2 sets cache-size to 1000, the spec wants 256")
    assert MINE in refusal.hint


def test_a_second_interface_in_another_file_is_nobodys_quarrel() -> None:
    assert plan_of({MINE: b"interface=vmbr9\n"}).refusals == ()


@pytest.mark.parametrize("name", ["mine.conf~", "#mine.conf#", ".mine.conf"])
def test_files_that_dnsmasq_passes_over_do_not_count(name: str) -> None:
    plan = plan_of({f"/etc/dnsmasq.d/{name}": b"cache-size=1000\n"})
    assert plan.refusals == ()
    assert "cache-size=256" in written(plan)


def test_each_directive_that_differs_in_our_file_is_told() -> None:
    host = bare_host(DESIRED.watch)
    host = after_plan(host, make_plan(DESIRED, LastApplied(), host))
    text = host.texts[OWN_FILE]
    assert isinstance(text, Seen)
    edited = text.value.replace(b"cache-size=256", b"cache-size=5").replace(b"expand-hosts\n", b"") + b"log-dhcp\n"
    facts = {**host.facts, f"file:{OWN_FILE}": Seen(file_fact(edited, "0666"))}
    plan = make_plan(DESIRED, LastApplied(), replace(host, texts={**host.texts, OWN_FILE: Seen(edited)}, facts=facts))
    found = {(d.difference.field, d.difference.op) for d in plan.drifts}
    assert found == {("cache-size", "changed"), ("expand-hosts", "missing"), ("log-dhcp", "extra"), ("mode", "changed")}
    assert [step.fact for step in plan.steps] == [f"file:{OWN_FILE}"]


def test_with_one_of_dnsmasqs_files_unread_nothing_is_written() -> None:
    host = bare_host(DESIRED.watch, {MINE: b"cache-size=1000\n"})
    plan = make_plan(DESIRED, LastApplied(), replace(host, texts={**host.texts, MINE: Unknown("too large")}))
    assert plan.steps == ()
    assert [refusal.rule for refusal in plan.refusals] == ["unknown"]


DNSMASQ = Unit("dnsmasq", "dnsmasq.service", "enabled", reads=(OWN_FILE,))
NAMED = Unit("services", "named.service", "disabled")
LOADER = Unit("nat", "passerelle-nft.service", "enabled", boot_only=True)


def host_with(unit: Unit, seen: Observed[Json], started_s: float | None = None, changed_s: float = 0) -> HostObserved:
    bare = bare_host(unit.watch())
    started = {} if started_s is None else {unit.name: started_s}
    return replace(
        bare, facts={**bare.facts, unit.id: seen}, started_at_s=started, changed_at_s={OWN_FILE: changed_s}
    )  # fmt: skip


def state(enabled: str, *, active: bool) -> Seen[Json]:
    return Seen({"enabled": enabled, "active": active})


@pytest.mark.parametrize(
    ("unit", "seen", "fields", "after"),
    [
        (DNSMASQ, state("enabled", active=True), [], None),
        (DNSMASQ, state("disabled", active=True), ["enabled"], {"enabled": "enabled", "active": True}),
        (DNSMASQ, state("enabled", active=False), ["active"], {"enabled": "enabled", "active": True}),
        (DNSMASQ, state("masked", active=False), ["enabled", "active"], {"enabled": "enabled", "active": True}),
        (DNSMASQ, Absent(), ["enabled", "active"], {"enabled": "enabled", "active": True}),
        (NAMED, state("enabled", active=True), ["enabled", "active"], {"enabled": "disabled", "active": False}),
        (NAMED, state("disabled", active=False), [], None),
        (NAMED, Absent(), [], None),
        (LOADER, state("enabled", active=False), [], None),
        (LOADER, state("disabled", active=True), ["enabled"], {"enabled": "enabled"}),
        (LOADER, Absent(), ["enabled"], {"enabled": "enabled"}),
    ],
)
def test_a_unit_is_compared_now_and_for_the_next_boot(
    unit: Unit, seen: Observed[Json], fields: list[str], after: Json
) -> None:
    plan = make_plan(Desired.of("pve1", [unit]), LastApplied(), host_with(unit, seen))
    assert [d.difference.field for d in plan.drifts] == fields
    assert [step.after for step in plan.steps] == ([after] if fields else [])


@pytest.mark.parametrize(
    ("started_s", "changed_s", "stale"),
    [(100, 200, True), (100, 100 + STALE_SLACK_S, False), (200, 100, False), (None, 200, False)],
)
def test_a_daemon_that_started_before_its_file_changed_is_stale_and_restarted(
    started_s: float | None, changed_s: float, *, stale: bool
) -> None:
    host = host_with(DNSMASQ, state("enabled", active=True), started_s, changed_s)
    plan = make_plan(Desired.of("pve1", [DNSMASQ]), LastApplied(), host)
    assert [(d.difference.field, d.difference.want, d.difference.have) for d in plan.drifts] == (
        [("started", STARTED, f"before {OWN_FILE} changed")] if stale else []
    )
    assert [step.restart for step in plan.steps] == ([True] if stale else [])


def test_a_daemon_that_is_stopped_is_not_called_stale() -> None:
    host = host_with(NAMED, state("disabled", active=False), 100, 200)
    assert make_plan(Desired.of("pve1", [replace(NAMED, reads=(OWN_FILE,))]), LastApplied(), host).is_empty


def test_a_unit_that_could_not_be_read_is_left_alone() -> None:
    plan = make_plan(Desired.of("pve1", [DNSMASQ]), LastApplied(), host_with(DNSMASQ, Unknown("garbled")))
    assert plan.steps == ()
    assert [refusal.rule for refusal in plan.refusals] == ["unknown"]
