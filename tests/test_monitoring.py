"""deploy/monitoring: alert rules and the dashboard, with Debian's Prometheus, over the numbers of a running service."""

import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from service.api.metrics import RESULTS, Metrics
from service.api.notice_numbers import NOTICE_RESULTS
from service.history import open_history
from service.lab.waiting import grown_s, wait_for
from service.model.axes import Health, Phase, Reachability, SyncState
from service.model.rollouts import RolloutState, Stand
from service.model.sources import SourceState
from tests.api.test_api_metrics import promtool
from tests.cli.words import commands
from tests.documents import TOP
from tests.git.forge import Forge
from tests.jobs.answering import free_port
from tests.laws.specs import head
from tests.served import own_network

FOLDER = TOP / "deploy" / "monitoring"
RULES = FOLDER / "passerelle-rules.yml"
RULES_TEST = FOLDER / "passerelle-rules-test.yml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]  # fmt: skip
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "passerelle-dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
EXPRESSIONS = [
    *(alert["expr"] for alert in ALERTS),
    *(target["expr"] for panel in PANELS for target in panel.get("targets", ())),
]
WORDS: dict[str, tuple[str, ...]] = {
    "sync": get_args(SyncState),
    "health": get_args(Health),
    "reachability": get_args(Reachability),
    "phase": get_args(Phase),
    "result": tuple(RESULTS.values()),
    "passerelle_notices_total": NOTICE_RESULTS,
    "passerelle_source_state": get_args(SourceState),
    "passerelle_rollout_state": get_args(RolloutState),
    "passerelle_rollout_hosts": get_args(Stand),
    "passerelle_pool_addresses": ("leased", "reserved", "free"),
}
"""What a label may be, by its name; of the label `state` by its number."""


def families(page: str) -> dict[str, str]:
    """Each family of a page, with its type."""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))


def named(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The numbers that an expression names, each with its (label, operator, value)."""
    found = re.findall(r"\b(passerelle_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', labels)) for name, labels in found]


def labels_of_pages() -> dict[str, list[str]]:
    """The labels of each number, as the reference has them."""
    page = (TOP / "deploy" / "docs" / "service.md").read_text()
    rows = re.findall(r"^\| `(passerelle_\w+)(?:\{([^}]*)\})?`", page, re.MULTILINE)
    return {name: [label for label in labels.split(",") if label] for name, labels in rows}


def test_every_number_that_is_named_is_one_of_the_service(tmp_path: Path) -> None:
    with open_history(tmp_path / "passerelle.sqlite") as history:
        metrics = Metrics()
        metrics.kept(history.store.kept(), {})
        real = families(metrics.page(history.queries.counts()).decode())
    labels = labels_of_pages()
    assert len(EXPRESSIONS) > 40
    for expression in EXPRESSIONS:
        assert named(expression), expression
        for name, matchers in named(expression):
            family = name.removesuffix("_bucket") if "le" in expression else name
            assert family in real, f"{name} in {expression}"
            for label, operator, value in matchers:
                assert label in labels[family], f"{label} in {expression}"
                allowed = WORDS.get(name) or WORDS.get(label)
                if value != "$host":
                    assert allowed is not None, expression
                    assert set(value.split("|") if "~" in operator else [value]) <= set(allowed), expression


def test_every_number_is_in_an_alert_or_on_the_dashboard_but_for_these() -> None:
    """So that a new one is thought of."""
    shown = {name.removesuffix("_bucket") for one in EXPRESSIONS for name, _ in named(one)}
    left = labels_of_pages().keys() - shown
    assert left == {
        "passerelle_host_compared", "passerelle_host_last_proven_rollback_timestamp_seconds",
        "passerelle_oldest_record_timestamp_seconds", "passerelle_site_failed_orders",
        "passerelle_site_renewal_window_start_timestamp_seconds", "passerelle_source_refused",
    }  # fmt: skip


def test_each_alert_says_what_it_is_and_what_to_do() -> None:
    known = {words[0] for words in commands()}
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("info", "warning", "critical")
        assert re.search(r"\bFix: .+", alert["annotations"]["description"]), alert["alert"]
        named_commands = set(re.findall(r"\bpasserelle ([a-z]+) ", alert["annotations"]["description"] + " "))
        assert named_commands - {"leaves", "does", "shows"} <= known, alert["alert"]
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)


def test_prometheus_takes_the_rules_and_each_alert_fires_on_what_it_is_for() -> None:
    cases: list[dict[str, Any]] = yaml.safe_load(RULES_TEST.read_text())["tests"]
    fired = {(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]}
    assert fired == {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}
    assert "SUCCESS" in checked("check", "rules", str(RULES))
    assert "SUCCESS" in checked("test", "rules", str(RULES_TEST))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_a_rule_that_is_wrong_is_found(alert: dict[str, Any], tmp_path: Path) -> None:
    """The cases of an alert notice it where it fires too soon, always or never. Only these cases and this rule: all of
    them take promtool ten seconds of CPU."""
    cases = yaml.safe_load(RULES_TEST.read_text())
    cases["tests"] = [
        case | {"alert_rule_test": of_it}
        for case in cases["tests"]
        if (of_it := [one for one in case["alert_rule_test"] if one["alertname"] == alert["alert"]])
    ]
    (tmp_path / RULES_TEST.name).write_text(yaml.safe_dump(cases))
    always = "max by (host, site, state, task, bridge, from) ({__name__=~'passerelle_.*'}) or vector(1)"
    tried = {"as it is": alert, "always": alert | {"expr": always}, "never": alert | {"expr": "vector(1) > 1"}}
    if "for" in alert:
        tried["too soon"] = {key: value for key, value in alert.items() if key != "for"}
    found = {}
    for how, rule in tried.items():
        (tmp_path / RULES.name).write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [rule]}]}))
        words = ["promtool", "test", "rules", str(tmp_path / RULES_TEST.name)]
        found[how] = subprocess.run(words, capture_output=True, timeout=grown_s(60), check=False).returncode == 0
    assert found == {how: how == "as it is" for how in tried}


def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    expressions = [one["expr"] for panel in PANELS for one in panel.get("targets", ())]
    filled = [one.replace("$host", ".*").replace("$__rate_interval", "5m") for one in expressions]
    assert not any("$" in one for one in filled)
    rules = [{"record": f"panel_{number}", "expr": one} for number, one in enumerate(filled)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert "SUCCESS" in checked("check", "rules", str(tmp_path / "rules.yml"))


def test_the_panels_lie_beside_each_other_and_each_has_a_number() -> None:
    assert [panel["id"] for panel in PANELS] == sorted({panel["id"] for panel in PANELS})
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(PANELS))) == variables


def checked(*words: str) -> str:
    """What promtool prints about something that is good."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=grown_s(60), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_prometheus_reads_a_running_service(tmp_path: Path) -> None:
    """With the configuration that is shipped, but for the addresses and the time between two reads. It happens in a
    thread, because a thread has a network of its own, and all that it starts."""
    with ThreadPoolExecutor(1) as alone:
        alone.submit(own_network).result()
        alone.submit(reads_a_running_service, tmp_path).result()


def reads_a_running_service(room: Path) -> None:
    with served(room) as (port, token):
        page = read(f"http://127.0.0.1:{port}/metrics", token)
        assert promtool(page) == ""
        assert {name.removesuffix("_bucket") for one in EXPRESSIONS for name, _ in named(one)} <= families(page).keys()
        with scraped(room, port, token) as prometheus:
            wait_for(lambda: asked(prometheus, "passerelle_build_info"), "the first numbers", 60)
            assert [one["value"][1] for one in asked(prometheus, 'up{job="passerelle"}')] == ["1"]
            assert [one["metric"]["host"] for one in asked(prometheus, "passerelle_host_state")] == ["pve1"]
            groups = json.loads(read(f"{prometheus}/api/v1/rules"))["data"]["groups"]
            assert sorted(rule["name"] for group in groups for rule in group["rules"]) == sorted(
                alert["alert"] for alert in ALERTS
            )
            assert token not in read(f"{prometheus}/api/v1/status/config")


def read(url: str, token: str = "") -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=grown_s(10)) as answer:
        return str(answer.read().decode())


