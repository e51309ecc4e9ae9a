"""Packages are installed without a service starting, and what came enabled waits for the transaction."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from service.hostside.host import Host
from service.hostside.policy import enabled_units
from service.hostside.vital import package_objections
from tests.hostside.scratch import Scratch

pytestmark = pytest.mark.host

POLICY = "usr/sbin/policy-rc.d"


def test_a_package_is_installed_and_its_service_neither_started_nor_enabled(scratch: Scratch) -> None:
    answer = scratch.call("packages", give={"install": ["fail2ban", "nftables"], "timeout_s": 60})
    assert answer["state"] == "done"
    assert answer["packages"] == {"fail2ban": {"state": "installed"}, "nftables": {"state": "installed"}}
    assert answer["units_disabled"] == ["fail2ban.service", "nftables.service"]
    assert scratch.get("units.json")["fail2ban.service"] == {"enabled": "disabled", "active": False}
    assert scratch.get("units.json")["dnsmasq.service"] == {"enabled": "enabled", "active": True}
    assert not (scratch.root / POLICY).exists()
    assert all("--no-install-recommends" in argv for argv in scratch.calls("apt-get"))


def test_what_is_there_already_needs_no_apt(scratch: Scratch) -> None:
    scratch.put("packages.json", ["dnsmasq"])
    answer = scratch.call("packages", give={"install": ["dnsmasq"]})
    assert answer["packages"] == {"dnsmasq": {"state": "present"}}
    assert scratch.calls("apt-get") == []


def test_an_installation_removes_nothing(scratch: Scratch) -> None:
    scratch.call("packages", give={"install": ["fail2ban"]})
    assert [("--no-remove" in argv, "-s" in argv) for argv in scratch.calls("apt-get")] == [
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ({"dnsmasq": ["-openssh-server"]}, "apt would remove openssh-server: SSH to the host needs it"),
        ({"dnsmasq": ["libc6"]}, "apt would change libc6 from 1.0 to 2.0"),
        ({"dnsmasq": ["cloud-init"]}, "cloud-init would be installed"),
    ],
)
def test_what_nobody_named_stops_an_installation_before_it_begins(
    scratch: Scratch, needs: dict[str, list[str]], said: str
) -> None:
    scratch.put("packages.json", ["libc6"])
    scratch.put("needs.json", needs)
    answer = scratch.call("packages", give={"install": ["dnsmasq"]})
    assert (answer["state"], answer["reason"]) == ("refused", "packages")
    assert said in answer["error"]
    assert scratch.get("packages.json") == ["libc6"]


def test_what_comes_is_what_was_promised(scratch: Scratch) -> None:
    scratch.put("needs.json", {"dnsmasq": ["dnsmasq-base"]})
    order = {"install": ["dnsmasq"], "promised": [["dnsmasq", "1.0", ""]]}
    assert scratch.call("packages", give=order)["reason"] == "packages"
    order["promised"].append(["dnsmasq-base", "1.0", ""])  # type: ignore[union-attr]
    assert scratch.call("packages", give=order)["state"] == "done"


@pytest.mark.parametrize("name", ["nosuch", "awk"])
def test_a_name_that_apt_does_not_offer_is_refused_after_the_lists_were_renewed(scratch: Scratch, name: str) -> None:
    answer = scratch.call("packages", give={"install": [name]})
    lists = scratch.root / "var/lib/apt/lists"
    assert "no package lists" in answer["error"]
    lists.mkdir(parents=True)
    (lists / "lab_Packages").touch()
    answer = scratch.call("packages", give={"install": [name]})
    assert (answer["state"], answer["error"]) == ("refused", f"apt knows no package {name}")
    assert [argv[-1] for argv in scratch.calls("apt-get")] == ["update", "update"]
    assert not (scratch.root / POLICY).exists()


def test_what_apt_says_of_a_failure_is_told_without_control_characters(scratch: Scratch) -> None:
    answer = scratch.call("packages", give={"install": ["broken"]})
    assert answer["packages"]["broken"]["reason"] == "E: ?[1mUnable to fetch broken"
    assert not (scratch.root / POLICY).exists()


def test_the_host_tells_what_would_come_and_go_and_changes_nothing(scratch: Scratch) -> None:
    scratch.put("packages.json", ["openssh-server", "openssh-sftp-server", "coreutils"])
    scratch.put("needs.json", {"openssh-server": ["openssh-sftp-server"], "dnsmasq": ["dnsmasq-base"]})
    order = {"install": ["dnsmasq"], "remove": ["openssh-sftp-server"], "units": ["named.service"]}
    answer = scratch.call("weigh", json.dumps(order))
    assert answer["install"] == {"moves": [["dnsmasq-base", "1.0", ""], ["dnsmasq", "1.0", ""]]}
    assert answer["remove"] == {"moves": [["openssh-server", "", "1.0"], ["openssh-sftp-server", "", "1.0"]]}
    assert answer["units"]["named.service"]["UnitFileState"] == "enabled"
    assert scratch.get("packages.json") == ["openssh-server", "openssh-sftp-server", "coreutils"]
    assert not (scratch.root / "var/lib/passerelle").exists()


def test_while_somebody_changes_packages_nothing_is_said_of_them(scratch: Scratch) -> None:
    lock = scratch.root / "var/lib/dpkg/lock-frontend"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        answer = scratch.call("weigh", json.dumps({"install": ["dnsmasq"]}))
        assert answer["install"] == {"unknown": f"process {os.getpid()} changes packages on the host at this moment"}
        assert scratch.call("packages", give={"install": ["dnsmasq"]})["reason"] == "packages"
    answer = scratch.call("weigh", json.dumps({"install": ["dnsmasq"]}))
    assert answer["install"] == {"moves": [["dnsmasq", "1.0", ""]]}


@pytest.mark.parametrize(("name", "reason"), [("coreutils", "vital"), ("libwrap0", "beyond-named")])
def test_a_transaction_that_takes_what_the_host_hangs_on_is_refused_on_the_host(
    scratch: Scratch, name: str, reason: str
) -> None:
    scratch.put("packages.json", ["openssh-server", "libwrap0", "coreutils"])
    scratch.put("needs.json", {"openssh-server": ["libwrap0"]})
    moves = scratch.call("weigh", json.dumps({"remove": [name]}))
    said = package_objections("remove", [name], moves["remove"]["moves"], moves["flags"])
    assert said[0][0] == reason


@pytest.mark.parametrize("unit", ["systemd-poweroff.service", "passerelle-recover.service", "rescue.service"])
def test_the_host_itself_refuses_to_switch_what_ends_it_or_undoes_changes(scratch: Scratch, unit: str) -> None:
    scratch.put("units.json", scratch.get("units.json") | {unit: {"enabled": "static", "active": False}})
    document = scratch.drill()
    step = scratch.step(f"unit:{unit}", {"enabled": "static"}, {"enabled": "enabled", "active": True})
    answer = scratch.begin({**document, "steps": [*document["steps"], step]})
    assert (answer["state"], answer["reason"]) == ("refused", "vital")
    assert scratch.get("units.json")[unit]["active"] is False


@pytest.mark.parametrize("name", ["-o", "a b", "x;y", "", "../x"])
def test_what_is_no_package_name_is_refused(scratch: Scratch, name: str) -> None:
    assert scratch.call("packages", give={"install": [name]}, code=2)["state"] == "invalid"


def test_someone_elses_policy_comes_back(scratch: Scratch) -> None:
    policy = scratch.root / POLICY
    policy.write_text("#!/bin/sh\nexit 104\n")
    policy.chmod(0o755)
    scratch.call("packages", give={"install": ["fail2ban"]})
    assert policy.read_text() == "#!/bin/sh\nexit 104\n"
    assert sorted(path.name for path in policy.parent.iterdir()) == ["policy-rc.d"]


def link(scratch: Scratch, path: str, target: str, *, there: bool = True) -> None:
    """A link in /etc/systemd/system, and the unit's file that it leads to."""
    at, file = scratch.root / "etc/systemd/system" / path, scratch.root / target.lstrip("/")
    for each in (at, file):
        each.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(target)
    if there and target != os.devnull:
        file.touch()


