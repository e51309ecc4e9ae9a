"""Bad input in Git is reported with file, line and column. The host is not touched, and the last good revision stays in
force.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pytest
import yaml

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.evidence import evidence
from tests.e2e.repository import Repository, lint
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=3)

FILE = "hosts/pve1.yaml"
BY_HAND = cycle(
    (
        ("nft flush chain inet passerelle_nat postrouting", "nft list ruleset | grep -q masquerade"),
        ("sysctl -qw net.ipv4.ip_forward=0", "[ $(sysctl -n net.ipv4.ip_forward) = 1 ]"),
        ("ip address add 10.99.0.1/24 dev vmbr0", "! ip address show dev vmbr0 | grep -q 10.99.0.1"),
        ("ip link set vmbr0 down", "ip link show vmbr0 | grep -q '[<,]UP[,>]'"),
        ("chmod 666 /etc/dnsmasq.d/passerelle.conf", "[ $(stat -c %a /etc/dnsmasq.d/passerelle.conf) = 644 ]"),
        ("systemctl stop dnsmasq", "systemctl is-active --quiet dnsmasq"),
        ("ip route add default via 198.51.100.77 metric 500", "[ $(ip route show default | wc -l) = 1 ]"),
    )
)
"""What somebody does by hand, and the shell test that it is reverted. They take turns: a difference that comes back
again and again would be left alone for a while.
"""


@pytest.fixture(scope="module")
def field(lab: Lab) -> Iterator[Field]:
    """A service in a hurry: most of these tests wait for it to have looked and done nothing."""
    with Field.open(lab, poll_s="0.3", observe_s="0.4") as opened:
        yield opened


@pytest.fixture(scope="module")
def repository(field: Field, story: Story) -> Repository:
    """The repository, with more than one good commit."""
    story.apply(story.spec(), "as it is")
    return Repository(field)


@pytest.fixture
def good(story: Story, repository: Repository) -> Iterator[str]:
    """The revision in force, with the host as it says. Whatever the test does to the repository is fixed."""
    status = story.field.wait_for(lambda: synced(story), "pve1 is as the good revision says")
    commit = str(status["applied_commit"])
    assert repository.head == commit
    yield commit
    repository.restore(repository.accepted())


def synced(story: Story) -> dict[str, Any]:
    now = story.status()
    return now if now.get("sync") == "Synced" and now.get("phase") != "Running" else {}


def in_force(story: Story, commit: str) -> None:
    """The last good revision is still what the host is kept to: what somebody changes by hand is rolled back."""
    now = synced(story)
    assert now["observed_commit"] == now["applied_commit"] == commit
    do, undone = next(BY_HAND)
    story.host.sh(do)
    story.field.wait_for(
        lambda: story.host.exec(["sh", "-c", undone]).returncode == 0 and synced(story), f"undone: {do}", timeout_s=40
    )
    newest = story.applies()[0]
    assert (newest["commit"], newest["phase"], newest["trigger"]) == (commit, "Succeeded", "drift")


@dataclass(frozen=True)
class Bad:
    """One bad revision: pve1's file with something replaced, and the finding for it."""

    name: str
    old: str
    new: str
    rule: str
    path: str
    what: str


