"""A host in a folder: a scratch root, a model of the kernel behind recorded fake commands, and the real file."""

import base64
import functools
import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from service.lab.waiting import Patience, grown_s
from tests.hostside.rooms import PYTHON, shipped

FILE = shipped()
FAKES = Path(__file__).parent / "fakes"
NAMES = (
    "ip nft iptables iptables-save systemctl systemd-run dnsmasq sshd dpkg-query apt-get apt-cache dpkg dpkg-deb"
    " lxc-info lxc-attach bridge"
)
ID = "01JD0000000000000000000000"
NEXT_ID = "01JD0000000000000000000001"
OLD_CONF = b"cache-size=100\n"
NEW_CONF = b"cache-size=256\n"
NFT_OLD = "table inet passerelle_nat {\n\tchain old { }\n}"
NFT_NEW = "table inet passerelle_nat {\n\tchain new { }\n}"
CONF, NFT_FILE, ADDED = (
    "/etc/dnsmasq.d/passerelle.conf",
    "/etc/passerelle/nat.nft",
    "/etc/sysctl.d/new/50-passerelle.conf",
)
SITE = "/etc/passerelle/guests/proxy/nginx.conf"
OLD_SITE, NEW_SITE = b"# the old site\n", b"# the new site\n"
PROXY = "proxy:proxy@bc:24:11:00:00:02"
Answer = dict[str, Any]


def fact_of(content: bytes, mode: str = "0644") -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "mode": mode, "uid": 0, "gid": 0}


def nft_value(load: str) -> dict[str, Any]:
    return {"normal": [{"rule": {"text": load}}], "load": load}


def loaded(content: bytes) -> str:
    """The digest of what nginx loads where its one file has this content."""
    return hashlib.sha256(f"{hashlib.sha256(content).hexdigest()}  nginx.conf\n".encode()).hexdigest()


