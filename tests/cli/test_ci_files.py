"""The files of deploy/ci: their commands are run as they are written, against a service and a forge on this machine.

What is real: the repository, the service's API, fetching and planning, and the command. The forge is a stand-in that
takes only what the real one documents. What a CI system puts into a job is played: variables and `${{ … }}`.
"""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from service.api.create import create_app
from service.api.parts import Parts, RequestLimits
from service.cli.forges import CONTEXT
from service.lab.waiting import grown_s
from tests.cli.reached import reached
from tests.cli.stand_ins import REPO, StandIn, stand_in
from tests.reconcile.rooms import Room, a_room
from tests.reconcile.test_proposing import BRIDGE, CONSOLE, HOST

TOP = Path(__file__).parents[2]
FOLDER = TOP / "deploy" / "ci"
FORGE_OF = {"github.yml": "github", "gitea.yml": "gitea", "gitlab.yml": "gitlab", "woodpecker.yml": "gitea"}
REFS = {"github": "refs/pull/7/head", "gitea": "refs/pull/7/head", "gitlab": "refs/merge-requests/7/head"}
TOKEN = "the-forges-token"


def read(name: str) -> dict[Any, Any]:
    """As YAML 1.1 with texts only: `on` is a key of GitHub's, not a boolean."""
    found: dict[Any, Any] = yaml.load((FOLDER / name).read_text(), Loader=yaml.BaseLoader)
    return found


