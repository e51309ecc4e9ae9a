"""A webhook only nudges: a good one makes the service look at once, a bad one does nothing. Nobody polls meanwhile.

The host is under `sync: observe`, so that the same trial shows that nothing is ever written there.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from service.errors import LabError
from service.hooks.signature import sign
from service.lab import Lab
from service.lab.field import Field
from service.lab.waiting import grown_s
from service.reconcile.doorbell import GAP_S
from tests.e2e.evidence import evidence, transactions
from tests.e2e.repository import Repository
from tests.e2e.story import Story

pytestmark = pytest.mark.lab

BODY = b'{"ref": "refs/heads/main"}'


@pytest.fixture(scope="module")
def field(lab: Lab) -> Iterator[Field]:
    """A service that asks its source once an hour."""
    with Field.open(lab, poll_s="3600", observe_s="0.5") as opened:
        yield opened


@pytest.fixture(scope="module")
def secrets(field: Field) -> dict[str, bytes]:
    """The receivers' secrets by type."""
    made = {}
    for kind in ("github", "generic"):
        made[kind] = field.run("receiver", "add", kind, "--type", kind).stdout.strip()
    return made


@pytest.fixture(scope="module")
def watched(lab: Lab, field: Field, suite: str, secrets: dict[str, bytes]) -> Story:
    """A bare pve1 that is only looked at; its spec came by a webhook."""
    lab.host("pve1").fresh(suite=suite)
    lab.host("pve1").sh("apt-get update")  # under observe nobody renews lists, and without any no plan can be made
    story = Story(lab.host("pve1"), field)
    commit = story.push(story.spec(sync="observe"), "watch pve1")
    assert deliver(field, "generic", {"X-Signature": sign(secrets["generic"], BODY)}) == 202
    field.wait_for(lambda: story.status().get("observed_commit") == commit, "the push is picked up", timeout_s=30)
    return story


