"""The way of the seed's end: sites published by a line in Git, with certificates from a real authority.

One host for all: a proxy guest that passerelle made, nginx and the certificates program in it, pebble outside, real
packets from outside, from a guest and from the host. Each test publishes names of its own.
"""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from service.errors import LabError
from service.lab import Lab
from service.lab.acme import CAA_IDENTITY, REFUSED
from service.lab.field import Field
from tests.e2e import web as parts
from tests.e2e.story import Story
from tests.e2e.web import Web

pytestmark = [pytest.mark.lab(minutes=4), pytest.mark.every_suite(full=True)]

FIRST_S, SECOND_S = 60, 25
DISK_MIB = 2048
FIRST = "www.example.org"
CTL = "198.18.0.10"


@pytest.fixture(scope="module")
def field(lab: Lab, suite: str) -> Iterator[Field]:
    """A service that resolves public names as the lab's internet has them, new for each Debian release."""
    with Field.open(lab, poll_s="1", observe_s="1", resolvers="198.18.0.80") as opened:
        yield opened


@pytest.fixture(scope="module")
def web(lab: Lab, field: Field, suite: str, tmp_path_factory: pytest.TempPathFactory) -> Web:
    """A host with a proxy guest and one site, from one commit with `web`."""
    try:
        host = lab.host("web")
        host.fresh(suite=suite)
    except LabError:
        host = lab.add_host("web", suite=suite, disk_mib=DISK_MIB)
    return parts.made(Story(host, field), tmp_path_factory.mktemp("web"), FIRST, FIRST_S)


def test_one_commit_publishes_a_site_and_it_answers_everywhere(web: Web) -> None:
    orders = web.acme.orders()
    web.add("first.example.org")
    assert web.wait_published("first.example.org", timeout_s=SECOND_S).body == CTL
    assert web.acme.orders() == orders + 1
    assert web.from_guest("first.example.org").status == 200
    assert web.from_host("first.example.org").status == 200
    assert web.outside("first.example.org", scheme="http").body == CTL
    seen = [line for line in web.upstream_log() if line[2] == "first.example.org"]
    assert ["8080", "/", "first.example.org", CTL, "https"] in seen
    state = web.wait_state("first.example.org", "published")
    assert state["certificate"]["kind"] == "issued"
    assert state["window"]["by"] == "ari"


def test_a_second_site_is_one_line_more_and_a_download_of_the_first_runs_on(web: Web) -> None:
    argv = parts.curl(f"https://{FIRST}/slow", str(web.root))
    argv = [*argv, "--resolve", f"{FIRST}:443:{web.host.address}", "--max-time", "300"]
    done: list[subprocess.CompletedProcess[str]] = []
    download = threading.Thread(target=lambda: done.append(web.lab.run_in("ctl", argv, timeout_s=300)))
    download.start()
    web.field.wait_for(lambda: [line for line in web.upstream_log() if line[1] == "/slow"], "the download runs")
    web.add("second.example.org", "{to: dev, port: 8090, redirect_https: true}")
    web.wait_published("second.example.org", timeout_s=SECOND_S)
    assert download.is_alive(), "it ended before the second site answered"
    assert web.outside("second.example.org", scheme="http").status == 301
    web.dev.exec(["touch", "/tmp/enough"], check=True)  # the rest of it comes at once
    download.join()
    assert parts.got(done[0]).status == 200
    assert len(parts.got(done[0]).body) == 4000


def test_an_upstream_that_is_off_or_not_there_answers_502_and_nginx_starts(web: Web) -> None:
    web.add("off.example.org", "{to: dev, port: 8099}")
    web.add("nobody.example.org", "{to: alpine, port: 8080}")
    for name in ("off.example.org", "nobody.example.org"):
        web.field.wait_for(lambda name=name: web.outside(name).status == 502, f"{name} answers 502", timeout_s=120)
        state = web.wait_state(name, "upstream-off")
        assert "502" in state["message"]
    web.in_proxy("systemctl", "restart", "nginx")
    assert web.outside(FIRST).status == 200
    assert web.outside("off.example.org").status == 502
    assert web.outside("nobody.example.org").status == 502


