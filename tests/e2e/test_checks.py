"""What answered before a change and not after it: the change is rolled back at once, and the record names it."""

import pytest

from tests.e2e.story import OUTSIDE, Story

pytestmark = pytest.mark.lab

CHECKS = f"""\
checks:
  - {{type: dns, address: 10.10.10.1, name: dev.madyanne.lan}}
  - {{type: http, address: {OUTSIDE}, from: controller}}
  - {{type: icmp, address: {OUTSIDE}, from: controller}}
  - {{type: icmp, address: {OUTSIDE}}}
  - {{type: tcp, address: 10.10.10.50, port: 9}}
"""
NAME = "dns 10.10.10.1:53 dev.madyanne.lan"


def test_a_name_that_goes_away_takes_the_change_with_it(story: Story) -> None:
    good = story.apply(story.spec() + CHECKS, "with checks")
    story.guests["dev"].wait_for_address()
    tuned = story.apply(story.spec(cache_size=300) + CHECKS, "checked, and fine")
    (record,) = [a for a in story.applies() if a["commit"] == tuned]
    probes = {p["name"]: p for p in story.field.get(f"applies/{record['id']}")["probes"]}
    assert {name for name, p in probes.items() if (p["before"], p["after"]) == ("ok", "ok")} == {
        "ssh", "gateway IPv4", "server 10.10.10.1:53 dnsmasq", f"dns {OUTSIDE}", NAME,
        f"http {OUTSIDE}:80 from the controller",
        f"icmp {OUTSIDE} from the controller", f"icmp {OUTSIDE}",
    }  # fmt: skip
    assert probes["tcp 10.10.10.50:9"]["before"] == "connection refused"  # so it proves nothing, and stops nothing
    assert good != tuned

    commit = story.push(story.spec(cache_size=300).replace("madyanne.lan", "elsewhere.lan") + CHECKS, "another domain")
    story.wait_status(reason="RolledBackLatched", phase="RolledBack")
    (record,) = [a for a in story.applies() if a["commit"] == commit]
    assert (record["phase"], record["cause"]) == ("RolledBack", "probe lost")
    assert f"{NAME}: NXDOMAIN" in record["error"]
    probe = {p["name"]: p for p in story.field.get(f"applies/{record['id']}")["probes"]}[NAME]
    assert (probe["before"], probe["after"], probe["undone"]) == ("ok", "NXDOMAIN", "ok")
    assert b"domain=madyanne.lan" in story.host.read("/etc/dnsmasq.d/passerelle.conf")
    (latch,) = story.field.items("hosts/pve1/latches")
    shown = story.field.run("status").stderr.decode()
    assert f"pve1: {latch['desired_digest']} was rolled back" in shown
    assert f"{NAME}: NXDOMAIN" in shown

    without = story.spec(cache_size=300).replace("madyanne.lan", "elsewhere.lan")
    latest = story.push(without, "nobody asks for the old name any more")  # the host is to become what was rolled back
    story.wait_status(observed_commit=latest, reason="RolledBackLatched")
    story.field.run("latch", "clear", "pve1", "--reason", "the check was out of date")
    story.wait_synced(latest)
    assert story.field.run("latch", "clear", "pve1", "--reason", "again", check=False).returncode == 1
    story.apply(story.spec(), "as usual")