class Job:
    """What the CI system gives a job: its variables, and the commands in the order of the file."""

    def __init__(self, name: str, forge: StandIn, folder: Path) -> None:
        self.given = {"url": os.environ["PASSERELLE_URL"], "token": os.environ["PASSERELLE_TOKEN"]}
        self.forge, self.folder = forge, folder
        self.shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
        self.variables, self.commands = getattr(self, name.removesuffix(".yml"))(read(name))

    def github(self, file: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """GitHub's documentation, "Default environment variables" and "Contexts"."""
        assert set(file) == {"name", "on", "permissions", "concurrency", "jobs"}
        assert file["permissions"] == {"pull-requests": "write", "statuses": "write"}
        temporary = {"GITHUB_API_URL": self.forge.api, "RUNNER_TEMP": str(self.folder), "GITHUB_REPOSITORY": REPO}
        return self._actions(file, temporary, {"github.token": TOKEN})

    def gitea(self, file: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """The same words; secrets of its own."""
        assert set(file) == {"name", "on", "jobs"}
        there = {"GITHUB_SERVER_URL": self.forge.api.removesuffix("/api/v1"), "GITHUB_REPOSITORY": REPO}
        return self._actions(file, there, {"secrets.PASSERELLE_FORGE_TOKEN": TOKEN})

    def _actions(
        self, file: Mapping[str, Any], variables: dict[str, str], contexts: dict[str, str]
    ) -> tuple[dict[str, str], list[str]]:
        assert list(file["on"]) == ["pull_request_target"]
        contexts |= {
            "vars.PASSERELLE_URL": self.given["url"], "secrets.PASSERELLE_TOKEN": self.given["token"],
            "github.event.pull_request.number": "7",
        }  # fmt: skip
        job = file["jobs"]["plan"]
        assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository", "no fork's"
        assert "secrets" not in str({**job, "steps": []}), "only the step that needs them has the secrets"
        [step] = job["steps"]
        assert "uses" not in step, "nothing of a pull request is checked out, and no action of others is run"
        assert "${{" not in step["run"], "what a pull request says never becomes a part of a command"
        for name, value in step["env"].items():
            variables[name] = re.sub(r"\$\{\{ (\S+) \}\}", lambda found: contexts[found[1]], value)
        return variables, [step["run"]]

    def gitlab(self, file: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """GitLab's documentation, "Predefined CI/CD variables"."""
        [(_, job)] = file.items()
        [rule] = job["rules"]
        merge_request, not_of_a_fork = rule["if"].split(" && ")
        assert merge_request == '$CI_PIPELINE_SOURCE == "merge_request_event"'
        assert not_of_a_fork == "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID"
        assert job["artifacts"]["reports"] == {"junit": "passerelle-plan.xml"}
        variables = {
            "PASSERELLE_URL": self.given["url"], "PASSERELLE_TOKEN": self.given["token"],
            "PASSERELLE_FORGE_TOKEN": TOKEN, "CI_MERGE_REQUEST_IID": "7", "CI_API_V4_URL": self.forge.api,
            "CI_MERGE_REQUEST_PROJECT_ID": "42", "CI_PROJECT_DIR": str(self.folder), **job["variables"],
        }  # fmt: skip
        return variables, job["script"]

    def woodpecker(self, file: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        """Woodpecker's documentation, "Environment variables"; it runs the commands with sh -e."""
        assert file["when"] == [{"event": "pull_request"}]
        [step] = file["steps"]
        secrets = {"passerelle_token": self.given["token"], "passerelle_forge_token": TOKEN}
        variables = {
            name: value if isinstance(value, str) else secrets[value["from_secret"]]
            for name, value in step["environment"].items()
        }
        variables |= {"PASSERELLE_URL": self.given["url"], "CI_COMMIT_PULL_REQUEST": "7", "CI_REPO": REPO}
        variables |= {"CI_FORGE_URL": self.forge.api.removesuffix("/api/v1")}
        self.shell = ["sh", "-e", "-c"]
        return variables, step["commands"]

    def run(self) -> "subprocess.CompletedProcess[str]":
        """All commands, in a shell as the CI system starts it, where `passerelle` is this one."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / "passerelle"
        program.write_text(f'#!/bin/sh\nPYTHONPATH={TOP} exec {sys.executable} -m service "$@"\n')
        program.chmod(0o755)
        rooms = {"HOME": str(self.folder), "TMPDIR": str(self.folder)}
        environment = {"PATH": f"{programs}:/usr/bin:/bin", **rooms, **self.variables}
        return subprocess.run(
            [*self.shell, "\n".join(self.commands)], env=environment, cwd=self.folder, capture_output=True, text=True,
            timeout=grown_s(120), check=False,
        )  # fmt: skip


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """A service whose host is as Git wants it."""
    with a_room(tmp_path / "room") as made:
        await made.push(HOST)
        for _ in range(3):
            await made.round()
        assert made.status.sync == "Synced"
        yield made


@pytest.fixture
def served(room: Room) -> Iterator[Room]:
    """It answers on loopback, and the commands of this process know where."""
    limits = RequestLimits(requests_burst=10_000)
    app = create_app(
        Parts(room.queries, room.store, room.control, room.answers, room.clock, limits=limits, proposals=room.proposals)
    )
    token = room.store.create_token("ci", scopes=["plan"], by="test", at=room.clock.now())
    with reached(app, token):
        yield room


def test_each_file_is_run_here() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(FORGE_OF)


@pytest.mark.parametrize("name", FORGE_OF)
def test_the_job_plans_a_pull_request_and_reports_it(name: str, served: Room, tmp_path: Path) -> None:
    kind = FORGE_OF[name]
    served.forge.git("branch", "their-branch", "main")
    files = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": HOST + BRIDGE}
    head = served.forge.push(files, branch="their-branch", message="a bridge")
    served.forge.git("update-ref", REFS[kind], head)
    before = served.watcher.wanted.commit, served.queries.current_plan("pve1"), [*served.hosts.applied]
    with stand_in(kind, TOKEN) as forge:
        job = Job(name, forge, tmp_path)
        done = job.run()
        assert done.returncode == 0, done.stderr + done.stdout
        assert forge.statuses == [(head, "success", CONTEXT, "1 host changes")]
        [comment] = forge.comments.values()
        assert "a bridge" in comment
        assert "link:vmbr0" in comment
        cut = HOST.replace("198.51.100.11/24", "198.51.100.99/24")
        cut = cut.replace(CONSOLE, CONSOLE + "  allow_management_change: true\n")
        bad = served.forge.push(files | {"hosts/pve1.yaml": cut}, branch="their-branch")
        served.forge.git("update-ref", REFS[kind], bad)
        refused = job.run()
        assert refused.returncode == 1, refused.stderr
        assert forge.statuses[-1][:2] == (bad, "failed" if kind == "gitlab" else "failure")
        assert len(forge.comments) == 1
        assert forge.refused == []
        said = done.stdout + done.stderr + refused.stdout + refused.stderr + "".join(forge.comments.values())
        assert TOKEN not in said
        assert job.given["token"] not in said
    if kind != "github":  # which empties its folder itself, after each job
        left = [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]
        assert left == []
    assert before == (served.watcher.wanted.commit, served.queries.current_plan("pve1"), [*served.hosts.applied])
    if kind == "gitlab":
        suites = ElementTree.parse(tmp_path / "passerelle-plan.xml").getroot()
        assert suites.get("failures") == "1"
