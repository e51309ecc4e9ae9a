"""What nginx in a guest has loaded: drift, what is Unknown, and which probes have to answer in the end."""

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.model.observed import HostObserved, Watch
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.proxies import Proxy
from service.resources.proxy_files import loaded_digest, proxy_file
from service.resources.resource import Resource
from tests.laws.host import bare_host, file_fact

MAC = "bc:24:11:00:00:02"
FILES = {"nginx.conf": b"main\n", "sites/www.example.org.conf": b"www\n", "sites/a.example.org.conf": b"a\n"}
PROXY = Proxy("web", "proxy", MAC, FILES, address="10.10.10.20", names=("a.example.org", "www.example.org"))
FACT = f"proxy:proxy@{MAC}"
LOADED: Json = {"active": True, "loaded": loaded_digest(FILES)}
OTHER: Json = {"active": True, "loaded": "0" * 64}


def desired_of(*proxies: Proxy, files: Mapping[str, bytes] = FILES) -> Desired:
    written: list[Resource] = [proxy_file("web", "proxy", name, content) for name, content in files.items()]
    return Desired.of("pve1", [*written, *proxies])


def observed(
    seen: Observed[Json] | None, files: Mapping[str, bytes] = FILES, watch: Watch | None = None
) -> HostObserved:
    texts = {proxy_file("web", "proxy", name, content).path: content for name, content in files.items()}
    host = bare_host(watch or desired_of().watch, texts)
    host = replace(host, facts={**host.facts, **{f"file:{p}": Seen(file_fact(t)) for p, t in texts.items()}})
    return replace(host, facts={**host.facts, FACT: seen}) if seen is not None else host


def planned(seen: Observed[Json] | None, files: Mapping[str, bytes] = FILES, proxy: Proxy = PROXY) -> Plan:
    return make_plan(desired_of(proxy), LastApplied(), observed(seen, files))


def steps(plan: Plan) -> list[str]:
    return [step.fact for step in plan.steps]


