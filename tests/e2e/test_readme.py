"""The commands of the README and the pages next to it, run as they are there, against a real host and service."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.lab.field import Field
from service.lab.waiting import grown_s
from tests.documents import run_by
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)


@pytest.fixture
def my_repository(story: Story, tmp_path: Path) -> Path:
    """The host's spec as the folder in the commands, and the lab's key as the key."""
    folder = tmp_path / "my-repository"
    (folder / "hosts").mkdir(parents=True)
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    (folder / "hosts" / "pve1.yaml").write_text(story.spec())
    (tmp_path / "my-key").symlink_to(story.host.lab.key)
    return tmp_path


def in_ctl(story: Story, words: list[str], at: Path) -> "subprocess.CompletedProcess[str]":
    """A command where the hosts can be reached: in the controller's network."""
    argv = ["nsenter", f"--net={story.host.lab.netns('ctl')}", "--", sys.executable, "-m", "service", *words]
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]),
        "PASSERELLE_STATE_DIR": str(at / "none"), "PASSERELLE_SSH_KEY": str(story.host.lab.key),
    }  # fmt: skip
    return subprocess.run(argv, cwd=at, env=environment, capture_output=True, text=True, timeout=grown_s(60))


def run_all(field: Field, test: str) -> list[str]:
    """Run every command that a test has to run; each has to end well. What they printed."""
    return [field.run(*command.words).stdout.decode() for command in run_by(test)]


def test_a_plan_from_a_folder_looks_at_the_host(story: Story, my_repository: Path) -> None:
    story.apply(story.spec(), "as usual")
    (command,) = run_by("test_a_plan_from_a_folder_looks_at_the_host")
    done = in_ctl(story, command.words, my_repository)
    assert (done.returncode, done.stdout) == (0, "pve1: no changes\n"), done.stderr
    spec = my_repository / "my-repository" / "hosts" / "pve1.yaml"
    spec.write_text(story.spec(cache_size=700))
    done = in_ctl(story, [*command.words, "--detailed-exitcode"], my_repository)
    assert done.returncode == 2, done.stderr
    assert "cache-size" in done.stdout
    assert "cache-size=700" not in story.host.read("/etc/dnsmasq.d/passerelle.conf").decode()


def test_doctor_looks_at_the_host(story: Story, my_repository: Path) -> None:
    (command,) = run_by("test_doctor_looks_at_the_host")
    done = in_ctl(story, command.words, my_repository)
    assert "reached, and its answer was read" in done.stdout, done.stderr
    assert "reports changes of network, rules, files, units on its own" in done.stdout


def test_doctor_looks_at_the_machine(field: Field) -> None:
    (said,) = run_all(field, "test_doctor_looks_at_the_machine")
    assert str(field.repository) in said


def test_the_commands_beside_the_service(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    story.guests["dev"].wait_for_address()
    commit = story.push(story.spec(sync="approve", cache_size=800), "wait for me")
    story.field.wait_for(
        lambda: story.status().get("phase") == "WaitingForApproval" and story.status().get("observed_commit") == commit,
        "the plan waits",
    )
    story.field.wait_for(story.drift, "what differs is told")
    said: dict[str, str] = {}
    printed = run_all(story.field, "test_the_commands_beside_the_service")
    for command, text in zip(run_by("test_the_commands_beside_the_service"), printed, strict=True):
        said[command.words[0]] = said.get(command.words[0], "") + text
    assert set(said) == {"status", "drift", "plan", "apply", "leases", "history", "look"}
    assert "WaitingForApproval" in said["status"]
    assert "cache-size" in said["drift"]
    assert "cache-size" in said["plan"]
    assert "dev" in said["leases"]
    assert "wait for me" in said["history"]
    assert "cache-size=800" in story.host.read("/etc/dnsmasq.d/passerelle.conf").decode()


def test_questions_about_packets(field: Field, story: Story) -> None:
    (said,) = run_all(field, "test_questions_about_packets")
    assert said == "ACCEPT - the spec has no `firewall` for this host\n"


def test_receivers_come_and_go(field: Field) -> None:
    secret, listed, calls, rotated, *rest = run_all(field, "test_receivers_come_and_go")
    assert len(secret.strip()) > 20
    assert len(rotated.strip()) > 20
    assert rotated != secret
    assert "forge" in listed
    assert [calls, *rest] == [""] * 4
    assert "forge" not in field.run("receiver", "list", "-o", "json").stdout.decode()


def test_the_api_answers_curl(story: Story) -> None:
    environment = {
        "PATH": os.environ["PATH"], "PASSERELLE_URL": story.field.url, "PASSERELLE_TOKEN": story.field.token,
    }  # fmt: skip
    answers = []
    for command in run_by("test_the_api_answers_curl"):
        done = subprocess.run(
            ["sh", "-c", command.text], env=environment, capture_output=True, text=True, timeout=grown_s(60)
        )
        assert done.returncode == 0, done.stderr
        answers.append(json.loads(done.stdout))
    traced, hosts, drift, asked = answers
    assert traced["verdict"] == "ACCEPT"
    assert [host["host"] for host in hosts["items"]] == ["pve1"]
    assert set(drift) >= {"items", "next_cursor"}
    assert asked["host"] == "pve1"


def test_the_journal_at_the_console(story: Story) -> None:
    (command,) = run_by("test_the_journal_at_the_console")
    status = json.loads(story.host.sh(command.text).splitlines()[-1])
    assert {journal["state"] for journal in status["journals"]} == {"confirmed"}
    assert status["armed"] is None
    assert status["quarantined"] is None


def test_a_lab_from_up_to_down() -> None:
    name = f"docs-{os.getpid()}"
    said = {}
    try:
        for command in run_by("test_a_lab_from_up_to_down"):
            words = [name if word == "trial" else word for word in command.words]
            argv = [sys.executable, "-m", "service", *words]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=grown_s(300))
            assert done.returncode == 0, f"{command}: {done.stderr}"
            said[" ".join(command.words[1:])] = done.stdout + done.stderr
    finally:
        subprocess.run(
            [sys.executable, "-m", "service", "lab", "down", "-n", name], capture_output=True, timeout=grown_s(100)
        )
    assert {words.split()[0] for words in said} == {"image", "up", "status", "exec", "down"}
    assert "198.51.100.11/24" in said["exec -n trial pve1 -- ip -br address"]
    assert "198.51.100.11 ssh-ed25519 " in said["exec -n trial --netns ctl -- ssh-keyscan -t ed25519 198.51.100.11"]
    assert "pve2" in said["status -n trial"]
    assert f"lab {name} is gone" in said["down -n trial"]


def test_systemd_takes_the_services_unit(story: Story) -> None:
    unit = (Path(__file__).parents[2] / "deploy" / "systemd" / "passerelle.service").read_text(encoding="utf-8")
    path = "/run/verify/passerelle.service"
    story.host.sh("mkdir -p /run/verify")
    story.host.write(path, unit.replace("/opt/passerelle/.venv/bin/passerelle", "/bin/true"))
    done = story.host.exec(["systemd-analyze", "verify", "--man=no", path])
    assert (done.returncode, done.stderr.strip()) == (0, "")
