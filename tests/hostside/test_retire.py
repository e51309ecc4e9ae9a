"""passerelle leaves a host: its state, units and key go, the network stays. On a scratch root, by the real file."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from service.lab.waiting import grown_s
from tests.hostside.scratch import CONF, ID, NEXT_ID, NFT_FILE, Answer, Scratch

pytestmark = pytest.mark.host

SERVICE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPJ0d4IQ8PmyrgdZoD3WiFkvdLBD6ZfSzLw0mZ2mJ0N"
PERSON = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT me@laptop\n"
UNITS = "etc/systemd/system"
KEYS = "root/.ssh/authorized_keys"
STATE = "var/lib/passerelle"


def keys(host: Scratch, *lines: str) -> Path:
    """The authorized_keys of root."""
    (host.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/sh\n")
    file = host.root / KEYS
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(lines))
    file.chmod(0o640)
    return file


def retire(host: Scratch, *, user: str = "root", key: str = SERVICE) -> Answer:
    return host.call("retire", json.dumps({"user": user, "key": key}))


def confirmed(host: Scratch) -> Scratch:
    host.begin(environment={"SSH_CONNECTION": "198.18.0.10 50001 198.51.100.11 22"})
    answer = host.call("confirm", ID, environment={"SSH_CONNECTION": "198.18.0.10 50002 198.51.100.11 22"})
    assert answer["state"] == "confirmed"
    return host


def network(host: Scratch) -> Answer:
    """Everything that makes the host's network, in the kernel, in its files and in its units."""
    state = host.state()
    files = {name: file for name, file in state["files"].items() if not name.startswith((UNITS, "root", "etc/passwd"))}
    units = {name: unit for name, unit in state["units"].items() if not name.startswith("passerelle-")}
    return {**state, "files": files, "units": units}


def test_state_units_and_key_go_and_the_network_stays(scratch: Scratch) -> None:
    file = keys(scratch, PERSON, f'from="192.0.2.1",restrict {SERVICE} passerelle\n')
    before = network(confirmed(scratch))
    assert (scratch.root / UNITS / "passerelle-recover.service").exists()
    answer = retire(scratch)
    assert (answer["state"], answer["key_removed"], answer["key_kept"]) == ("retired", True, "")
    assert answer["stays"] == sorted([CONF, NFT_FILE, "/etc/passerelle/guests", "/etc/sysctl.d/new/50-passerelle.conf"])
    assert not (scratch.root / STATE).exists()
    assert [each.name for each in (scratch.root / "var/lib").iterdir()] == ["lxc"]
    assert list((scratch.root / UNITS).rglob("passerelle-*")) == []
    assert ["daemon-reload"] in scratch.calls("systemctl")
    assert (file.read_text(), file.stat().st_mode & 0o777) == (PERSON, 0o640)
    assert network(scratch) == before


def test_nothing_is_removed_while_a_change_waits(applied: Scratch) -> None:
    file = keys(applied, PERSON, SERVICE)
    answer = retire(applied)
    assert (answer["state"], answer["reason"]) == ("refused", "armed")
    assert ID in answer["error"]
    assert applied.armed()
    assert (applied.root / UNITS / "passerelle-recover.service").exists()
    assert SERVICE in file.read_text()
    assert applied.call("rollback", ID)["state"] == "rolled_back"


def test_nothing_is_removed_from_a_host_in_quarantine(scratch: Scratch) -> None:
    file = keys(scratch, PERSON, SERVICE)
    document = scratch.document()
    document["steps"] = [step for step in document["steps"] if step["fact"] == f"file:{CONF}"]
    scratch.begin({**document, "keep": []})
    (scratch.root / CONF[1:]).unlink()
    (scratch.root / CONF[1:]).mkdir()
    assert scratch.call("rollback", ID)["state"] == "rollback_failed"
    assert retire(scratch)["reason"] == "quarantined"
    assert scratch.journal()["state"] == "rollback_failed"
    assert SERVICE in file.read_text()


def test_a_host_that_never_had_a_change_is_retired_and_so_is_one_that_was(scratch: Scratch) -> None:
    keys(scratch, PERSON, f"{SERVICE}\n")
    assert retire(scratch)["key_removed"] is True
    again = retire(scratch)
    assert (again["state"], again["key_kept"]) == ("retired", "/root/.ssh/authorized_keys does not have it")
    assert not (scratch.root / STATE).exists()