def test_the_digest_is_what_the_guest_computes(tmp_path: Path) -> None:
    assert loaded_digest({}) == loaded_digest({"sites/a.conf": b""}) == ""
    files = {
        **FILES,
        "sites/a-b.conf": b"x",
        "sites/b.conf": b"",
        "certs.py": b"1",
        "sites/a.txt": b"2",
        "sites/x/y.conf": b"3",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    command = "LC_ALL=C; export LC_ALL; sha256sum nginx.conf sites/*.conf | sha256sum | cut -c 1-64"
    told = subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == loaded_digest(files)


def test_what_is_loaded_is_no_difference() -> None:
    plan = planned(Seen(LOADED))
    assert (plan.drifts, plan.is_empty, plan.refusals) == ((), True, ())


@pytest.mark.parametrize("seen", [OTHER, {"active": True, "loaded": ""}, {"active": False, "loaded": ""}])
def test_files_that_are_not_loaded_are_drift_and_are_loaded(seen: Json) -> None:
    plan = planned(Seen(seen))
    (step,) = plan.steps
    assert (step.fact, step.before, step.after, step.restart) == (FACT, seen, LOADED, True)
    assert (plan.least_deadline_s, planned(Seen(LOADED)).least_deadline_s) == (30, 0)
    fields = {drift.difference.field for drift in plan.drifts}
    assert fields == ({"loaded"} if dict(seen)["active"] else {"active", "loaded"})  # type: ignore[arg-type]


def test_a_changed_file_is_written_first_and_then_loaded() -> None:
    plan = planned(Seen(OTHER), {**FILES, "sites/www.example.org.conf": b"old\n"})
    assert steps(plan) == ["file:/etc/passerelle/guests/proxy/sites/www.example.org.conf", FACT]
    assert (
        plan.steps[-1].why
        == "web: nginx in guest proxy (bc:24:11:00:00:02) loads its files: sites/www.example.org.conf"
    )


def test_a_file_that_somebody_changed_is_loaded_again_though_nginx_says_it_has_the_right_one() -> None:
    plan = planned(Seen(LOADED), {**FILES, "nginx.conf": b"by hand\n"})
    assert steps(plan) == ["file:/etc/passerelle/guests/proxy/nginx.conf", FACT]
    assert (plan.steps[-1].before, plan.steps[-1].after, plan.steps[-1].restart) == (LOADED, LOADED, True)


def test_other_files_of_the_guest_are_not_loaded() -> None:
    more = {**FILES, "certificates.json": b"{}"}
    desired = desired_of(PROXY, files=more)
    plan = make_plan(desired, LastApplied(), observed(Seen(LOADED), watch=desired.watch))
    assert steps(plan) == ["file:/etc/passerelle/guests/proxy/certificates.json"]
    desired = desired_of(PROXY, files={**FILES, "units/nginx-passerelle.conf": b"[Service]\n"})
    plan = make_plan(desired, LastApplied(), observed(Seen(LOADED), watch=desired.watch))
    assert steps(plan) == ["file:/etc/passerelle/guests/proxy/units/nginx-passerelle.conf", FACT]


def test_a_guest_that_is_down_loads_its_files_when_it_starts() -> None:
    why = "guest proxy is not running"
    plan = planned(Unknown(why), {"nginx.conf": b"old\n"})
    assert plan.refusals == ()
    assert len(plan.steps) == 3 and FACT not in steps(plan)
    assert [d.difference.unknown for d in plan.drifts if d.difference.field == "loaded"] == [why]


def test_new_files_for_a_guest_that_does_not_answer_are_refused_and_nothing_else_is() -> None:
    why = Unknown("guest proxy is running and does not answer")
    assert planned(why).refusals == ()
    (refusal,) = planned(why, {"nginx.conf": b"old\n"}).refusals
    assert (refusal.rule, why.why in refusal.what) == ("unknown", True)


def test_a_guest_that_is_created_has_nothing_loaded_yet_and_one_that_is_missing_is_named() -> None:
    made = replace(PROXY, comes=True)
    plan = planned(Absent(), {}, made)
    assert FACT not in steps(plan) and plan.refusals == ()
    assert {d.difference.op for d in plan.drifts if d.difference.field == "loaded"} == {"missing"}
    (refusal,) = planned(Absent(), {}).refusals
    assert "the host has no guest proxy. Fix: create it, or write `create: {}` in the spec" in refusal.what


def test_what_left_the_spec_is_forgotten() -> None:
    base = LastApplied.from_json(desired_of(PROXY).as_json())
    for seen, wanted in ((LOADED, [FACT]), ({"active": True, "loaded": ""}, [])):
        plan = make_plan(Desired.of("pve1", []), base, observed(Seen(seen), {}))
        assert steps(plan) == wanted
        assert [step.after for step in plan.steps] == [{"loaded": ""}] * len(wanted)
    for away in (Absent(), Unknown("guest proxy is not running"), None):
        plan = make_plan(Desired.of("pve1", []), base, observed(away, {}))
        assert (steps(plan), plan.refusals) == ([], ())


def due(plan: Plan) -> dict[str, Any]:
    return {probe.asked: probe.is_due for probe in plan.proves if probe.kind == "tls"}


def test_sites_have_to_answer_once_they_are_loaded_and_as_they_did_in_any_other_change() -> None:
    assert due(planned(Seen(OTHER))) == {"a.example.org": True, "www.example.org": True}
    assert due(planned(Seen(LOADED))) == {"a.example.org": False, "www.example.org": False}
    assert due(planned(Unknown("guest proxy is not running"))) == {"a.example.org": False, "www.example.org": False}
    assert {(p.address, p.port) for p in planned(Seen(OTHER)).proves} == {("10.10.10.20", 443)}
    assert due(planned(Seen(OTHER), proxy=replace(PROXY, address=""))) == {}


def test_of_many_sites_those_that_change_are_probed() -> None:
    names = tuple(f"s{number:02}.example.org" for number in range(40))
    many = {"nginx.conf": b"main\n", **{f"sites/{name}.conf": b"x\n" for name in names}}
    proxy = replace(PROXY, files=many, names=names)
    had = {**many, "sites/s37.example.org.conf": b"old\n"}
    plan = make_plan(desired_of(proxy, files=many), LastApplied(), observed(Seen(OTHER), had))
    asked = [probe.asked for probe in plan.proves]
    assert asked[0] == "s37.example.org"
    assert len(asked) == len(set(asked)) < 20
