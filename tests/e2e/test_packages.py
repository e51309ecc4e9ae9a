"""What a commit may do to packages and services, on a real host: nothing that the connection or the boot needs."""

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=1)

NAMED = "packages: {dnsmasq: present}\nservices: {named: disabled}\n"


def changed(story: Story, packages: str = "", services: str = "", sync: str = "auto") -> str:
    extra = f"packages: {{dnsmasq: present{packages}}}\nservices: {{named: disabled{services}}}\n"
    return story.spec(sync=sync).replace(NAMED, extra)


def is_installed(story: Story, package: str) -> bool:
    return story.host.sh(f"dpkg-query -W -f '${{db:Status-Status}}' {package} || true").strip() == "installed"


@pytest.mark.parametrize(
    ("packages", "services"),
    [
        (", openssh-sftp-server: absent", ""),
        ("", ", systemd-poweroff: enabled"),
        ("", ", passerelle-recover: disabled"),
        ("", ", ssh: masked"),
    ],
)
def test_a_commit_that_names_what_the_host_hangs_on_is_not_taken(story: Story, packages: str, services: str) -> None:
    good = story.apply(story.spec(), "as usual")
    applies = len(story.applies())
    bad = story.push(changed(story, packages, services), "harmful")
    states = lambda: {r["commit"]: r["state"] for r in story.field.items("revisions?limit=20")}  # noqa: E731
    story.field.wait_for(lambda: states().get(bad) == "refused", "the commit is read and not taken")
    story.wait_rounds()
    assert story.status()["observed_commit"] == good
    assert len(story.applies()) == applies
    assert is_installed(story, "openssh-server") and is_installed(story, "openssh-sftp-server")
    assert story.host.sh("systemctl is-enabled ssh").strip() == "enabled"


def test_what_would_go_along_is_refused_before_anything_is_written(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    applies = len(story.applies())
    story.push(changed(story, ", libwrap0: absent"), "a library of sshd")
    status = story.wait_status(phase="Refused")
    assert "apt would remove openssh-server as well: SSH to the host needs it" in status["message"]
    assert len(story.applies()) == applies
    assert is_installed(story, "libwrap0") and is_installed(story, "openssh-server")
    story.apply(story.spec(), "as usual again")


def test_a_package_goes_inside_of_what_is_confirmed_once_a_person_approved_it(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    story.push(changed(story, ", tcpdump: absent"), "no tcpdump")
    story.wait_status(phase="WaitingForApproval")
    story.wait_rounds()
    assert is_installed(story, "tcpdump")
    done = story.field.run("apply", "pve1", "--yes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    apply = story.field.get(f"applies/{story.applies()[0]['id']}")
    assert apply["phase"] == "Succeeded"
    assert [(step["fact"], step["state"]) for step in apply["steps"]] == [("package:tcpdump", "done")]
    assert {"name": "ssh", "before": "ok", "after": "ok", "undone": ""} in apply["probes"]
    assert not is_installed(story, "tcpdump")


def test_a_unit_that_hangs_in_the_boot_is_refused_by_what_the_host_says(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    story.push(changed(story, services=", lab-uplink: disabled"), "the uplink's name")
    status = story.wait_status(phase="Refused")
    assert "it is a part of the boot (sysinit.target)" in status["message"]
    story.apply(story.spec(), "as usual again")