def test_what_a_killed_run_left_is_finished(scratch: Scratch) -> None:
    keys(scratch, PERSON, SERVICE)
    confirmed(scratch)
    shutil.copytree(scratch.root / STATE, scratch.root / f"{STATE}.retired")
    assert retire(scratch)["state"] == "retired"
    assert [each.name for each in (scratch.root / "var/lib").iterdir()] == ["lxc"]


def test_after_it_the_host_can_be_managed_again(scratch: Scratch) -> None:
    keys(scratch, PERSON, SERVICE)
    confirmed(scratch)
    retire(scratch)
    assert scratch.begin(scratch.drill(NEXT_ID))["state"] == "applied"
    assert (scratch.root / UNITS / "passerelle-recover.service").exists()


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (
            (f"{SERVICE} passerelle\n",),
            "it is the only key in /root/.ssh/authorized_keys, and nobody else might get in",
        ),
        (
            (f"# {PERSON}", "\n", SERVICE),
            "it is the only key in /root/.ssh/authorized_keys, and nobody else might get in",
        ),
        ((PERSON, f"# {SERVICE}\n"), "/root/.ssh/authorized_keys does not have it"),
        ((PERSON, f"{SERVICE[:-1]}Q\n"), "/root/.ssh/authorized_keys does not have it"),
    ],
    ids=["the only key", "the only key beside comments", "a comment", "another key"],
)
def test_a_key_that_cannot_go_stays_and_the_answer_says_why(
    scratch: Scratch, lines: tuple[str, ...], kept: str
) -> None:
    file = keys(scratch, *lines)
    answer = retire(scratch)
    assert (answer["state"], answer["key_removed"], answer["key_kept"]) == ("retired", False, kept)
    assert file.read_text() == "".join(lines)


def test_a_linked_file_of_keys_is_not_touched(scratch: Scratch) -> None:
    file = keys(scratch, PERSON, SERVICE)
    shared = scratch.root / "etc/pve/priv/authorized_keys"
    shared.parent.mkdir(parents=True)
    file.rename(shared)
    file.symlink_to(shared)
    kept = retire(scratch)["key_kept"]
    assert kept == "/root/.ssh/authorized_keys is a link, and other hosts may share its target"
    assert SERVICE in shared.read_text()


@pytest.mark.parametrize(
    ("user", "key", "kept"),
    [
        ("root", "", "it was to be kept"),
        ("nobody", SERVICE, "nobody is not in /etc/passwd"),
        ("admin", SERVICE, "/home/admin/.ssh/authorized_keys does not exist"),
    ],
)
def test_the_key_of_another_user_or_no_key_is_left_alone(scratch: Scratch, user: str, key: str, kept: str) -> None:
    file = keys(scratch, PERSON, SERVICE)
    assert retire(scratch, user=user, key=key)["key_kept"] == kept
    assert SERVICE in file.read_text()


@pytest.mark.parametrize(
    "order", ["", "{", "[]", '{"user": "root"}', '{"user": "../x", "key": ""}', '{"user": "root", "key": "a\\nb"}']
)
def test_a_bad_order_removes_nothing(scratch: Scratch, order: str) -> None:
    confirmed(scratch)
    assert scratch.call("retire", order, code=2)["state"] == "invalid"
    assert (scratch.root / STATE).exists()


def test_it_runs_from_memory_so_that_nothing_of_it_is_left(scratch: Scratch) -> None:
    from service.apply.switch import UNKEPT

    keys(scratch, PERSON, SERVICE)
    order = json.dumps({"user": "root", "key": SERVICE})
    options = ["--root", str(scratch.root), "--bin", str(scratch.bin)]
    ran = subprocess.run(
        ["python3", "-I", "-S", "-c", UNKEPT, *options, "retire", order],
        input=scratch.file.read_bytes(), capture_output=True, timeout=grown_s(60),
    )  # fmt: skip
    assert json.loads(ran.stdout.splitlines()[-1])["state"] == "retired", ran.stderr
    assert not (scratch.root / STATE).exists()