@functools.cache
def server_of_models() -> Path:
    """The socket of what answers the fakes, for all hosts of this process; it ends when this process does."""
    socket = Path(tempfile.mkdtemp(prefix="passerelle-fakes-")) / "socket"
    command = [*PYTHON, str(FAKES / "serve.py"), str(socket)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    _SERVERS.append(server)
    return socket


_SERVERS: list[subprocess.Popen[bytes]] = []


def wait_for(condition: Any, timeout_s: float = 20.0) -> Any:
    """The first true value of the condition, within so many seconds of an idle machine."""
    patience = Patience(timeout_s)
    while not patience.is_over():
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError("the condition did not become true in time")


class Scratch:
    """The scratch host; `begin`, `call` and so on run the file against it."""

    def __init__(self, folder: Path, file: Path = FILE) -> None:
        self._place(folder, file)
        for made in (self.bin, self.model, self.root):
            made.mkdir(parents=True)
        for path in (
            "run",
            "proc/sys/net/ipv4",
            "etc/dnsmasq.d",
            "proc/sys/kernel/random",
            "etc/passerelle/guests/proxy",
            "etc/sysctl.d",
            "var/lib/lxc/web1",
            "usr/sbin",
            "usr/bin",
        ):
            (self.root / path).mkdir(parents=True)
        for name in ("python3", "timeout"):
            (self.root / "usr/bin" / name).symlink_to(f"/usr/bin/{name}")
        for name in NAMES.split():
            (self.bin / name).symlink_to(FAKES / "call")
        (self.model / "socket").symlink_to(server_of_models())
        (self.model / "root").write_text(str(self.root))
        (self.root / CONF[1:]).write_bytes(OLD_CONF)
        (self.root / CONF[1:]).chmod(0o640)
        (self.root / NFT_FILE[1:]).write_text(NFT_OLD)
        (self.root / SITE[1:]).write_bytes(OLD_SITE)
        (self.root / "var/lib/lxc/web1/config").write_text(f"lxc.net.0.hwaddr = {PROXY.partition('@')[2]}\n")
        self.put("packages.json", [])
        self.put("needs.json", {})
        for name, value in {"packages": ["openssl"], "needs": {}, "units": {}}.items():
            self.put(f"guest-{name}.json", value)
        runs = {"enabled": "enabled", "active": True}
        self.put("units.json", {f"{name}.service": dict(runs) for name in ("dnsmasq", "named", "ssh")})
        self.fresh_boot()

    def _place(self, folder: Path, file: Path) -> None:
        self.folder, self.file = folder, file
        self.root, self.bin, self.model = folder / "root", folder / "bin", folder / "model"

    def copy(self, folder: Path) -> "Scratch":
        """The same host in another folder, with owners, times and extended attributes."""
        subprocess.run(["cp", "-a", "-T", str(self.folder), str(folder)], check=True, timeout=grown_s(60))
        copied = type(self).__new__(type(self))
        copied._place(folder, self.file)
        (copied.model / "root").write_text(str(copied.root))
        (copied.model / "run.pid").unlink(missing_ok=True)  # that run has ended, and its number may be another's
        return copied

    def put(self, name: str, value: Any) -> None:
        (self.model / name).write_text(json.dumps(value))

    def get(self, name: str) -> Any:
        return json.loads((self.model / name).read_text())

    def fresh_boot(self) -> None:
        """The kernel as the old files make it; another boot id; no transient units; whatever ran is gone."""
        nic = {"type": "other", "up": True, "mtu": 1500, "master": None, "mac": "02:00:00:00:00:11"}
        bridge = {**nic, "type": "bridge", "delay": 0, "stp": 0}
        guest = {**nic, "master": "vmbr0"}
        kernel = {
            "links": {"enp1s0": nic, "vmbr0": bridge, "veth1": guest},
            "addresses": {"enp1s0": ["198.51.100.11/24"], "vmbr0": ["10.10.10.1/24"]},
            "routes": [[4, "198.51.100.1", "enp1s0"]],
            "tables": {"inet passerelle_nat": NFT_OLD},
            "rules": ["-A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE"] * 2,
        }
        self.put("kernel.json", kernel)
        self.put("nginx.json", {"guest": "STOPPED"})
        self.start_guests()
        units = {name: unit for name, unit in self.get("units.json").items() if unit["enabled"] != "transient"}
        self.put("units.json", units)
        (self.root / "proc/sys/net/ipv4/ip_forward").write_text("0\n")
        (self.root / "proc/sys/kernel/random/boot_id").write_text(os.urandom(8).hex())

    def start_guests(self) -> None:
        """A guest that is down starts, and its nginx loads what the host has for it."""
        if self.get("nginx.json")["guest"] == "STOPPED":
            found = self.root / SITE[1:]
            digest = loaded(found.read_bytes()) if found.exists() else ""
            self.put("nginx.json", {"guest": "RUNNING", "active": True, "loaded": digest})

    def document(self, identifier: str = ID, generation: int = 1, timeout_s: int = 60, **changes: Any) -> Answer:
        """A transaction that touches every type of fact."""
        steps = [
            self.step(f"file:{ADDED}", None, fact_of(b"net.ipv4.ip_forward=1\n")),
            self.step("sysctl:net.ipv4.ip_forward", "0", "1"),
            self.step("nft:inet passerelle_nat", nft_value(NFT_OLD), nft_value(NFT_NEW)),
            self.step(
                "link:vmbr1", None, {"type": "bridge", "up": True, "stp": False, "forward_delay_s": 0, "ports": []}
            ),
            self.step("addresses:vmbr1", None, ["10.10.20.1/24"]),
            self.step("addresses:enp1s0", ["198.51.100.11/24"], ["198.51.100.12/24"]),
            self.step("masquerade:10.10.10.0/24>enp1s0", 2, 1),
            self.step(f"file:{CONF}", fact_of(OLD_CONF, "0640"), fact_of(NEW_CONF, "0640")),
            self.step(
                "unit:named.service", {"enabled": "enabled", "active": True}, {"enabled": "disabled", "active": False}
            ),
            self.step("unit:dnsmasq.service", {"active": True}, {"enabled": "enabled", "active": True}, restart=True),
            self.step(f"file:{SITE}", fact_of(OLD_SITE), fact_of(NEW_SITE)),
            self.step(
                PROXY,
                {"active": True, "loaded": loaded(OLD_SITE)},
                {"active": True, "loaded": loaded(NEW_SITE)},
                restart=True,
            ),
            self.step(f"file:{NFT_FILE}", fact_of(NFT_OLD.encode()), fact_of(NFT_NEW.encode()), on_confirm=True),
        ]
        route = [{"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}]
        contents = (b"net.ipv4.ip_forward=1\n", NEW_CONF, NFT_NEW.encode(), NEW_SITE)
        document = {
            "format": 1,
            "id": identifier,
            "generation": generation,
            "controller": "test",
            "plan_digest": "sha256:0",
            "confirm_timeout_s": timeout_s,
            "steps": steps,
            "keep": [self.step("routes:default", route, route)],
            "checks": [["dnsmasq", CONF], ["nft", "inet passerelle_nat"]],
            "blobs": {fact_of(c)["sha256"]: base64.b64encode(c).decode() for c in contents},
        }
        return {**document, **changes}

    def drill(self, identifier: str = ID, generation: int = 1) -> Answer:
        """A transaction that changes nothing."""
        route = [{"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}]
        keep = [self.step("routes:default", route, route)]
        return self.document(identifier, generation, steps=[], checks=[], blobs={}, keep=keep)

    def step(self, fact: str, before: Any, after: Any, **more: bool) -> Answer:
        return {"fact": fact, "before": before, "after": after, "why": f"test {fact}", **more}

    def command(self, *words: str) -> list[str]:
        return [*PYTHON, str(self.file), "--root", str(self.root), "--bin", str(self.bin), *words]

    def call(self, *words: str, give: Any = None, environment: dict[str, str] | None = None, code: int = 0) -> Answer:
        """The result of a verb; its exit code must be `code`."""
        ran = subprocess.run(
            self.command(*words),
            input=json.dumps(give).encode() if give is not None else b"",
            capture_output=True,
            env=environment or {},
            timeout=grown_s(60),
        )
        assert ran.returncode == code, (ran.returncode, ran.stdout, ran.stderr)
        assert ran.stderr == b""
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        assert lines[-1]["event"] == "result"
        return dict(lines[-1])

    def begin(self, document: Answer | None = None, **options: Any) -> Answer:
        return self.call("begin", give=document or self.document(), **options)

    def start(
        self, *words: str, give: Any = None, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A verb that continues while the test looks."""
        (self.folder / "stdin").write_text(json.dumps(give) if give is not None else "")
        with (self.folder / "stdin").open("rb") as stdin:
            return subprocess.Popen(self.command(*words), stdin=stdin, stdout=subprocess.DEVNULL, env=environment or {})

    def stop_at(self, point: str) -> dict[str, str]:
        """The environment in which the file stops itself at a named point."""
        (self.root / "run/passerelle-test").write_text("")
        return {"PASSERELLE_STOP_AT": point}

    def stopped(self, process: subprocess.Popen[bytes] | None = None) -> int:
        """Wait until a process has stopped at the named point; its number."""
        wait_for((self.root / "run/passerelle-point").exists)
        pid = process.pid if process else int((self.model / "run.pid").read_text())
        wait_for(lambda: process_state(pid) == "T")
        (self.root / "run/passerelle-point").unlink()
        return pid

    def journal(self, identifier: str = ID) -> Answer:
        return dict(json.loads((self.root / "var/lib/passerelle/txn" / identifier / "journal.json").read_text()))

    def armed(self) -> bool:
        return (self.root / "var/lib/passerelle/armed").exists()

    def state(self) -> dict[str, Any]:
        """All that a transaction may touch, read by the test alone."""
        files = {}
        for path in sorted((self.root / "etc").rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_file() and not path.is_symlink() and "systemd" not in name:
                found = path.stat()
                files[name] = (path.read_bytes(), oct(found.st_mode), found.st_uid, found.st_gid)
        units = {name: unit for name, unit in self.get("units.json").items() if not name.startswith("passerelle-")}
        kernel = self.get("kernel.json")
        kernel["addresses"] = {name: sorted(found) for name, found in kernel["addresses"].items() if found}
        kernel["rules"] = sorted(kernel["rules"])
        folders = sorted(str(p.relative_to(self.root)) for p in (self.root / "etc").rglob("*") if p.is_dir())
        folders = [name for name in folders if "systemd" not in name]
        forward = (self.root / "proc/sys/net/ipv4/ip_forward").read_text().strip()
        nginx = self.get("nginx.json")
        return {
            "files": files,
            "units": units,
            "kernel": kernel,
            "forward": forward,
            "folders": folders,
            "nginx": nginx,
        }

    def timers(self) -> list[str]:
        return [name for name in self.get("units.json") if name.endswith(".timer")]

    def calls(self, name: str) -> list[list[str]]:
        lines = (self.model / "calls").read_text().splitlines() if (self.model / "calls").exists() else []
        found = [json.loads(line) for line in lines]
        return [call["argv"] for call in found if call["name"] == name and "stdin" not in call]

    def pass_deadline(self, identifier: str = ID) -> None:
        """Let the deadline be now (in the journal: nobody waits for it)."""
        path = self.root / "var/lib/passerelle/txn" / identifier / "journal.json"
        path.with_suffix(".test").write_text(json.dumps({**self.journal(identifier), "deadline_boottime_s": 0.001}))
        path.with_suffix(".test").rename(path)

    def expire(self, identifier: str = ID) -> Answer:
        """What the timer does, at the deadline."""
        self.pass_deadline(identifier)
        return self.call("expire", identifier)

    def power_cut(self) -> Answer:
        """Every process is gone, the kernel is fresh, the boot unit runs."""
        self.fresh_boot()
        self.put("nginx.json", {"guest": "STOPPED"})  # guests start after us
        answer = self.call("boot") if self.armed() else {}
        self.start_guests()
        return answer


def process_state(pid: int) -> str:
    """The one-letter state of a process, "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: process_state(pid) in ("", "Z"))
