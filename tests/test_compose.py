"""deploy/compose: what can be known without a container engine. Its commands run as they are, on PostgreSQL."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from service.lab.waiting import wait_for
from service.settings import Settings
from tests.documents import TOP, run_by
from tests.git.forge import Forge
from tests.jobs.answering import free_port
from tests.laws.specs import FOLDER as FOLDER_OF_SPECS
from tests.laws.specs import head
from tests.postgres import Cluster

FOLDER = TOP / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
OURS = ("api", "worker")
PORTS = {"api": 8765, "worker": 8766}
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENTRYPOINT", "FROM", "RUN", "USER", "WORKDIR"}


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Containerfile, continued lines joined."""
    lines = re.sub(r"\\\n", " ", (FOLDER / "Containerfile").read_text()).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line and not line.startswith("#")]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (command,) = run_by("test_the_secrets_are_made_once")
    folder = tmp_path / "secret"
    subprocess.run([TOP / command.text.split()[0], folder], check=True, capture_output=True, timeout=60)
    return folder


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_a_container_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not {"privileged", "network_mode", "pid"} & service.keys()
    assert service.get("user", "").split(":")[0] == ("10001" if name in OURS else "")
    assert all(where.startswith("127.0.0.1:") for where in service.get("ports", ()))
    volumes = [volume.split(":")[0] for volume in service.get("volumes", ())]
    assert volumes == (["db"] if name == "db" else [])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("restart: unless-stopped", "restart: sometimes"),
        ("mem_limit: 4g", "mem_limit: lots"),
        ("source: token_pepper", "source: peppermint"),
        ("networks: [inside]", "networks: [within]"),
    ],
)
def test_it_is_what_the_compose_specification_says(right: str, wrong: str) -> None:
    """By another implementation of it, which also finds what is wrong on purpose."""
    text = re.sub(r"\$\{\w+:?[-?]([^}]*)\}", "word", (FOLDER / "compose.yaml").read_text())
    options = compose_spec.PyOptions()
    options.apply_merge = True
    options.from_yaml(text).validate()
    with pytest.raises(ValueError, match=re.sub(r"\W", "", wrong.partition(": ")[2])):
        options.from_yaml(text.replace(right, wrong, 1)).validate()


def test_the_database_is_healthy_only_once_it_serves_the_others() -> None:
    """The server that fills it at the first start listens on its socket only."""
    check = COMPOSE["services"]["db"]["healthcheck"]["test"]
    assert check[check.index("--host") + 1] == "127.0.0.1"


def test_the_database_has_room_for_the_processes_that_the_page_names() -> None:
    """One that answers and as many workers as it shows, with three connections that the server keeps for itself."""
    page = (TOP / "deploy" / "docs" / "postgresql.md").read_text()
    (each,) = re.findall(r"holds\s+up to (\d+) connections", page)
    (workers,) = re.findall(r"--scale worker=(\d+)", page)
    (most,) = re.findall(r"max_connections=(\d+)", " ".join(COMPOSE["services"]["db"]["command"]))
    assert int(most) >= int(each) * (1 + int(workers)) + 3
    assert f"`max_connections={most}`" in page


def test_no_secret_is_in_the_environment() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            assert not re.search(r"PASSWORD|TOKEN|SECRET", name) or str(value).startswith("/run/secrets/"), name
            assert "@" not in str(value) or re.fullmatch(r"postgresql://passerelle@db/passerelle", str(value))


