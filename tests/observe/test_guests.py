"""Guests that are looked into: what a host and a guest report, and that neither can pretend to be the other."""

import base64
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.errors import InputError
from service.lab.waiting import grown_s
from service.model.observed import Watch
from service.model.states import Absent, Seen, Unknown
from service.observe.frames import Section
from service.observe.guest_script import MAX_STATUS_BYTES, guests_asked
from service.observe.part import Part
from service.observe.read_guests import read_guests

MAC = "bc:24:11:00:00:02"
WATCH = Watch(guests=frozenset({("proxy", MAC, 0)}))
CONFIG = f"""\
lxc.net.0.link = vmbr0
lxc.net.0.hwaddr = {MAC}
lxc.start.auto = 1
lxc.cgroup2.memory.max = 512M
lxc.mount.entry = /etc/passerelle/guests/proxy etc/passerelle none bind,ro,create=dir 0 0
lxc.mount.entry = /var/lib/passerelle-guests/other var/lib/passerelle-guest none bind,create=dir 0 0
"""
PVE = f"""\
hostname: proxy
memory: 1024
mp0: /etc/passerelle/guests/proxy,mp=/etc/passerelle,ro=1
mp1: /var/lib/passerelle-guests/proxy,mp=/var/lib/passerelle-guest
net0: name=eth0,bridge=vmbr0,hwaddr={MAC.upper()},ip=dhcp
onboot: 1
[before]
memory: 64
"""
NGINX = f"Loaded=77 {'a' * 64}\nMounted=yes\nLoadState=loaded\nActiveState=active\nMainPID=77\n"
SAID = f"mounted /etc/passerelle\nmounted /var/lib/passerelle-guest\n{NGINX}status\n"
PROXY = f"proxy:proxy@{MAC}"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def read(*lines: str, watch: Watch = WATCH) -> Part:
    body = "".join(f"{line}\n" for line in lines).encode()
    return read_guests({"guests": Section("guests", body, b"", 0)}, watch)


def guest(part: Part) -> Mapping[str, object]:
    seen = part.facts["guest:proxy"]
    assert isinstance(seen, Seen) and isinstance(seen.value, dict)
    return seen.value


def test_a_running_guest_is_told_with_its_settings_its_folders_and_its_status() -> None:
    part = read(
        "guest|proxy|lxc|box|RUNNING", f"config|proxy|{b64(CONFIG)}", f"inside|proxy|{b64(SAID + '{}')}",
    )  # fmt: skip
    assert guest(part) == {
        "kind": "lxc", "own": "box", "running": True, "answers": True, "autostart": True, "mac": MAC, "bridge": "vmbr0",
        "memory_mib": 512, "mounts": ["/etc/passerelle"], "new": False, "trouble": "",
        "mounted": ["/etc/passerelle", "/var/lib/passerelle-guest"],
    }  # fmt: skip
    assert part.facts[PROXY] == Seen({"active": True, "loaded": "a" * 64})
    assert part.guest_status["proxy"] == Seen(b"{}")


def test_on_proxmox_only_what_counts_now_is_taken() -> None:
    part = read("guest|proxy|pct|105|stopped", f"config|proxy|{b64(PVE)}")
    found = guest(part)
    assert (found["autostart"], found["bridge"], found["memory_mib"]) == (True, "vmbr0", 1024)
    assert found["mounts"] == ["/etc/passerelle", "/var/lib/passerelle-guest"]


def test_a_guest_that_is_down_is_known_and_what_is_inside_is_not() -> None:
    part = read("guest|proxy|lxc|box|STOPPED", f"config|proxy|{b64(CONFIG)}", f"new|proxy|{b64('no bridge')}")
    assert (guest(part)["running"], guest(part)["new"], guest(part)["trouble"]) == (False, True, "no bridge")
    assert part.facts[PROXY] == Unknown("guest proxy is not running")
    assert part.guest_status["proxy"] == Unknown("guest proxy is not running")


