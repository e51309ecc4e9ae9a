"""Packages in a guest: what is missing is installed, what is unknown is not, what left the spec stays and is named."""

from dataclasses import replace

from service.model.observed import HostObserved, Watch
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.guest_packages import GuestPackages
from tests.laws.host import bare_host

MAC = "bc:24:11:00:00:02"
WANTED = GuestPackages("web", "proxy", MAC, ("nginx", "openssl"))
DESIRED = Desired.of("pve1", [WANTED])
RUNNING: Observed[Json] = Seen({"running": True})


def observed(*, nginx: Observed[str], openssl: Observed[str], guest: Observed[Json] = RUNNING) -> HostObserved:
    host = bare_host(Watch())
    packages = {"proxy/nginx": nginx, "proxy/openssl": openssl, "nginx": Absent()}
    return replace(host, packages=packages, facts={**host.facts, "guest:proxy": guest})


def planned(*, nginx: Observed[str], openssl: Observed[str], guest: Observed[Json] = RUNNING) -> Plan:
    return make_plan(DESIRED, LastApplied(), observed(nginx=nginx, openssl=openssl, guest=guest))


def test_what_a_guest_lacks_is_installed_and_the_plan_says_so() -> None:
    assert DESIRED.watch.inside == {("proxy", "nginx"), ("proxy", "openssl")}
    there = planned(nginx=Seen("1.22"), openssl=Seen("3"))
    assert (there.is_empty, there.drifts) == (True, ())
    plan = planned(nginx=Absent(), openssl=Seen("3"))
    (change,) = plan.guests
    assert (change.name, change.action, change.starts) == ("proxy", "install", False)
    assert change.what == "install nginx in guest proxy"
    assert change.order == {"guest": f"proxy@{MAC}", "install": ["nginx"]}
    assert (plan.steps, plan.packages) == ((), ())
    assert plan.digest != there.digest != planned(nginx=Absent(), openssl=Absent()).digest != plan.digest


def test_of_a_guest_that_is_down_its_proxy_says_so() -> None:
    down = Unknown("guest proxy is not running")
    plan = planned(nginx=down, openssl=down)
    assert (plan.is_empty, plan.drifts) == (True, ())


def test_nothing_is_installed_in_a_guest_that_does_not_answer_and_nothing_else_waits() -> None:
    why = "guest proxy is running and does not answer"
    plan = planned(nginx=Unknown(why), openssl=Unknown(why))
    assert (plan.guests, plan.refusals) == ((), ())
    assert {drift.difference.unknown for drift in plan.drifts} == {why}
    half = planned(nginx=Absent(), openssl=Unknown(why))
    assert [change.order["install"] for change in half.guests] == [["nginx"]]


def test_a_guest_that_is_created_has_them_already() -> None:
    plan = planned(nginx=Absent(), openssl=Absent(), guest=Absent())
    assert (plan.is_empty, plan.drifts) == (True, ())


def test_what_left_the_spec_stays_and_is_named() -> None:
    base = LastApplied.from_json(DESIRED.as_json())
    plan = make_plan(Desired.of("pve1", []), base, observed(nginx=Seen("1.22"), openssl=Absent()))
    assert plan.is_empty
    assert [(left.fact, left.what) for left in plan.left_behind] == [
        ("package:proxy/nginx", "package nginx stays installed in guest proxy")
    ]