def test_what_is_enabled_is_read_from_the_links(scratch: Scratch) -> None:
    files = "/lib/systemd/system/"
    link(scratch, "multi-user.target.wants/cron.service", files + "cron.service")
    link(scratch, "cloud.target.requires/late@one.service", files + "late@.service")
    link(scratch, "other.service.upholds/held.socket", files + "held.socket")
    link(scratch, "syslog.service", files + "rsyslog.service")
    link(scratch, "multi-user.target.wants/gone.service", files + "gone.service", there=False)
    link(scratch, "multi-user.target.wants/masked.service", files + "masked.service")
    link(scratch, "masked.service", os.devnull)
    link(scratch, "linked.service", "/opt/linked.service")
    link(scratch, "ignored.d/some.conf", files + "some.service")
    (scratch.root / "etc/systemd/system/multi-user.target.wants/copied.service").touch()
    assert enabled_units(Host(str(scratch.root))) == [
        "cron.service", "held.socket", "late@one.service", "rsyslog.service",
    ]  # fmt: skip


def test_what_goes_while_the_links_are_read_is_not_enabled(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    link(scratch, "multi-user.target.wants/cron.service", "/lib/systemd/system/cron.service")
    link(scratch, "multi-user.target.wants/gone.service", "/lib/systemd/system/gone.service")
    link(scratch, "gone.service", "/lib/systemd/system/other.service")
    (scratch.root / "etc/systemd/system/gone.target.wants").mkdir()
    read = os.scandir
    listed: list[str] = []

    def list_and_remove(path: str) -> list[os.DirEntry[str]]:
        """Somebody disables units right after a folder is listed: a link the first time, a folder the second time."""
        entries = list(read(path))
        for entry in entries:
            if entry.name.startswith("gone.") and entry.is_symlink():
                Path(entry.path).unlink()
            elif entry.name.startswith("gone.") and path in listed:
                Path(entry.path).rmdir()
        listed.append(path)
        return entries

    monkeypatch.setattr(os, "scandir", list_and_remove)
    assert enabled_units(Host(str(scratch.root))) == ["cron.service"]


def test_no_unit_is_enabled_where_nobody_has_made_a_link(scratch: Scratch) -> None:
    assert enabled_units(Host(str(scratch.root))) == []


def test_instances_of_a_template_that_an_earlier_version_noted_stay(scratch: Scratch) -> None:
    state = scratch.root / "var/lib/passerelle"
    state.mkdir(parents=True)
    link(scratch, "getty.target.wants/getty@tty1.service", "/lib/systemd/system/getty@.service")
    note = {"pid": os.getpid(), "start": "another process", "enabled": ["getty@.service"]}
    (state / "packages.json").write_text(json.dumps(note))
    scratch.call("packages", give={})
    assert [argv for argv in scratch.calls("systemctl") if "disable" in argv] == []


@pytest.mark.parametrize("verb", ["packages", "begin", "boot"])
def test_an_installation_that_was_cut_is_finished_by_the_next_verb(scratch: Scratch, verb: str) -> None:
    state = scratch.root / "var/lib/passerelle"
    state.mkdir(parents=True)
    note = {"pid": os.getpid(), "start": "another process", "enabled": ["dnsmasq.service", "named.service"]}
    (state / "packages.json").write_text(json.dumps(note))
    (scratch.root / POLICY).write_text("#!/bin/sh\n# Written by passerelle: …\nexit 101\n")
    units = scratch.get("units.json") | {"fail2ban.service": {"enabled": "enabled", "active": True}}
    scratch.put("units.json", units)
    link(scratch, "multi-user.target.wants/fail2ban.service", "/lib/systemd/system/fail2ban.service")
    scratch.call(verb, give={"packages": {}, "begin": scratch.drill(), "boot": None}[verb])
    assert scratch.get("units.json")["fail2ban.service"]["enabled"] == "disabled"
    assert scratch.get("units.json")["dnsmasq.service"]["enabled"] == "enabled"
    assert not (scratch.root / POLICY).exists()
    assert not (state / "packages.json").exists()


def test_packages_wait_until_nothing_is_armed(scratch: Scratch) -> None:
    scratch.begin(scratch.drill())
    assert scratch.call("packages", give={"install": ["fail2ban"]})["reason"] == "armed"


def test_what_a_rollback_brings_back_comes_after_the_way_in(scratch: Scratch) -> None:
    scratch.put("packages.json", ["tcpdump"])
    document = scratch.drill()
    steps = [
        scratch.step("package:tcpdump", {"version": "1.0"}, None),
        scratch.step("unit:named.service", {"active": True}, {"enabled": "disabled", "active": False}),
    ]
    begun = scratch.begin({**document, "steps": [*document["steps"], *steps]})
    assert scratch.get("packages.json") == [], begun
    scratch.call("rollback", document["id"])
    assert scratch.get("packages.json") == ["tcpdump"]
    assert scratch.get("units.json")["named.service"] == {"enabled": "enabled", "active": True}
    lines = (scratch.model / "calls").read_text().splitlines()
    calls = [" ".join([call["name"], *call["argv"]]) for call in map(json.loads, lines)]
    started = next(n for n, call in enumerate(calls) if call == "systemctl start named.service")
    brought = next(n for n, call in enumerate(calls) if call.startswith("dpkg ") and "--install" in call)
    assert started < brought
    assert not (scratch.root / POLICY).exists()


INSIDE: dict[str, Any] = {"guest": "proxy@bc:24:11:00:00:02", "install": ["nginx", "openssl"]}


def test_packages_come_into_a_guest_from_its_own_sources(scratch: Scratch) -> None:
    before = scratch.state()
    scratch.put("guest-needs.json", {"nginx": ["nginx-common"]})
    answer = scratch.call("packages", give=INSIDE)
    assert answer["packages"] == {"nginx": {"state": "installed"}, "openssl": {"state": "present"}}
    assert scratch.get("guest-packages.json") == ["openssl", "nginx"]
    assert scratch.call("packages", give=INSIDE)["packages"]["nginx"] == {"state": "present"}
    assert (scratch.get("packages.json"), scratch.state()) == ([], before)


def test_what_a_guest_would_lose_by_it_is_refused(scratch: Scratch) -> None:
    scratch.put("guest-packages.json", ["apache2"])
    scratch.put("guest-needs.json", {"nginx": ["-apache2"]})
    answer = scratch.call("packages", give=INSIDE)
    assert (answer["state"], answer["reason"]) == ("refused", "packages")
    assert "apache2" in answer["error"]
    assert scratch.get("guest-packages.json") == ["apache2"]


def test_what_apt_in_a_guest_says_is_told(scratch: Scratch) -> None:
    answer = scratch.call("packages", give=INSIDE | {"install": ["broken"]})
    assert answer["state"] == "failed"
    assert answer["packages"]["broken"]["reason"] == "E: ?[1mUnable to fetch broken"
    assert scratch.call("packages", give=INSIDE | {"install": ["nosuch"]})["error"] == "apt knows no package nosuch"


@pytest.mark.parametrize("state", ["STOPPED", "nowhere"])
def test_a_guest_that_is_down_gets_no_packages(scratch: Scratch, state: str) -> None:
    scratch.put("nginx.json", {"guest": state})
    if state == "nowhere":
        (scratch.root / "var/lib/lxc/web1/config").unlink()
    answer = scratch.call("packages", give=INSIDE)
    assert (answer["state"], answer["reason"]) == ("refused", "guest")
    assert answer["error"] == "guest proxy is not running, so nothing can be installed in it"
