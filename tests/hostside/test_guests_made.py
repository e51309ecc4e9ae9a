"""Guests made on a host: what their settings say, what a cut leaves, and that no text of an order leaves its place."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.apply.host_file import host_file
from service.hostside import lxc, pct
from service.hostside.errors import BadInput, Trouble
from service.hostside.guest_order import wanted_of
from service.hostside.guests import verb_guests
from service.hostside.host import Host
from service.hostside.inside import find_guest, inside, is_running
from service.hostside.sources import own_sources
from service.lab.waiting import grown_s
from tests.hostside.pct_recorded import PCT

MAC = "bc:24:11:00:00:02"
ORDER: dict[str, Any] = {
    "name": "proxy", "mac": MAC, "bridge": "vmbr0", "port": "", "autostart": True, "vmid": 0, "storage": "",
    "disk_gib": 0, "packages": [],
}  # fmt: skip
ON_PROXMOX = ORDER | {"vmid": 105, "storage": "local-zfs", "disk_gib": 4}
HOSTILE = [
    "x\ny", "a b", "a;reboot", "$(reboot)", "`reboot`", "../../etc", "/etc/x", "-n", "--config", "x\x00", "a'b", 'a"b',
    "a\\b", "a|b", "a&b", "a>b", "%n", "{}", "é", "x" * 300, " lead", "trail ", "=", "a=b", "lxc.hook.pre-start = /x",
    "a,mp=/", "#",
]  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "bin").mkdir()
    return Host(str(tmp_path), str(tmp_path / "bin"))


def put(host: Host, path: str, text: str) -> Path:
    file = Path(host.path(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def program(host: Host, name: str, text: str) -> None:
    file = Path(host.bin_dir or "", name)
    file.write_text(text)
    file.chmod(0o755)


# what is ordered


@pytest.mark.parametrize("field", ["name", "mac", "bridge", "port", "storage"])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_an_order_is_more_than_a_name(field: str, text: str) -> None:
    with pytest.raises(BadInput):
        wanted_of(ON_PROXMOX | {field: text})


@pytest.mark.parametrize("text", HOSTILE)
def test_no_package_is_more_than_a_name(text: str) -> None:
    with pytest.raises(BadInput):
        wanted_of(ORDER | {"packages": ["nginx", text]})


@pytest.mark.parametrize(
    "wrong", [{"vmid": 99}, {"vmid": True}, {"disk_gib": -1}, {"autostart": "1"}, {"packages": "nginx"}, {"hook": "/x"}]
)
def test_another_order_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        wanted_of(ORDER | wrong)
    assert wanted_of(ORDER).key == f"proxy@{MAC}"
    assert wanted_of(ON_PROXMOX).key == "proxy@105"


# plain LXC


def test_settings_are_unprivileged_with_the_card_and_the_mounts_of_the_spec() -> None:
    text = lxc.settings(wanted_of(ORDER | {"port": "vethweb"}), 100_000, apparmor=True)
    pairs = [tuple(line.split(" = ", 1)) for line in text.splitlines() if " = " in line]
    assert ("lxc.idmap", "u 0 100000 65536") in pairs and ("lxc.net.0.veth.pair", "vethweb") in pairs
    assert ("lxc.net.0.hwaddr", MAC) in pairs and ("lxc.net.0.link", "vmbr0") in pairs
    assert [value for key, value in pairs if key == "lxc.mount.entry"] == [
        "/etc/passerelle/guests/proxy etc/passerelle none bind,ro,create=dir 0 0",
        "/var/lib/passerelle-guests/proxy var/lib/passerelle-guest none bind,create=dir 0 0",
    ]
    assert ("lxc.apparmor.profile", "generated") in pairs
    assert "unconfined" in lxc.settings(wanted_of(ORDER), 100_000, apparmor=False)


def test_an_adopted_container_keeps_every_line_that_is_not_ours(host: Host) -> None:
    before = (
        "# mine\nlxc.start.auto=0\nlxc.mount.entry = /srv srv none bind 0 0\nlxc.hook.start = /x\n"
        "lxc.mount.entry = /tmp /etc/passerelle none bind 0 0\n"
        "lxc.mount.entry=/x var/lib/passerelle-guest none bind 0 0\n"
    )
    file = put(host, "/var/lib/lxc/box/config", before)
    file.chmod(0o640)
    wanted = wanted_of(ORDER)
    lxc.set_up(host, "box", wanted)
    lines = file.read_text().splitlines()
    assert lines[:3] == ["# mine", "lxc.mount.entry = /srv srv none bind 0 0", "lxc.hook.start = /x"]
    assert lines[3:] == lxc.settings(wanted, 0, apparmor=False).splitlines()[-3:]
    assert file.stat().st_mode & 0o777 == 0o640
    again = file.stat().st_ino
    lxc.set_up(host, "box", wanted)
    assert file.stat().st_ino == again, "nothing to change, and it was written"


def test_the_range_of_roots_users_is_taken_or_added_behind_all_others(host: Host) -> None:
    put(host, "/etc/subuid", "")
    assert lxc.id_base(host) == 100_000
    put(host, "/etc/subuid", "ann:100000:65536\nroot:300000:65536\n")
    put(host, "/etc/subgid", "ann:100000:65536\nroot:300000:65536\n")
    assert lxc.id_base(host) == 300_000
    subuid = put(host, "/etc/subuid", "ann:100000:65536\nbob:165536:65536\n")
    subgid = put(host, "/etc/subgid", "ann:100000:65536\nbob:265536:65536")
    base = lxc.id_base(host)
    assert base >= 265_536 + 65_536 and lxc.id_base(host) == base
    assert subuid.read_text().splitlines() == ["ann:100000:65536", "bob:165536:65536", f"root:{base}:65536"]
    assert subgid.read_text().splitlines()[-1] == f"root:{base}:65536"


# package sources


def test_a_template_is_made_of_what_the_host_has_of_its_release(host: Host) -> None:
    put(
        host, "/etc/apt/sources.list",
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] http://a.example/debian bookworm main contrib\n"
        "deb-src http://a.example/debian bookworm main\ndeb http://a.example/debian sid main\n"
        "deb http://docker.example/linux/debian bookworm stable\n",
    )  # fmt: skip
    put(
        host, "/etc/apt/sources.list.d/s.sources",
        "Types: deb deb-src\nURIs: http://b.example/s\nSuites: bookworm-security sid\nComponents: main non-free\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc+/=\n -----END PGP PUBLIC KEY BLOCK-----\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://c.example\nSuites: bookworm\nComponents: main\n",
    )  # fmt: skip
    assert own_sources(host, "bookworm").split("\n\n") == [
        "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\nArchitectures: amd64\n"
        "Signed-By: /usr/share/keyrings/d.gpg",
        "Types: deb\nURIs: http://b.example/s\nSuites: bookworm-security\nComponents: main\nSigned-By: \n"
        " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc+/=\n -----END PGP PUBLIC KEY BLOCK-----\n",
    ]
    assert own_sources(host, "trixie") == ""


def test_a_mirror_without_releases_counts_where_there_is_nothing_else(host: Host) -> None:
    put(host, "/etc/apt/sources.list", "deb [trusted=yes] http://deb.example/debian/bookworm ./\n")
    assert own_sources(host, "bookworm") == (
        "Types: deb\nURIs: http://deb.example/debian/bookworm\nSuites: ./\nTrusted: yes\n"
    )


# cut anywhere

VERB = """\
import sys; sys.path.insert(0, sys.argv[1])
from service.hostside.main import main
sys.exit(main(sys.argv[2:], sys.argv[1]))"""
MMDEBSTRAP = """#!/bin/sh
PATH=/usr/bin:/bin
for word; do case $word in */made.tar*) made=$word ;; esac; done
[ -e "$0.cut" ] && { echo half >"$made"; kill -9 $PPID; exit 1; }
echo whole >"$made"; echo x >>"$0.times"
pip=${made%/*}/files/etc/pip.conf
if [ -e "$pip" ]; then { stat -c %a "$pip"; tail -n 1 "$pip"; } | paste -sd ' ' >"$0.pip"; fi
"""
USERNSEXEC = """#!/bin/sh
PATH=/usr/bin:/bin
for word; do case $word in --directory=*) root=${word#*=} ;; esac; done
mkdir -p "$root/etc" && echo debian >"$root/etc/debian_version"
[ -e "$0.cut" ] && kill -9 $PPID
exit 0
"""


def run(host: Host, order: dict[str, Any]) -> dict[str, Any]:
    """One verb in a process of its own; its result, or {} where it was killed."""
    archive = Path(host.root, "hostside.py")
    archive.write_bytes(host_file().content)
    argv = [sys.executable, "-I", "-c", VERB, str(archive), "--root", host.root, "--bin", str(host.bin_dir), "guests"]
    ran = subprocess.run(
        argv, input=json.dumps(order), capture_output=True, text=True, timeout=grown_s(60), check=False
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return dict(lines[-1]) if lines and lines[-1]["event"] == "result" else {}


def names(host: Host, folder: str) -> list[str]:
    return sorted(path.name for path in Path(host.path(folder)).iterdir())


@pytest.fixture
def debian(host: Host) -> Host:
    """A Debian host whose programs are scripts; they can be instructed to die half-way, and their caller with them."""
    put(host, "/etc/os-release", "VERSION_CODENAME=bookworm\n")
    put(host, "/etc/apt/sources.list", "deb http://deb.example/debian bookworm main\n")
    for folder in ("/var/lib/lxc", "/var/lib/passerelle", "/proc", "/run"):
        Path(host.path(folder)).mkdir(parents=True, exist_ok=True)
    state = host.path("/var/lib/lxc/.state")
    program(host, "mmdebstrap", MMDEBSTRAP)
    program(host, "lxc-usernsexec", USERNSEXEC)
    program(host, "apt-config", "#!/bin/sh\n")
    program(host, "lxc-info", f"#!/bin/sh\n[ -e {state} ] && echo RUNNING || echo STOPPED\n")
    program(host, "lxc-start", f"#!/bin/sh\n[ -e $0.cut ] && {{ echo 'no bridge' >&2; exit 1; }}\n: >{state}\n")
    program(host, "env", '#!/bin/sh\nshift\nexec "$@"\n')
    return host


MAKE = {"action": "make", "guests": [ORDER], "timeout_s": 60}
START = MAKE | {"action": "start"}


@pytest.mark.host
@pytest.mark.parametrize("cut", ["mmdebstrap", "lxc-usernsexec"])
def test_killed_half_way_nothing_is_taken_for_whole_and_the_next_try_makes_it(debian: Host, cut: str) -> None:
    flag = Path(debian.bin_dir or "", f"{cut}.cut")
    flag.touch()
    assert run(debian, MAKE) == {}
    assert not Path(debian.path("/var/lib/lxc/proxy")).exists()
    flag.unlink()
    assert run(debian, MAKE)["guests"] == {"proxy": {"state": "made"}}
    assert names(debian, "/var/lib/lxc/proxy") == ["config", "rootfs"]
    (template,) = names(debian, "/var/cache/passerelle/templates")
    assert Path(debian.path("/var/cache/passerelle/templates"), template).read_text() == "whole\n"
    assert run(debian, MAKE)["guests"] == {"proxy": {"state": "set up"}}
    assert names(debian, "/var/lib/lxc") == ["proxy"]


@pytest.mark.host
def test_a_second_guest_is_made_of_the_same_template(debian: Host) -> None:
    run(debian, MAKE)
    other = ORDER | {"name": "web", "mac": "bc:24:11:00:00:03"}
    assert run(debian, MAKE | {"guests": [other]})["guests"] == {"web": {"state": "made"}}
    assert Path(debian.bin_dir or "", "mmdebstrap.times").read_text() == "x\n"
    assert run(debian, MAKE | {"guests": [ORDER | {"mac": "bc:24:11:00:00:04"}]})["state"] == "refused"


@pytest.mark.host
def test_guests_get_python_packages_from_where_the_host_gets_them(debian: Host) -> None:
    run(debian, MAKE)
    put(debian, "/etc/pip.conf", "[global]\nindex-url = http://index.example/simple\n").chmod(0o640)
    run(debian, MAKE | {"guests": [ORDER | {"name": "web", "mac": "bc:24:11:00:00:03"}]})
    assert len(names(debian, "/var/cache/passerelle/templates")) == 2
    assert Path(debian.bin_dir or "", "mmdebstrap.pip").read_text() == "640 index-url = http://index.example/simple\n"


@pytest.mark.host
def test_a_new_guest_is_started_and_one_that_somebody_stopped_is_not(debian: Host) -> None:
    assert run(debian, START)["guests"]["proxy"]["state"] == "failed"
    run(debian, MAKE)
    flag = Path(debian.bin_dir or "", "lxc-start.cut")
    flag.touch()
    failed = run(debian, START)["guests"]["proxy"]
    assert (failed["state"], failed["reason"]) == ("failed", "lxc-start failed: no bridge")
    note = Path(debian.path("/var/lib/passerelle/guests/proxy"))
    assert note.read_text() == "lxc-start failed: no bridge\n"
    flag.unlink()
    settings = Path(debian.path("/var/lib/lxc/proxy/config"))
    assert "lxc.start.auto = 0" in settings.read_text(), "a boot, or lxc.service within a change, would start it"
    assert run(debian, START)["guests"] == {"proxy": {"state": "started"}}
    assert "lxc.start.auto = 1" in settings.read_text()
    assert not note.exists()
    Path(debian.path("/var/lib/lxc/.state")).unlink()
    assert run(debian, START)["guests"] == {"proxy": {"state": "left"}}


def asked(host: Host, monkeypatch: pytest.MonkeyPatch, order: dict[str, Any]) -> dict[str, Any]:
    """The verb in this process: its answer."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(order).encode())))
    return verb_guests(host)


def test_each_action_answers_what_became_of_the_guest(debian: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"state": "failed", "reason": "guest proxy is not on the host"}
    assert asked(debian, monkeypatch, START) == {"state": "failed", "guests": {"proxy": failed}}
    assert asked(debian, monkeypatch, MAKE) == {"state": "done", "guests": {"proxy": {"state": "made"}}}
    assert asked(debian, monkeypatch, START) == {"state": "done", "guests": {"proxy": {"state": "started"}}}
    assert asked(debian, monkeypatch, START) == {"state": "done", "guests": {"proxy": {"state": "running"}}}
    Path(debian.path("/var/lib/lxc/.state")).unlink()
    assert asked(debian, monkeypatch, START) == {"state": "done", "guests": {"proxy": {"state": "left"}}}


def test_a_guest_gets_as_long_as_the_order_says(debian: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    program(debian, "mmdebstrap", "#!/bin/sh\nexec /usr/bin/sleep 600\n")
    answer = asked(debian, monkeypatch, MAKE | {"timeout_s": 1})["guests"]["proxy"]
    assert (answer["state"], answer["reason"]) == ("failed", "env did not end within 1 s")


@pytest.mark.host
def test_one_that_runs_already_is_not_new_whatever_was_cut_before(debian: Host) -> None:
    run(debian, MAKE)
    state, note = (Path(debian.path(path)) for path in ("/var/lib/lxc/.state", "/var/lib/passerelle/guests/proxy"))
    state.touch()
    assert run(debian, MAKE)["guests"] == {"proxy": {"state": "set up"}}
    assert not note.exists()
    assert "lxc.start.auto = 1" in Path(debian.path("/var/lib/lxc/proxy/config")).read_text()
    state.unlink()
    assert run(debian, START)["guests"] == {"proxy": {"state": "left"}}


# Proxmox


@pytest.fixture
def proxmox(host: Host) -> Host:
    Path(host.path("/etc/pve/lxc")).mkdir(parents=True)
    program(host, "pct", PCT)
    return host


def said(host: Host) -> list[str]:
    file = Path(host.bin_dir or "", "pct.said")
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.host
def test_pct_is_given_what_it_knows(proxmox: Host) -> None:
    wanted = wanted_of(ON_PROXMOX)
    pct.make(proxmox, wanted, "/var/cache/passerelle/templates/x.tar.zst", 10)
    assert said(proxmox)[0].startswith(f"create 105 {proxmox.root}/var/cache/passerelle/templates/x.tar.zst ")
    found = pct.settings(proxmox, "105")
    assert found["net0"] == f"name=eth0,bridge=vmbr0,hwaddr={MAC.upper()},ip=dhcp"
    assert found["mp0"] == "/etc/passerelle/guests/proxy,mp=/etc/passerelle,ro=1"
    assert (found["onboot"], found["unprivileged"], found["rootfs"]) == ("1", "1", "local-zfs:4")
    pct.set_up(proxmox, "105", wanted)
    assert len(said(proxmox)) == 1, "all is as wanted, and pct was called"
    pct.start(proxmox, "105")
    assert said(proxmox)[1:] == ["start 105"]
    with pytest.raises(Trouble, match="pct create 105 failed: CT 105 already exists"):
        pct.make(proxmox, wanted, "/x.tar.zst", 10)


@pytest.mark.host
def test_the_verb_makes_starts_and_enters_a_guest_of_proxmox(debian: Host, proxmox: Host) -> None:
    order = MAKE | {"guests": [ON_PROXMOX]}
    assert run(debian, order)["guests"] == {"proxy": {"state": "made"}}
    assert run(debian, order)["guests"] == {"proxy": {"state": "set up"}}
    assert run(debian, order | {"action": "start"})["guests"] == {"proxy": {"state": "started"}}
    found = find_guest(proxmox, "proxy@105")
    assert found is not None and is_running(proxmox, found)
    assert inside(proxmox, found, ["echo", "a b"]).out == "a b\n"
    verbs = [line.split()[0] for line in said(proxmox)]
    assert verbs == ["create", "status", "status", "start", "set", "status", "exec"]
    assert names(proxmox, "/var/cache/passerelle/templates")[0].endswith(".tar.zst")
    owner = Path(proxmox.path("/var/lib/passerelle-guests/proxy")).stat()
    assert (owner.st_uid, owner.st_mode & 0o777) == (100_000, 0o711)


@pytest.mark.host
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("lxc/106.conf", f"net0: name=eth0,bridge=vmbr0,hwaddr={MAC.upper()},ip=dhcp"),
        ("qemu-server/106.conf", f"net1: virtio={MAC.upper()},bridge=vmbr0"),
    ],
)
def test_no_second_guest_of_proxmox_gets_the_same_mac_address(
    debian: Host, proxmox: Host, path: str, line: str
) -> None:
    put(proxmox, f"/etc/pve/{path}", f"{line}\n")
    failed = run(debian, MAKE | {"guests": [ON_PROXMOX]})["guests"]["proxy"]
    assert failed["reason"].startswith(f"guest 106 of this host has the MAC address {MAC}. Fix: write `vmid: 106`")
    assert said(proxmox) == []


@pytest.mark.host
def test_an_adopted_container_of_proxmox_gets_only_what_is_missing(proxmox: Host) -> None:
    put(
        proxmox,
        "/etc/pve/lxc/105.conf",
        "mp0: /srv,mp=/srv\nmp2: /tmp,mp=/etc/passerelle\nonboot: 0\n[old]\nmp1: x,mp=/x\n",
    )
    pct.set_up(proxmox, "105", wanted_of(ON_PROXMOX))
    assert said(proxmox) == [
        "set 105 --onboot 1 --mp2 /etc/passerelle/guests/proxy,mp=/etc/passerelle,ro=1"
        " --mp1 /var/lib/passerelle-guests/proxy,mp=/var/lib/passerelle-guest"
    ]
    assert pct.mapped_root(proxmox, "105") == 0
    put(proxmox, "/etc/pve/lxc/106.conf", "unprivileged: 1\n")
    assert pct.mapped_root(proxmox, "106") == 100_000


@pytest.mark.host
@pytest.mark.parametrize(
    "argv", [["destroy", "105"], ["set", "105", "--hookscript", "x"], ["create", "105"], ["exec", "105", "id"]]
)
def test_the_recorded_pct_knows_nothing_else(proxmox: Host, argv: list[str]) -> None:
    program_path = str(Path(proxmox.bin_dir or "", "pct"))
    ran = subprocess.run([program_path, *argv], capture_output=True, text=True, timeout=grown_s(20), check=False)
    assert ran.returncode != 0