def age_s(at: str) -> float:
    """How long ago a time of the API was."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()


def deliver(field: Field, receiver: str, headers: dict[str, str | bytes], body: bytes = BODY) -> int:
    """POST a delivery; header values may be any bytes."""
    address = urlsplit(field.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=grown_s(20))
    try:
        connection.putrequest("POST", f"/hooks/{receiver}")
        connection.putheader("Content-Length", str(len(body)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_bad_signatures_are_turned_away_and_a_good_one_is_answered_by_a_look(
    watched: Story, secrets: dict[str, bytes]
) -> None:
    field, repository = watched.field, Repository(watched.field)
    # calls of the tests before may have a look that is due in some seconds
    field.wait_for(lambda: age_s(field.get("source")["fetched_at"]) > GAP_S + 2, "no look is due", timeout_s=60)
    commit = watched.push(watched.spec(sync="observe", cache_size=300), "not seen yet")
    good = sign(secrets["github"], BODY)
    wrong = sign(b"another secret", BODY)
    bad: list[tuple[str, dict[str, str | bytes]]] = [
        ("github", {}),
        ("github", {"X-Hub-Signature-256": wrong}),
        ("github", {"X-Hub-Signature-256": ""}),
        ("github", {"X-Hub-Signature-256": "sha256=é".encode()}),
        ("github", {"X-Hub-Signature-256": b"sha256=\xff\xfe" + b"0" * 62}),
        ("github", {"X-Hub-Signature-256": good.upper()}),
        ("github", {"X-Hub-Signature": good, "X-Signature": good}),
        ("generic", {"X-Signature": wrong}),
        ("generic", {"X-Signature": good}),
        ("generic", {"X-Signature": "sha256=é".encode("latin-1")}),
        ("nobody", {"X-Signature": good, "X-Hub-Signature-256": good}),
    ]
    before = evidence(watched.host)
    assert [deliver(field, receiver, headers) for receiver, headers in bad] == [401] * len(bad)
    assert deliver(field, "github", {"X-Hub-Signature-256": good}, BODY + b" ") == 401
    watched.wait_rounds()
    assert commit not in [r["commit"] for r in field.items("revisions?limit=20")]
    assert deliver(field, "github", {"X-Hub-Signature-256": good, "X-GitHub-Event": "push"}) == 202
    assert repository.revision(commit)["state"] == "accepted"
    field.wait_for(lambda: watched.status()["observed_commit"] == commit, "the host is compared with it", timeout_s=20)
    assert evidence(watched.host) == before


def test_what_a_delivery_says_is_not_believed(watched: Story, secrets: dict[str, bytes]) -> None:
    body = json.dumps({"ref": "refs/heads/main", "after": "0" * 40, "repository": {"url": "file:///etc"}}).encode()
    commit = watched.push(watched.spec(sync="observe", cache_size=301), "the truth is in the source")
    headers: dict[str, str | bytes] = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "one"}
    for branch, again in (("other", "other-branch"), ("main", "accepted"), ("main", "duplicate")):
        said = body.replace(b"main", branch.encode())
        signed = headers | {"X-Hub-Signature-256": sign(secrets["github"], said), "X-GitHub-Delivery": branch}
        assert deliver(watched.field, "github", signed, said) == 202
        newest = watched.field.get("deliveries?limit=1")["items"][0]
        assert (newest["outcome"], newest["repeats"]) == (again, 0) if again != "duplicate" else ("accepted", 1)
    assert Repository(watched.field).revision(commit)["state"] == "accepted"


def test_under_observe_everything_is_told_and_nothing_is_written(watched: Story) -> None:
    host, field = watched.host, watched.field
    before = evidence(host)
    watched.wait_rounds()
    now = watched.status()
    assert (now["sync"], now["phase"], now["reachability"]) == ("OutOfSync", "Idle", "Reachable")
    assert now["drift_items"] == len(watched.drift()) > 5
    plan = field.get("hosts/pve1/plan")
    status, problem = field.ask("POST", "applies", {"host": "pve1", "digest": plan["digest"]})
    assert (status, problem["code"]) == (422, "bad-input")
    assert "observe" in problem["detail"]
    told = field.run("apply", "pve1", "--yes", check=False)
    assert told.returncode == 1
    assert b"sync: observe" in told.stderr
    assert field.run("plan", "pve1", "--detailed-exitcode", check=False).returncode == 2
    host.sh("ip address add 10.98.0.1/24 dev enp1s0")
    seen = lambda: [d for d in watched.drift() if "10.98.0.1/24" in json.dumps(d["have"])]  # noqa: E731
    assert field.wait_for(seen, "what somebody does by hand is seen", timeout_s=20)
    watched.wait_rounds()
    assert "10.98.0.1/24" in watched.addresses("enp1s0")
    host.sh("ip address del 10.98.0.1/24 dev enp1s0")
    assert evidence(host) == before
    assert transactions(host) == []
    assert watched.applies() == []


def test_without_a_token_or_its_scope_nothing_is_answered_or_done(watched: Story) -> None:
    field = watched.field
    watched.wait_rounds()
    plan = field.get("hosts/pve1/plan")
    order = {"host": "pve1", "digest": plan["digest"]}
    reader = field.run("token", "create", "reader").stdout.decode().strip()
    elsewhere = field.run("token", "create", "other", "--scope", "apply", "--scope", "read", "--host", "pve9")
    admin = field.token
    asked = {
        "": (401, 401, 401),
        "psr_wrong": (401, 401, 401),
        admin[:-1] + ("a" if admin[-1] != "a" else "b"): (401, 401, 401),
        reader: (200, 403, 403),
        elsewhere.stdout.decode().strip(): (404, 404, 403),
    }
    try:
        for token, wanted in asked.items():
            field.token = token
            answers = (get_status(field, "hosts/pve1"), field.ask("POST", "applies", order)[0])
            assert (*answers, field.ask("POST", "hosts/pve1/reconcile", {})[0]) == wanted
            told = field.run("status", "pve1", check=False)
            assert (told.returncode == 0) == (wanted[0] == 200)
            assert token not in told.stderr.decode() or not token
    finally:
        field.token = admin
    assert watched.applies() == []


def get_status(field: Field, path: str) -> int:
    """The status of a GET, whatever it is."""
    try:
        return field.ask("GET", path)[0]
    except LabError as error:
        return int(str(error).split(": ")[1].split()[0])
