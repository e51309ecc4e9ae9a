"""Packages are installed without a service starting, and what came enabled waits for the transaction."""

import json
import os

import pytest

from tests.hostside.scratch import Scratch

pytestmark = pytest.mark.host

POLICY = "usr/sbin/policy-rc.d"


def test_a_package_is_installed_and_its_service_neither_started_nor_enabled(scratch: Scratch) -> None:
    answer = scratch.call("packages", give={"install": ["fail2ban", "nftables"], "remove": [], "timeout_s": 60})
    assert answer["state"] == "done"
    assert answer["packages"] == {"fail2ban": {"state": "installed"}, "nftables": {"state": "installed"}}
    assert answer["units_disabled"] == ["fail2ban.service", "nftables.service"]
    assert scratch.get("units.json")["fail2ban.service"] == {"enabled": "disabled", "active": False}
    assert scratch.get("units.json")["dnsmasq.service"] == {"enabled": "enabled", "active": True}
    assert not (scratch.root / POLICY).exists()
    assert "--no-install-recommends" in scratch.calls("apt-get")[0]


def test_what_is_there_already_needs_no_apt(scratch: Scratch) -> None:
    scratch.put("packages.json", ["dnsmasq"])
    answer = scratch.call("packages", give={"install": ["dnsmasq"], "remove": ["bind9"]})
    assert answer["packages"] == {"dnsmasq": {"state": "present"}, "bind9": {"state": "absent"}}
    assert scratch.calls("apt-get") == []


def test_a_package_is_removed(scratch: Scratch) -> None:
    scratch.put("packages.json", ["bind9"])
    assert scratch.call("packages", give={"remove": ["bind9"]})["packages"] == {"bind9": {"state": "removed"}}
    assert scratch.get("packages.json") == []


def test_a_package_that_does_not_exist_fails_with_a_safe_reason_after_the_lists_were_renewed(scratch: Scratch) -> None:
    answer = scratch.call("packages", give={"install": ["nosuch"]})
    assert answer["state"] == "failed"
    assert answer["packages"]["nosuch"]["reason"] == "E: ?[1mUnable to locate package nosuch"
    assert "update" in scratch.calls("apt-get")[1]
    assert not (scratch.root / POLICY).exists()


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


@pytest.mark.parametrize("verb", ["packages", "begin", "boot"])
def test_an_installation_that_was_cut_is_finished_by_the_next_verb(scratch: Scratch, verb: str) -> None:
    state = scratch.root / "var/lib/passerelle"
    state.mkdir(parents=True)
    note = {"pid": os.getpid(), "start": "another process", "enabled": ["dnsmasq.service", "named.service"]}
    (state / "packages.json").write_text(json.dumps(note))
    (scratch.root / POLICY).write_text("#!/bin/sh\n# Written by passerelle: …\nexit 101\n")
    units = scratch.get("units.json") | {"fail2ban.service": {"enabled": "enabled", "active": True}}
    scratch.put("units.json", units)
    scratch.call(verb, give={"packages": {}, "begin": scratch.drill(), "boot": None}[verb])
    assert scratch.get("units.json")["fail2ban.service"]["enabled"] == "disabled"
    assert scratch.get("units.json")["dnsmasq.service"]["enabled"] == "enabled"
    assert not (scratch.root / POLICY).exists()
    assert not (state / "packages.json").exists()


def test_packages_wait_until_nothing_is_armed(scratch: Scratch) -> None:
    scratch.begin(scratch.drill())
    assert scratch.call("packages", give={"install": ["fail2ban"]})["reason"] == "armed"
