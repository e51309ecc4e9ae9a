"""The OCI image that deploy/package/image builds, run by runc as its configuration says: no root, no capability, a root
file system that nobody writes to."""

import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from service import __version__
from service.lab.waiting import grown_s, wait_for
from tests.documents import TOP
from tests.git.forge import Forge
from tests.laws.specs import head

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

STATE = "/var/lib/passerelle-service"
USER = 10001
COMPOSE: dict[str, Any] = yaml.safe_load((TOP / "deploy" / "compose" / "compose.yaml").read_text())


class Image:
    """An image unpacked: `root` is its file system, `config` what its containers are run with."""

    def __init__(self, file: Path, room: Path) -> None:
        with tarfile.open(file) as layout:
            layout.extractall(room / "layout", filter="fully_trusted")
        self._blobs = room / "layout" / "blobs"
        (named,) = json.loads((room / "layout" / "index.json").read_bytes())["manifests"]
        manifest = self._json(named["digest"])
        self.config = self._json(manifest["config"]["digest"])["config"]
        (layer,) = manifest["layers"]
        self.root = room / "root"
        self.root.mkdir()
        subprocess.run(["tar", "-x", "-z", "-f", self._path(layer["digest"]), "-C", self.root], check=True)

    def _path(self, digest: str) -> Path:
        return self._blobs / digest.replace(":", "/")

    def _json(self, digest: str) -> Any:
        return json.loads(self._path(digest).read_bytes())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    done = subprocess.run([TOP / "deploy" / "package" / "image", folder], check=True, capture_output=True, text=True)
    return Image(Path(done.stdout.strip()), folder)


class Container:
    """A container of the image. `writable` and `readable` are folders of this machine by their path in it."""

    def __init__(
        self, image: Image, room: Path, arguments: list[str], folders: dict[str, tuple[Path, str]], env: list[str]
    ):
        self.name = f"passerelle-{os.getpid()}-{room.name}"
        self._room = room
        self.log = room / "log"
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
            *(
                {"destination": inside, "type": "bind", "source": str(outside), "options": ["bind", how]}
                for inside, (outside, how) in folders.items()
            ),
        ]
        nothing: list[str] = []
        sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
        process = {
            "terminal": False, "user": {"uid": int(image.config["User"]), "gid": USER},
            "cwd": image.config["WorkingDir"],
            "args": [*image.config["Entrypoint"], *arguments], "env": [*image.config["Env"], *env],
            "capabilities": dict.fromkeys(sets, nothing), "noNewPrivileges": True,
        }  # fmt: skip
        spaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
        written = {
            "ociVersion": "1.0.2", "root": {"path": str(image.root), "readonly": True}, "process": process,
            "mounts": mounts, "linux": {"namespaces": spaces, "cgroupsPath": f"/{self.name}"},
        }  # fmt: skip
        (room / "config.json").write_text(json.dumps(written))

    def runc(self, *words: str) -> list[str]:
        return ["runc", "--root", str(self._room / "runc"), *words]

    def run(self) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        words = self.runc("run", "--bundle", str(self._room), self.name)
        return subprocess.run(words, capture_output=True, text=True, timeout=grown_s(60), check=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """While it runs. It ends with SIGTERM, as an engine ends it."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(self.runc("run", "--bundle", str(self._room), self.name), stdout=log, stderr=log)
        killer = threading.Timer(grown_s(240), process.kill)
        killer.start()
        try:
            yield
            subprocess.run(self.runc("kill", self.name, "TERM"), check=True, timeout=grown_s(30))
            assert process.wait(grown_s(45)) == 0, self.log.read_text()
        finally:
            killer.cancel()
            subprocess.run(self.runc("delete", "--force", self.name), capture_output=True, check=False)
            process.wait(grown_s(45))

    def does(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command in it."""
        return subprocess.run(
            self.runc("exec", self.name, *words), capture_output=True, text=True, timeout=grown_s(60), check=False
        )


def test_the_service_runs_from_the_image(image: Image, tmp_path: Path) -> None:
    """Its state is kept in a volume, and it is healthy by the check of the compose file."""
    state, forge = tmp_path / "state", Forge(tmp_path / "network.git")
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe")})
    state.mkdir(mode=0o700)
    os.chown(state, USER, USER)
    folders = {STATE: (state, "rw"), "/network.git": (forge.path, "ro")}
    kept = set()
    for number in ("first", "second"):
        room = tmp_path / number
        room.mkdir()
        container = Container(image, room, image.config["Cmd"], folders, ["PASSERELLE_SOURCE=/network.git"])
        check = COMPOSE["services"]["api"]["healthcheck"]["test"][1:]
        with container.running():
            wait_for(lambda: container.does(*check).returncode == 0, "healthy", 120)  # noqa: B023
            kept.add(container.does("passerelle", "key").stdout)
            assert container.does("id", "--user").stdout.strip() == str(USER)
            assert "Read-only file system" in container.does("touch", "/opt/passerelle/new").stderr
            told = container.does("grep", "CapBnd", "/proc/1/status").stdout
            assert int(told.split()[1], 16) == 0
    assert len(kept) == 1
    assert kept.pop().startswith("restrict ssh-ed25519 ")
    assert {path.stat().st_uid for path in state.rglob("*")} == {USER}


def test_the_image_holds_the_program_and_no_word_of_the_machine_that_built_it(image: Image, tmp_path: Path) -> None:
    done = Container(image, tmp_path, ["--version"], {}, []).run()
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, __version__, "")
    assert [line.split("=")[0] for line in image.config["Env"]] == ["PATH"]
    assert list((image.root / "etc/apt/sources.list.d").iterdir()) == []
    assert not (image.root / "etc/apt/sources.list").exists()
    assert (
        list(image.root.glob("etc/pip.conf")) + list(image.root.glob("mnt/*")) + list(image.root.glob("root/.c*")) == []
    )
    python = f"python3.{sys.version_info.minor}"
    assert list((image.root / "opt/passerelle/.venv/lib" / python).rglob("direct_url.json")) != []