def test_every_setting_is_one() -> None:
    known = {f"PASSERELLE_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        given = COMPOSE["services"][name]["environment"].keys() - {"PGPASSFILE"}
        assert given <= known


def test_the_secrets_are_made_once(secret: Path) -> None:
    named = {Path(one["file"]).name for one in COMPOSE["secrets"].values()}
    before = {path.name: path.read_bytes() for path in secret.iterdir()}
    assert before.keys() == named | {"ssh_key.pub"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secret.iterdir() if path.suffix != ".pub")
    assert len(before["token.pepper"]) == 32
    assert before["pgpass"] == b"db:5432:*:passerelle:" + before["postgres_password"] + b"\n"
    if not os.geteuid():
        assert (secret / "ssh_key").stat().st_uid == 10001
    told = subprocess.run([FOLDER / "secrets", secret], check=True, capture_output=True, timeout=60).stdout
    assert {path.name: path.read_bytes() for path in secret.iterdir()} == before
    assert told == b"the public key for the hosts: " + before["ssh_key.pub"]
    used = {
        one if isinstance(one, str) else one["source"]
        for service in COMPOSE["services"].values() for one in service["secrets"]
    }  # fmt: skip
    assert used == COMPOSE["secrets"].keys()


def test_the_image_is_made_of_files_that_are_there() -> None:
    allowed = [line[1:] for line in (FOLDER / "Containerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = []
    for word, rest in instructions():
        assert word in INSTRUCTIONS, word
        if word == "COPY":
            copied += rest.split()[:-1]
        if word == "RUN":
            subprocess.run(["sh", "-n"], input=rest, text=True, check=True, timeout=30)
    assert sorted(copied) == sorted(allowed)
    assert all((TOP / name).exists() for name in copied)
    assert [rest for word, rest in instructions() if word == "USER"] == ["10001"]
    assert instructions()[-2:] == [("ENTRYPOINT", '["/opt/passerelle/.venv/bin/passerelle"]'), ("CMD", '["serve"]')]


def test_what_is_copied_is_all_that_the_program_needs(tmp_path: Path) -> None:
    """The checkout of the image, with the packages of this one."""
    for word, rest in instructions():
        if word == "COPY":
            *names, where = rest.split()
            for name in names:
                to = tmp_path / where / ("" if where != name else ".")
                target = tmp_path / name if where == name else to / Path(name).name
                target.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-r", TOP / name, target], check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "-m", "service", "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_each_process_becomes_healthy_by_its_own_check(secret: Path, cluster: Cluster, tmp_path: Path) -> None:
    forge = Forge(tmp_path / "fleet.git")
    host = head("observe") + (FOLDER_OF_SPECS / "seed.yaml").read_text()
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": host})
    url = cluster.made()
    ports = {name: free_port() for name in OURS}
    with ExitStack() as started:
        into = started.enter_context(_alone())
        checks = {name: _check_of(name, ports) for name in OURS}
        assert not any(_passes(into, check) for check in checks.values()), "nobody answers yet"
        for name in ("worker", "api"):
            started.enter_context(_running(name, secret, ports, str(forge.path), url.reveal().decode(), tmp_path, into))
        for name, check in checks.items():
            wait_for(lambda check=check: _passes(into, check), f"{name} is healthy", 90)  # type: ignore[misc]
    cluster.dropped(url)


def _service(name: str) -> Any:
    return COMPOSE["services"][name]


def _check_of(name: str, ports: dict[str, int]) -> list[str]:
    """The health check of a container, with the port of the process that stands for it."""
    check = [word.replace(str(PORTS[name]), str(ports[name])) for word in _service(name)["healthcheck"]["test"]]
    assert check[:2] == ["CMD", "python3"]
    return check[1:]


def _passes(into: list[str], command: list[str]) -> bool:
    words = [*into, sys.executable, *command[1:]]
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 0


@contextmanager
def _alone() -> Iterator[list[str]]:
    """A network of its own, with nothing but loopback: no packet for the host of the repository goes anywhere. The
    words before a command that let it run there."""
    held = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo there && exec cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdin is not None
    assert held.stdout is not None
    try:
        assert held.stdout.readline() == b"there\n"
        yield ["nsenter", f"--net=/proc/{held.pid}/ns/net", "--"]
    finally:
        held.stdin.close()
        held.stdout.close()
        held.wait(30)


@contextmanager
def _running(
    name: str, secret: Path, ports: dict[str, int], source: str, url: str, room: Path, into: list[str]
) -> Iterator[None]:  # fmt: skip
    """A process with the command and the settings of its container; the secrets are this user's."""
    state = room / f"state-{name}"
    state.mkdir(mode=0o700)
    (state / "token.pepper").write_bytes((secret / "token.pepper").read_bytes())
    (state / "token.pepper").chmod(0o600)
    given = {
        key: re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", str(value)) for key, value in _service(name)["environment"].items()
    }
    given = {key: value.replace("/run/secrets", str(secret)) for key, value in given.items()}
    given |= {"PASSERELLE_SOURCE": source, "PASSERELLE_DATABASE_URL": url, "PASSERELLE_STATE_DIR": str(state)}
    if "PASSERELLE_HEALTH_PORT" in given:
        given["PASSERELLE_HEALTH_PORT"] = str(ports[name])
    command = [word.replace(str(PORTS[name]), str(ports[name])) for word in _service(name)["command"]]
    environment = {"PATH": os.environ["PATH"], "HOME": str(room), **given}
    with (room / f"log-{name}").open("wb") as log:
        process = subprocess.Popen(
            [*into, sys.executable, "-m", "service", *command], env=environment, cwd=TOP, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0, (room / f"log-{name}").read_text()[-3000:]