def asked(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """What an expression gives now; nothing where Prometheus does not answer yet."""
    try:
        answer = read(f"{prometheus}/api/v1/query?query={urllib.parse.quote(expression)}")
    except OSError:
        return []
    return list(json.loads(answer)["data"]["result"])


@contextmanager
def served(room: Path) -> Iterator[tuple[int, str]]:
    """A service with one host that nobody answers for: its port, and a token of scope `read`."""
    forge = Forge(room / "fleet.git")
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe")})
    state, port = room / "state", free_port()
    state.mkdir(mode=0o700)
    with open_history(state / "passerelle.sqlite") as history:
        one = history.store.create_token(
            "prometheus", scopes=["read"], hosts=["*"], lifetime=timedelta(days=1), by="ann", at=datetime.now(UTC)
        )
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(room), "PASSERELLE_STATE_DIR": str(state),
        "PASSERELLE_SOURCE": str(forge.path), "PASSERELLE_PORT": str(port),
    }  # fmt: skip
    with (room / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, cwd=TOP, stdout=log, stderr=log
        )
    try:
        wait_for(lambda: has_looked(port, str(one)), "the host was tried", 90)
        yield port, str(one)
    finally:
        process.terminate()
        assert process.wait(grown_s(60)) == 0, (room / "log").read_text()[-3000:]


def has_looked(port: int, token: str) -> bool:
    try:
        return 'reachability="Unreachable"' in read(f"http://127.0.0.1:{port}/metrics", token)
    except OSError:
        return False


@contextmanager
def scraped(room: Path, port: int, token: str) -> Iterator[str]:
    """A Prometheus that reads the service: its address."""
    file = room / "passerelle.token"
    file.write_text(f"{token}\n")
    file.chmod(0o600)
    config = (FOLDER / "prometheus.yml").read_text()
    for old, new in (
        ("30s", "1s"), ("127.0.0.1:8765", f"127.0.0.1:{port}"), ("/etc/prometheus/passerelle.token", str(file)),
        ("passerelle-rules.yml", str(RULES)),
    ):  # fmt: skip
        assert old in config
        config = config.replace(old, new)
    (room / "prometheus.yml").write_text(config)
    assert "SUCCESS" in checked("check", "config", str(room / "prometheus.yml"))
    listen = f"127.0.0.1:{free_port()}"
    words = [
        f"--config.file={room}/prometheus.yml",
        f"--storage.tsdb.path={room}/data",
        f"--web.listen-address={listen}",
    ]
    with (room / "log-prometheus").open("wb") as log:
        process = subprocess.Popen(["prometheus", *words], stdout=log, stderr=log, cwd=room)
    try:
        yield f"http://{listen}"
    finally:
        process.terminate()
        assert process.wait(grown_s(60)) == 0, (room / "log-prometheus").read_text()[-3000:]
