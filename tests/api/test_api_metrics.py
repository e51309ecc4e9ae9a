"""The page of numbers: what it counts, what a token for some hosts sees of it, and whether Prometheus takes it."""

import re
import shutil
import subprocess
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.lab.waiting import grown_s
from service.model.guests import PoolFill
from service.model.retention import Keep
from service.model.runs import HostStatus
from service.model.sources import SourceStanding
from tests.api.world import NOW, World
from tests.model.sites.looks import ISSUED, WINDOW

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def page(world: World, *, hosts: tuple[str, ...] = ("*",)) -> str:
    answer = await world.ask("GET", "/metrics", token=world.token("read", hosts=hosts))
    assert answer.status_code == 200
    return answer.text


async def numbers(world: World, *, hosts: tuple[str, ...] = ("*",)) -> Numbers:
    """By name and labels, as Prometheus' own parser reads them. A number that is there twice fails."""
    found: Numbers = {}
    for family in text_string_to_metric_families(await page(world, hosts=hosts)):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def of(found: Numbers, name: str, **labels: str) -> float | None:
    return found.get((f"passerelle_{name}", tuple(sorted(labels.items()))))


async def test_what_the_database_knows_and_what_happened_is_counted(world: World) -> None:
    world.history.store.finish_apply(world.apply_id(), "Succeeded", at=NOW)
    world.apply_id()
    world.parts.metrics.reconciled(0.3)
    world.parts.metrics.fetched(NOW)
    world.parts.metrics.ssh_failed("timeout")
    world.parts.metrics.ssh_failed("bc:24:11:00:00:01")
    found = await numbers(world)
    axes = {"sync": "OutOfSync", "reason": "Drifted", "health": "Unknown", "reachability": "Reachable", "phase": "Idle"}
    assert of(found, "host_state", host="pve1", **axes) == 1
    assert of(found, "host_drift_items", host="pve1", kind="bridges") == 2
    assert of(found, "applies_inflight") == 1
    assert of(found, "leases", host="pve1") == 2
    assert of(found, "host_last_success_timestamp_seconds", host="pve1") == NOW.timestamp()
    assert of(found, "ssh_errors_total", reason="timeout") == of(found, "ssh_errors_total", reason="other") == 1
    assert of(found, "reconcile_duration_seconds_count") == 1
    assert "bc:24" not in await page(world)


async def test_each_host_has_one_state_whose_labels_are_its_axes(world: World) -> None:
    world.history.store.set_host_status(HostStatus("pve1", sync="Synced", health="Healthy"), at=NOW)
    found = [dict(labels) for name, labels in await numbers(world) if name == "passerelle_host_state"]
    assert [one["host"] for one in found] == ["pve1", "pve2"]
    assert (found[0]["sync"], found[0]["health"], found[0]["reachability"]) == ("Synced", "Healthy", "Unknown")
    assert all(one.keys() == {"host", "sync", "reason", "health", "reachability", "phase"} for one in found)


async def test_applies_are_counted_by_host_from_their_request_on(world: World) -> None:
    """Also over the deletion of old records: to Prometheus a count that falls is a restart, and all of it new."""
    assert of(await numbers(world), "apply_total", host="pve1", result="ok") is None
    for phase in ("RolledBack", "Succeeded", "Succeeded"):
        apply_id = world.apply_id()
        assert of(await numbers(world), "apply_total", host="pve1", result="refused") == 0
        world.history.store.finish_apply(apply_id, phase, at=NOW)
    found = await numbers(world)
    assert [of(found, "apply_total", host="pve1", result=one) for one in ("ok", "rolled_back", "failed")] == [2, 1, 0]
    assert of(found, "apply_total", host="pve2", result="ok") is None
    assert world.history.store.forget(Keep(days=1, event_days=1, size_bytes=1 << 30), {}, at=NOW + timedelta(days=900))
    assert of(await numbers(world), "apply_total", host="pve1", result="ok") == 2
    world.history.store.orphan_host("pve1", at=NOW)
    assert of(await numbers(world), "apply_total", host="pve1", result="ok") is None


async def test_what_waits_is_latched_or_refused_is_a_number(world: World) -> None:
    store = world.history.store
    store.set_host_status(HostStatus("pve1", phase="WaitingForApproval"), at=NOW)
    store.clear_latch("pve2", by="ann", reason="mended", at=NOW)
    world.desk.standing = SourceStanding("refused", "1 error")
    found = await numbers(world)
    assert [of(found, "host_waiting_for_approval", host=host) for host in ("pve1", "pve2")] == [1, 0]
    assert [of(found, "host_latched", host=host) for host in ("pve1", "pve2")] == [1, 0]
    assert of(found, "source_refused") == 1
    assert [of(found, "source_state", state=one) for one in ("refused", "followed", "rewound")] == [1, 0, 0]
    world.desk.standing = SourceStanding("followed")
    found = await numbers(world)
    assert (of(found, "source_refused"), of(found, "source_state", state="followed")) == (0, 1)