BAD = [
    Bad("unknown key", "stp: false", "stp: false, stpp: true", "unknown-key", "bridges.vmbr0.stpp", "unknown key"),
    Bad("a key of fleet.yaml", "packages:", "rollout: {}\npackages:", "unknown-key", "rollout", "unknown key"),
    Bad("wrong type", "forward_delay: 0", "forward_delay: soon", "type", "bridges.vmbr0.forward_delay", "is `soon`"),
    Bad("duplicate key", "packages:", "platform: debian\npackages:", "yaml.duplicate-key", "platform", "already on"),
    Bad(
        "gateway elsewhere",
        "gateway: 198.51.100.1",
        "gateway: 203.0.113.1",
        "interfaces.gateway-outside-subnet",
        "interfaces.enp1s0.gateway",
        "203.0.113.1",
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_spec_is_refused_with_its_place_and_nothing_is_written(
    story: Story, repository: Repository, good: str, bad: Bad
) -> None:
    before = evidence(story.host)
    text = story.spec().replace(bad.old, bad.new, 1)
    assert text != story.spec()
    commit = story.push(text, bad.name)
    revision = repository.revision(commit)
    assert revision["state"] == "refused"
    [found] = [f for f in revision["findings"] if f["severity"] == "error"]
    lines = zip(text.splitlines(), story.spec().splitlines(), strict=False)
    changed = next(number for number, (now, usual) in enumerate(lines, 1) if now != usual)
    assert (found["file"], found["line"], found["path"], found["rule"]) == (FILE, changed, bad.path, bad.rule)
    assert bad.what in found["what"]
    place = f"{FILE}:{found['line']}:{found['col']}: "
    assert place in revision["reason"]
    assert story.field.get("findings")["commit"] == commit
    code, said = lint(story.field, repository.work)
    assert code == 1
    assert place in said
    assert f"{commit[:10]} is refused: 1 error, the first: {place}" in story.field.run("status").stderr.decode()
    story.wait_rounds()
    assert evidence(story.host) == before
    in_force(story, good)


def test_an_alias_bomb_is_refused_at_once_and_nothing_is_written(
    story: Story, repository: Repository, good: str
) -> None:
    before = evidence(story.host)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    commit = story.push(story.spec() + "\n".join(lines) + "\n", "a bomb")
    revision = repository.revision(commit)
    assert revision["state"] == "refused"
    assert {f["rule"] for f in revision["findings"]} == {"yaml.anchor"}
    first = len(story.spec().splitlines()) + 1
    assert f"{FILE}:{first}:5: a0: the value has an anchor" in revision["reason"]
    story.wait_rounds()
    assert evidence(story.host) == before
    in_force(story, good)


def string_paths(schema: dict[str, Any]) -> set[tuple[str | int, ...]]:
    """Where the format takes a string: values, and `<key>` for the keys of mappings."""
    found: set[tuple[str | int, ...]] = set()

    def walk(node: dict[str, Any], path: tuple[str | int, ...]) -> None:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for choice in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
            walk(choice, path)
        if node.get("type") == "string" or "enum" in node:
            found.add(path)
        for key, value in node.get("properties", {}).items():
            walk(value, (*path, key))
        for value in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
            if isinstance(value, dict):
                found.add((*path, "<key>"))
                walk(value, (*path, "<any>"))
        if isinstance(node.get("items"), dict):
            walk(node["items"], (*path, 0))

    walk(schema, ())
    return found


def with_line_break(spec: Any, path: tuple[str | int, ...], value: str) -> Any:
    """The spec with this string at this path, every mapping and list on the way there."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if head == 0:
        held = spec[0] if isinstance(spec, list) and spec else None
        return [with_line_break(held, rest, value)]
    known = dict(spec) if isinstance(spec, dict) else {}
    if head == "<key>":
        return {**known, value: next(iter(known.values()), "x")}
    name = next(iter(known), "x") if head == "<any>" else str(head)
    return {**known, name: with_line_break(known.get(name), rest, value)}


def test_a_line_break_in_any_string_is_refused_and_nothing_is_written(
    story: Story, repository: Repository, good: str
) -> None:
    paths = sorted(string_paths(json.loads(story.field.run("schema").stdout)), key=str)
    assert len(paths) > 40
    breaks = ("\n", "\r", "\u2028", "\u0085")
    value = "vmbr0\tx\n\tpost-up touch /etc/owned"
    base = yaml.safe_load(story.spec())
    files = {
        f"hosts/h{n}.yaml": json.dumps(with_line_break(base, path, value)).encode() for n, path in enumerate(paths)
    }
    for n, char in enumerate(breaks):
        spec = with_line_break(base, ("dnsmasq", "domain"), f"x{char}y")
        files[f"hosts/b{n}.yaml"] = json.dumps(spec).encode()
        files[f"hosts/raw{n}.yaml"] = f'host: raw{n}\nplatform: "x{char}y"\n'.encode()
    before = evidence(story.host)
    commit = repository.push_bytes(files, "line breaks")
    revision = repository.revision(commit)
    assert revision["state"] == "refused"
    found = {f["file"]: f for f in revision["findings"] if re.search("contains|has a key that", f["what"])}
    folded = {"hosts/raw0.yaml", "hosts/raw1.yaml"}  # YAML itself makes a blank of these two
    assert set(found) >= set(files) - folded
    assert all(f["rule"] == "yaml.character" and f["line"] == 1 for name, f in found.items() if "/h" in name[5:])
    story.wait_rounds()
    assert evidence(story.host) == before
    in_force(story, good)


@pytest.mark.parametrize(
    ("path", "target"),
    [("hosts/evil.yaml", "/etc/passwd"), (FILE, "../fleet.yaml")],
)
def test_a_symbolic_link_in_the_repository_is_refused_and_not_followed(
    story: Story, repository: Repository, good: str, path: str, target: str
) -> None:
    before = evidence(story.host)
    revision = repository.revision(repository.push_link(path, target, "a link"))
    assert revision["state"] == "refused"
    [found] = [f for f in revision["findings"] if f["rule"] == "tree"]
    assert (found["file"], found["line"], found["col"], found["severity"]) == (path, 1, 1, "error")
    assert "a symbolic link" in found["what"]
    assert "root:" not in json.dumps(revision)
    code, said = lint(story.field, repository.work)
    assert code == 1
    assert f"{path}:1:1: a symbolic link" in said
    story.wait_rounds()
    assert evidence(story.host) == before
    in_force(story, good)


def test_a_tree_without_files_is_refused(story: Story, repository: Repository, good: str) -> None:
    before = evidence(story.host)
    revision = repository.revision(repository.push_nothing("remove all"))
    assert revision["state"] == "refused"
    found = {(f["file"], f["line"], f["col"], f["rule"]) for f in revision["findings"]}
    assert found == {("fleet.yaml", 1, 1, "fleet.missing"), ("hosts", 1, 1, "empty")}
    story.wait_rounds()
    assert evidence(story.host) == before
    in_force(story, good)


def test_a_good_commit_after_a_bad_one_is_followed(story: Story, repository: Repository, good: str) -> None:
    bad = story.push(story.spec().replace("madyanne.lan", "Madyanne .lan"), "a slip")
    assert repository.revision(bad)["state"] == "refused"
    mended = story.apply(story.spec(cache_size=700), "mended")
    assert repository.revision(mended)["state"] == "accepted"
    assert b"cache-size=700" in story.host.read("/etc/dnsmasq.d/passerelle.conf")
    story.apply(story.spec(), "as before")
    repository_is_at = repository.head
    assert story.status()["applied_commit"] == repository_is_at


def source_trouble(story: Story, repository: Repository, good: str, since: int, words: str) -> str:
    """The service says that the source is in trouble, once; the good revision continues; nothing is written."""
    before = evidence(story.host)
    said = repository.wait_for_event(since, "source.trouble", words)
    source = story.field.get("source")
    assert (source["message"], source["commit"]) == (said, good)
    assert source["state"] in ("rewound", "missing", "empty", "unreachable")
    story.wait_rounds()
    assert evidence(story.host) == before
    assert repository.accepted() == good
    in_force(story, good)
    assert repository.events(since, "source.trouble").count(said) == 1
    return said


def test_a_rewound_branch_is_not_followed(story: Story, repository: Repository, good: str) -> None:
    since = repository.newest_event()
    other = repository.rewind(1, "history, rewritten")
    said = source_trouble(story, repository, good, since, "history was rewritten")
    assert other[:10] in said
    assert good[:10] in said
    repository.restore(good)
    repository.wait_for_event(since, "source.well", "followed again")


def test_a_branch_moved_back_is_not_followed(story: Story, repository: Repository, good: str) -> None:
    since = repository.newest_event()
    repository.git("push", "--quiet", "--force", "origin", "HEAD~1:main")
    source_trouble(story, repository, good, since, "history was rewritten")


def test_a_deleted_branch_changes_nothing(story: Story, repository: Repository, good: str) -> None:
    since = repository.newest_event()
    repository.git("push", "--quiet", "origin", "HEAD:other")
    repository.drop_branch()
    source_trouble(
        story, repository, good, since, "the branch main is gone; there is other; the last good revision stays in force"
    )


def test_an_emptied_repository_changes_nothing(story: Story, repository: Repository, good: str) -> None:
    since = repository.newest_event()
    repository.drop_branch()
    source_trouble(
        story, repository, good, since, "the repository has no branch; the last good revision stays in force"
    )
    assert story.status()["observed_commit"] == good


def test_a_repository_that_is_gone_changes_nothing_even_over_a_restart(
    story: Story, repository: Repository, good: str
) -> None:
    since = repository.newest_event()
    away = repository.bare.with_name("away.git")
    repository.bare.rename(away)
    try:
        # A round that was asking when it went may still say how its fetch ended; what stays is this.
        source_trouble(story, repository, good, since, "does not answer")
        again = repository.newest_event()
        story.field.stop()
        story.field.start()
        story.field.wait_for(story.field.is_up, "the service answers")
        repository.wait_for_event(again, "source.trouble", "the source cannot be fetched")
        story.field.wait_for(lambda: synced(story), "pve1 is looked at")
        story.wait_rounds()
        in_force(story, good)
        assert repository.events(again, "source.well") == []
    finally:
        away.rename(repository.bare)
    repository.wait_for_event(since, "source.well", "followed again")


def test_an_apply_of_a_plan_that_is_no_longer_the_plan_is_refused(
    story: Story, repository: Repository, good: str
) -> None:
    old = story.push(story.spec(sync="approve", cache_size=800), "wait for approval")
    story.wait_status(phase="WaitingForApproval", observed_commit=old)
    agreed = story.field.get("hosts/pve1/plan")
    new = story.push(story.spec(sync="approve", cache_size=801), "something else")
    story.wait_status(phase="WaitingForApproval", observed_commit=new)
    before = evidence(story.host)
    for named in ({"digest": agreed["digest"]}, {"plan_id": agreed["id"]}):
        status, problem = story.field.ask("POST", "applies", {"host": "pve1", **named})
        assert (status, problem["code"]) == (409, "plan-stale")
    assert story.field.run("apply", "pve1", "--digest", agreed["digest"], check=False).returncode == 5
    story.wait_rounds()
    assert evidence(story.host) == before
    assert story.applies()[0]["commit"] not in (old, new)
    assert repository.accepted() == new != good
    story.apply(story.spec(), "as usual")