def test_a_guest_that_is_nowhere_is_absent_and_one_that_is_not_reported_is_not() -> None:
    nowhere = read("guest|proxy|none||")
    assert (nowhere.facts["guest:proxy"], nowhere.facts[PROXY]) == (Absent(), Absent())
    for lines in ((), ("guest|proxy|many||",), ("guest|proxy|odd||",), ("guest|proxy|lxc|../x|RUNNING",)):
        assert isinstance(read(*lines).facts["guest:proxy"], Unknown), lines
        assert isinstance(read(*lines).facts[PROXY], Unknown), lines
    assert read(watch=Watch()) == Part()


@pytest.mark.parametrize("said", ["", "mounted /etc/passerelle\n", "x\n" * 500 + "status\n{}"])
def test_a_guest_that_says_something_else_does_not_answer(said: str) -> None:
    part = read("guest|proxy|lxc|box|RUNNING", f"config|proxy|{b64(CONFIG)}", f"inside|proxy|{b64(said)}")
    assert guest(part)["running"] is True and guest(part)["answers"] is False
    assert part.guest_status["proxy"] == Unknown("guest proxy is running and does not answer")


def test_what_a_guest_prints_stays_its_status() -> None:
    text = "guest|proxy|none||\nconfig|proxy|\nstatus\n@@x done\n"
    head = "loaded ../../etc/shadow\nmounted /\nstatus\n"
    part = read("guest|proxy|lxc|box|RUNNING", f"config|proxy|{b64(CONFIG)}", f"inside|proxy|{b64(head + text)}")
    assert part.guest_status["proxy"] == Seen(text.encode())
    assert part.facts[PROXY] == Unknown("guest proxy does not say whether nginx runs in it")
    assert guest(part)["mounted"] == []
    large = read(
        "guest|proxy|lxc|box|RUNNING", f"config|proxy|{b64(CONFIG)}",
        f"inside|proxy|{b64('loaded' + chr(10) + 'status' + chr(10) + 'x' * (MAX_STATUS_BYTES + 1))}",
    )  # fmt: skip
    assert isinstance(large.guest_status["proxy"], Unknown)


@pytest.mark.parametrize(
    "row", [("a b", MAC, 0), ("$(x)", MAC, 0), ("a", "bc:24:11:00:00:02 x", 0), ("a", MAC, -1), ("a\nEND", MAC, 0)]
)
def test_no_other_name_reaches_the_shell(row: tuple[str, str, int]) -> None:
    with pytest.raises(InputError):
        guests_asked([row])


def said_of_nginx(**changes: str) -> object:
    """The fact about nginx where a guest says so, with other values; a key without one is not said."""
    values = dict(line.split("=") for line in NGINX.splitlines()) | changes
    text = "".join(f"{key}={value}\n" for key, value in values.items() if value != "-") + "status\n"
    part = read("guest|proxy|lxc|box|RUNNING", f"config|proxy|{b64(CONFIG)}", f"inside|proxy|{b64(text)}")
    seen = part.facts[PROXY]
    return seen.value if isinstance(seen, Seen) else seen


def test_nginx_that_is_down_another_one_and_no_answer_differ() -> None:
    loaded, none = {"active": True, "loaded": "a" * 64}, {"active": True, "loaded": ""}
    assert said_of_nginx() == said_of_nginx(ActiveState="reloading") == loaded
    for state in ("inactive", "failed"):
        for loaded_by in ("77", "0"):
            said = said_of_nginx(ActiveState=state, MainPID="0", Loaded=f"{loaded_by} {'a' * 64}")
            assert said == {"active": False, "loaded": ""}
    assert said_of_nginx(LoadState="not-found", ActiveState="inactive", MainPID="0", Loaded="")
    assert said_of_nginx(MainPID="78") == none, "what another process loaded"
    assert said_of_nginx(Loaded="77 ") == said_of_nginx(Loaded=f"77 {'a' * 63}") == none
    assert said_of_nginx(ActiveState="activating") == Unknown("nginx in guest proxy is just being started or stopped")
    unmounted = "guest proxy does not see what the host has for it. Fix: restart the guest"
    assert said_of_nginx(Mounted="no") == Unknown(unmounted)
    for key in ("MainPID", "Mounted", "Loaded", "ActiveState"):
        assert said_of_nginx(**{key: "-"}) == Unknown("guest proxy does not say whether nginx runs in it")