def test_no_order_is_wasted_on_a_name_that_leads_elsewhere_or_that_caa_forbids(web: Web) -> None:
    orders = web.acme.orders()
    web.acme.names("elsewhere.example.org", a=["198.18.0.80"])
    web.acme.names("forbidden.example.org", a=[web.host.address], caa=["other.example"])
    site = "{to: dev, port: 8080}"
    names = ("elsewhere.example.org", "forbidden.example.org", "unknown.example.org")
    web.sites |= dict.fromkeys(names, site)
    web.push("three names with something wrong")
    told = {
        name: web.field.wait_for(
            lambda name=name: (now := web.state(name)) and now["preflight"] and now, f"{name} was checked"
        )
        for name in names
    }
    failed = {name: [one for one in told[name]["preflight"]["checks"] if one["why"]] for name in names}
    assert [one["name"] for one in failed["elsewhere.example.org"]] == ["resolves"]
    assert "198.18.0.80" in failed["elsewhere.example.org"][0]["why"]
    assert [one["name"] for one in failed["unknown.example.org"]] == ["resolves"]
    assert [one["name"] for one in failed["forbidden.example.org"]] == ["caa"]
    assert "other.example" in failed["forbidden.example.org"][0]["why"]
    assert all("Fix: " in one["why"] for checks in failed.values() for one in checks)
    assert web.acme.orders() == orders
    web.acme.names("forbidden.example.org", a=[web.host.address], caa=[CAA_IDENTITY])
    web.field.post(f"hosts/{web.host.name}/reconcile")  # what a person corrected is checked at once
    web.wait_published("forbidden.example.org")


def test_no_order_is_made_while_port_80_is_closed_outside(web: Web) -> None:
    orders = web.acme.orders()
    with web.host.faults.tcp_reset(80):
        web.add("closed.example.org")
        state = web.field.wait_for(
            lambda: (now := web.state("closed.example.org")) and now["preflight"] and now, "it was checked"
        )
        failed = [one for one in state["preflight"]["checks"] if one["why"]]
        assert [one["name"] for one in failed] == ["port-80"]
        assert web.outside("closed.example.org").status == 0, "a certificate that is trusted?"
        assert web.acme.orders() == orders
        web.withdraw("closed.example.org")


Trouble = Callable[[Web], AbstractContextManager[object]]
LIMIT = "too many certificates (5) already issued for this exact set of names"


@pytest.mark.parametrize(
    ("name", "trouble", "said", "is_soon"),
    [
        ("down.example.org", lambda web: web.acme.down(), "refused", True),
        ("limited.example.org", lambda web: web.acme.rate_limited(LIMIT), LIMIT, False),
        (REFUSED, lambda _web: ExitStack(), "rejectedIdentifier", False),
    ],
    ids=["down", "rate limit", "refused"],
)
def test_an_authority_that_says_no_is_told_word_for_word_and_the_other_certificates_stay(
    web: Web, name: str, trouble: Trouble, said: str, is_soon: bool
) -> None:
    with trouble(web):
        web.add(name)

        def failed() -> dict[str, object]:
            now = web.state(name)
            attempt = now.get("last_attempt") or {}
            return now if attempt.get("outcome") == "failed" else {}

        state = web.field.wait_for(failed, f"the order for {name} failed", timeout_s=120)
        attempt = state["last_attempt"]
        assert said in f"{attempt['type']} {attempt['detail']}"
        assert state["weight"] == "trouble"
        assert web.outside(FIRST).status == 200
        timer = ("systemctl", "list-timers", "--no-legend", "run-*.timer")
        web.field.wait_for(lambda: not is_soon or web.in_proxy(*timer), "the next attempt has a timer")
        web.withdraw(name)  # its next attempt would be an order that another test counts


def test_a_proxy_that_is_made_again_has_its_certificates_and_orders_none(web: Web) -> None:
    orders, serial = web.acme.orders(), web.wait_state(FIRST, "published")["certificate"]["serial"]
    web.host.sh("lxc-stop -n proxy -k; lxc-destroy -n proxy", timeout_s=60)
    web.push("the proxy again")
    web.wait_published(FIRST, timeout_s=300)
    assert web.wait_state(FIRST, "published")["certificate"]["serial"] == serial
    assert web.acme.orders() == orders


def test_a_site_that_leaves_git_is_gone_and_the_others_stay(web: Web) -> None:
    web.add("gone.example.org")
    web.wait_published("gone.example.org")
    web.withdraw("gone.example.org")
    assert web.outside("gone.example.org").status == 0
    assert web.outside(FIRST).status == 200
    assert "gone.example.org" not in web.host.sh("ls /etc/passerelle/guests/proxy/sites")
    assert web.host.sh("ls /var/lib/passerelle-guests/proxy/live | grep -c gone.example.org").strip() == "1"