async def test_sites_have_their_certificate_their_failures_and_whether_they_answer(world: World) -> None:
    found = await numbers(world)
    www, waits = ({"host": "pve1", "site": name} for name in ("www.example.org", "waits.example.org"))
    assert of(found, "site_state", **www, state="upstream-off") == 1
    assert of(found, "site_state", **waits, state="waits-for-permit") == 1
    assert (of(found, "site_trouble", **www), of(found, "site_trouble", **waits)) == (1, 0)
    assert of(found, "site_certificate_expiry_timestamp_seconds", **www) == ISSUED.not_after
    assert of(found, "site_certificate_expiry_timestamp_seconds", **waits) is None
    assert of(found, "site_renewal_window_start_timestamp_seconds", **www) == WINDOW.start
    assert of(found, "site_failed_orders", **www) == 0
    assert of(found, "site_reachable", **www, **{"from": "host"}) == 1
    assert of(found, "site_reachable", **www, **{"from": "outside"}) is None


async def test_the_newest_rollout_has_its_state_and_where_its_hosts_are(world: World) -> None:
    found = await numbers(world)
    assert of(found, "rollout_state", state="running") == of(found, "rollout_hosts", state="pending") == 0
    rollout_id = world.rollout_id()
    world.history.store.suspend("host", "pve2", "work", by="ann", at=NOW, until=None)
    found = await numbers(world)
    assert [of(found, "rollout_hosts", state=state) for state in ("pending", "aside", "done")] == [1, 1, 0]
    assert (of(found, "rollout_state", state="running"), of(found, "rollout_state", state="halted")) == (1, 0)
    world.history.store.halt_rollout(rollout_id, by="ann", reason="lunch", at=NOW)
    found = await numbers(world)
    assert [of(found, "rollout_hosts", state=state) for state in ("pending", "aside")] == [1, 1]
    assert (of(found, "rollout_state", state="running"), of(found, "rollout_state", state="halted")) == (0, 1)


async def test_a_token_for_some_hosts_sees_no_numbers_of_rollouts(world: World) -> None:
    world.rollout_id()
    assert "passerelle_rollout_" in await page(world)
    assert "passerelle_rollout_" not in await page(world, hosts=("pve2",))


async def test_a_token_for_some_hosts_sees_the_numbers_of_those(world: World) -> None:
    for host in ("pve1", "pve2"):
        world.history.store.finish_apply(world.apply_id(host), "Succeeded", at=NOW)
        world.apply_id(host)
        world.parts.metrics.filled(host, [PoolFill(host, "vmbr0", "10.10.10.100", "10.10.10.200", 101, 2, 1)])
    found = await numbers(world, hosts=("pve2",))
    assert {host for _, labels in found for key, host in labels if key == "host"} == {"pve2"}
    assert of(found, "applies_inflight") == 1
    assert of(found, "pool_addresses", host="pve2", bridge="vmbr0", state="leased") == 2


async def test_the_page_keeps_to_the_conventions_of_prometheus(world: World) -> None:
    """Those that `promtool check metrics` knows, and `promtool` itself."""
    world.history.store.finish_apply(world.apply_id(), "Succeeded", at=NOW)
    text = await page(world)
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families) > 20
    for family in families:
        assert re.fullmatch(r"passerelle_[a-z][a-z_]*", family.name)
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        assert not re.search(r"_(counter|gauge|histogram|total|ms|milliseconds|minutes|hours|kb|mb)(_|$)", family.name)
        assert all((sample.name == f"{family.name}_total") for sample in family.samples if family.type == "counter")
        assert all(re.fullmatch(r"[a-z]+", label) for sample in family.samples for label in sample.labels)
    assert promtool(text) == ""


def promtool(text: str) -> str:
    """What Prometheus' own checker says; it says nothing about what is good."""
    found = shutil.which("promtool")
    if found is None:
        pytest.fail("Prometheus is not installed. Fix: deploy/setup --lab")
    told = subprocess.run(
        [found, "check", "metrics"], input=text, capture_output=True, text=True, timeout=grown_s(60), check=False
    )
    return told.stdout + told.stderr + (f" ended with {told.returncode}" if told.returncode else "")