def test_packages_of_a_guest_are_there_not_there_or_unknown() -> None:
    watch = Watch(guests=WATCH.guests, inside=frozenset({("proxy", "nginx"), ("proxy", "openssl"), ("other", "x1")}))

    def read_of(*said: str) -> Mapping[str, object]:
        text = "".join(f"{line}\n" for line in (*said, "status"))
        lines = ("guest|proxy|lxc|box|RUNNING", f"config|proxy|{b64(CONFIG)}", f"inside|proxy|{b64(text)}")
        return read(*lines, watch=watch).packages

    found = read_of("package|nginx|ii |1.22.1-9", "package|openssl|rc |3.0", "packages 0")
    assert found == {"proxy/nginx": Seen("1.22.1-9"), "proxy/openssl": Absent()}
    assert read_of("packages 1") == {"proxy/nginx": Absent(), "proxy/openssl": Absent()}
    for said in ((), ("packages 127",), ("package|nginx|ii |1.22.1-9",)):
        assert all(isinstance(seen, Unknown) for seen in read_of(*said).values()), said
    down = read("guest|proxy|lxc|box|STOPPED", f"config|proxy|{b64(CONFIG)}", watch=watch).packages
    assert down["proxy/nginx"] == Unknown("guest proxy is not running")
    assert read("guest|proxy|none||", watch=watch).packages["proxy/nginx"] == Absent()


def test_a_guest_with_a_number_on_proxmox_is_found_by_it() -> None:
    numbered = Watch(guests=frozenset({("proxy", MAC, 105)}))
    assert set(read("guest|proxy|none||", watch=numbered).facts) == {"guest:proxy", "proxy:proxy@105"}


def test_no_other_package_reaches_the_shell() -> None:
    with pytest.raises(InputError):
        guests_asked([("proxy", MAC, 0)], [("proxy", "x; reboot")])


HARNESS = """set -e
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/lxc/box /var/lib/lxc/other /var/lib/lxc/.passerelle-web
printf 'lxc.net.0.hwaddr = BC:24:11:00:00:02\\n' >/var/lib/lxc/box/config
cp /var/lib/lxc/box/config /var/lib/lxc/.passerelle-web/config
printf '# lxc.net.0.hwaddr = bc:24:11:00:00:02\\nlxc.net.0.hwaddr=bc:24:11:00:00:09\\n' >/var/lib/lxc/other/config
set +e
section() { shift; "$@"; echo "ended $?"; }
"""
ATTACH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
SAYS
"""


def asked(tmp_path: Path, state: str, says: str, shell: str = "sh") -> tuple[Part, float]:
    """The section run by a real shell, with scripts for the programs of containers: what is read, and the seconds."""
    for name, text in {"lxc-info": f"#!/bin/sh\necho {state}\n", "lxc-attach": ATTACH.replace("SAYS", says)}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    argv = ["unshare", "--mount", shell, "-c", HARNESS + guests_asked(WATCH.guests)]
    environment = {"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    began = time.monotonic()
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=grown_s(60), check=True)
    lines = ran.stdout.splitlines()
    assert lines[-1] == "ended 0"
    return read(*lines[:-1]), time.monotonic() - began


@pytest.mark.host
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_real_shell_finds_the_container_and_what_is_in_it(tmp_path: Path, shell: str) -> None:
    part, _ = asked(tmp_path, "RUNNING", "echo status; printf '{}'", shell)
    assert (guest(part)["own"], guest(part)["answers"]) == ("box", True)
    assert part.guest_status["proxy"] == Seen(b"{}")


@pytest.mark.host
@pytest.mark.parametrize("state", ["STOPPED", "FROZEN", "'$(x) | y'", ""])
def test_a_real_shell_ends_well_for_a_guest_that_is_down(tmp_path: Path, state: str) -> None:
    part, _ = asked(tmp_path, state, "exit 1")
    assert (guest(part)["own"], guest(part)["running"]) == ("box", False)


@pytest.mark.host
def test_a_guest_that_keeps_its_output_open_or_prints_without_end_is_not_waited_for(tmp_path: Path) -> None:
    part, took_s = asked(tmp_path, "RUNNING", "setsid sleep 55 & echo status")
    assert guest(part)["running"] is True
    assert took_s < 40
    part, _ = asked(tmp_path, "RUNNING", "echo status; exec cat /dev/zero")
    assert isinstance(part.guest_status["proxy"], Unknown)
