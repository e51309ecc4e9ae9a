"""Guests from Git: one commit makes a container, which gets its lease and its name, and runs again after a reboot."""

import itertools
import json
import os

import pytest

from service.errors import LabError
from service.lab import Lab
from service.lab.field import Field
from service.lab.waiting import grown_s
from tests.e2e.evidence import transactions
from tests.e2e.story import Story
from tests.safety.lab_bench import MARK, ONCE, REACHED, Bench, now_s, wait_for

pytestmark = [pytest.mark.lab(minutes=3), pytest.mark.every_suite(full=True), pytest.mark.timeout(300)]

MAC, ADDRESS = "bc:24:11:00:00:a7", "10.10.10.20"
MADE = f'guests:\n  proxy: {{mac: "{MAC}", address: {ADDRESS}, create: {{}}}}\n'
LEASES = "/var/lib/misc/dnsmasq.leases"
MAKING_S = 300
DISK_MIB = 2048
"""A template, the folder in which it is made, and two containers of it."""


@pytest.fixture(scope="module")
def maker(lab: Lab, field: Field, suite: str) -> Story:
    """A host of its own with a large disk, from nothing to its guest by one commit."""
    try:
        host = lab.host("maker")
        host.fresh(suite=suite)
    except LabError:
        host = lab.add_host("maker", suite=suite, disk_mib=DISK_MIB)
    made = Story(host, field)
    in_force(made, spec(made), "a host and its guest, from nothing")
    return made


@pytest.fixture
def story(maker: Story) -> Story:
    """The same, with the guest under its own name and running, whatever a test before has done."""
    script = "[ ! -d /var/lib/lxc/box ] || { lxc-stop -n box; mv /var/lib/lxc/box /var/lib/lxc/proxy"
    script += " && sed -i s,lxc/box/,lxc/proxy/, /var/lib/lxc/proxy/config; }"
    maker.host.sh(f"{script}; lxc-info -n proxy -s -H | grep -q RUNNING || lxc-start -n proxy", timeout_s=60)
    in_force(maker, spec(maker), "as at first")
    is_up(maker)
    return maker


def is_up(story: Story) -> None:
    """The guest has booted, and none of its units failed."""
    try:
        state = lambda: inside(story, "systemctl is-system-running")  # noqa: E731
        story.field.wait_for(lambda: state() in ("running", "degraded"), "the guest is up", timeout_s=90)
        assert state() == "running", inside(story, "systemctl --failed --plain --no-legend")
    except LabError as error:
        raise LabError(f"{error}\n{inside(story, 'systemctl list-jobs')}") from None


def spec(story: Story, guests: str = MADE) -> str:
    return story.spec().replace("guests:\n", guests)


def leased(story: Story) -> list[str]:
    """(address, name) of the guest in the lease file."""
    lines = [line.split() for line in story.host.sh(f"cat {LEASES} 2>/dev/null || true").splitlines()]
    return next((line[2:4] for line in lines if line[1:2] == [MAC]), [])


def inside(story: Story, command: str) -> str:
    return story.host.sh(f"lxc-attach -n proxy --clear-env -- {command}", check=False).strip()


def in_force(story: Story, text: str, subject: str) -> None:
    commit = story.push(text, subject)

    def applied() -> bool:
        now = story.status()
        return now.get("applied_commit") == commit and now.get("sync") == "Synced"

    try:
        story.field.wait_for(applied, f"{subject} is applied", timeout_s=MAKING_S)
    except LabError as error:
        raise LabError(f"{error}\n{json.dumps(story.status(), indent=1)}\n{story.drift()}") from None


def test_one_commit_makes_a_guest_that_runs_with_its_address_and_its_name(story: Story) -> None:
    story.field.wait_for(lambda: leased(story) == [ADDRESS, "proxy"], "the guest has its lease", timeout_s=60)
    assert story.host.sh("dig +short +tries=1 +time=2 @10.10.10.1 proxy.madyanne.lan").strip() == ADDRESS
    assert inside(story, "cat /etc/hostname") == "proxy"
    assert inside(story, "sh -c 'touch /etc/passerelle/x 2>/dev/null || echo read-only'") == "read-only"
    assert inside(story, "sh -c 'echo kept > /var/lib/passerelle-guest/x; id -u'") == "0"
    owner = story.host.sh("stat -c '%u %a' /var/lib/passerelle-guests/proxy /var/lib/lxc/proxy/rootfs").split()
    assert owner[:3] == ["100000", "711", "100000"], "it is unprivileged"
    assert "lxcbr0" not in story.host.sh("ip -br link"), "lxc made a bridge of its own"


def test_it_is_made_once_and_runs_again_after_a_reboot(story: Story) -> None:
    inside(story, "sh -c 'echo kept > /var/lib/passerelle-guest/y; echo mine > /root/mine'")
    story.host.reboot()
    is_up(story)
    in_force(story, spec(story).replace("cache_size: 256", "cache_size: 300"), "another change")
    assert inside(story, "cat /root/mine") == "mine", "it was made a second time"
    story.field.wait_for(lambda: leased(story) == [ADDRESS, "proxy"], "the guest has its lease", timeout_s=60)
    assert inside(story, "cat /var/lib/passerelle-guest/y") == "kept"


def test_a_second_guest_is_made_of_the_template_that_is_there(story: Story) -> None:
    templates = story.host.sh("ls -l --time-style=full-iso /var/cache/passerelle/templates")
    second = '  second: {mac: "bc:24:11:00:00:a8", create: {bridge: vmbr0}}\n'
    try:
        in_force(story, spec(story, MADE + second), "two guests")
        assert story.host.sh("ls -l --time-style=full-iso /var/cache/passerelle/templates") == templates
        up = "lxc-attach -n second --clear-env -- systemctl is-system-running || true"
        story.field.wait_for(lambda: story.host.sh(up).strip() == "running", "it is up", timeout_s=60)
    finally:
        in_force(story, spec(story), "one guest")
        story.host.sh("lxc-destroy -f -n second", timeout_s=60, check=False)


def test_one_that_somebody_stopped_stays_so_and_is_said(story: Story) -> None:
    story.host.sh("lxc-stop -n proxy", timeout_s=60)
    in_force(story, spec(story).replace("cache_size: 256", "cache_size: 310"), "a change while it is down")
    story.wait_status(
        health="Degraded", message="guest proxy is not running. Fix: run `lxc-start -n proxy` on the host"
    )
    assert story.host.sh("lxc-info -n proxy -s -H").strip() == "STOPPED", "it was started behind somebody's back"


def test_a_guest_that_leaves_the_spec_stays(story: Story) -> None:
    gone = spec(story, f'guests:\n  proxy: {{mac: "{MAC}", address: {ADDRESS}}}\n')
    in_force(story, gone, "it is not ours any more")
    assert story.host.sh("ls /var/lib/lxc; lxc-info -n proxy -s -H").split() == ["proxy", "RUNNING"]


def test_a_container_with_its_mac_address_is_adopted_whatever_its_name(story: Story) -> None:
    settings = "/var/lib/lxc/box/config"
    gone = spec(story, f'guests:\n  proxy: {{mac: "{MAC}", address: {ADDRESS}}}\n')
    in_force(story, gone, "it is not ours")
    story.host.sh("lxc-stop -n proxy", timeout_s=60)
    story.host.sh(f"mv /var/lib/lxc/proxy /var/lib/lxc/box && sed -i s,lxc/proxy/,lxc/box/, {settings}")
    story.host.sh(f"sed -i -e /mount.entry/d -e s/start.auto.*/start.auto=0/ {settings}; echo '# mine' >> {settings}")
    story.host.sh("lxc-start -n box", timeout_s=60)
    in_force(story, spec(story), "adopted")
    text = story.host.read(settings).decode()
    assert text.count("lxc.mount.entry") == 2 and "lxc.start.auto = 1" in text and "# mine" in text
    assert story.host.sh("ls /var/lib/lxc").split() == ["box"]
    fix = "Fix: run `lxc-stop -n box` and `lxc-start -n box` on the host"
    folders = "/etc/passerelle and no /var/lib/passerelle-guest"
    story.wait_status(message=f"guest proxy has no {folders} until it is started again. {fix}")


# its nginx: no authority is needed, each site has a self-signed certificate


def published(story: Story, *names: str) -> str:
    sites = "".join(f"    {name}: {{to: 10.10.10.99}}\n" for name in names)
    acme = "  acme: {directory: letsencrypt-staging, email: admin@example.org, terms_agreed: true}\n"
    return f"{spec(story)}web:\n  proxy: proxy\n{acme}  sites:\n{sites}"


def answer(story: Story, name: str) -> str:
    """The status of a site's answer at its proxy; 000 where there is none. Nobody has the upstream's address."""
    curl = "curl -sk --max-time 15 -o /dev/null -w '%{http_code}'"
    return story.host.sh(f"{curl} --resolve {name}:443:{ADDRESS} https://{name}/ || true")


DROP_IN = "/run/systemd/system/passerelle-certs.service.d"
FAILS = "[Service]\\nExecStartPre=/bin/false\\n"


def test_a_guest_without_nginx_gets_it_and_one_that_is_stopped_or_publishes_nothing_any_more_is_put_right(
    story: Story,
) -> None:
    in_force(story, published(story, "www.example.org"), "a site")
    assert answer(story, "www.example.org") == "502"
    assert answer(story, "other.example.org") == "000"
    inside(story, "systemctl stop nginx")
    story.field.wait_for(lambda: answer(story, "www.example.org") == "502", "nginx is started again", timeout_s=60)
    # its authority does not answer here, so that any minute's run may fail; each one does until its end
    inside(story, f"sh -c 'mkdir -p {DROP_IN} && printf \"{FAILS}\" > {DROP_IN}/fails.conf && systemctl daemon-reload'")
    inside(story, "systemctl start passerelle-certs.service")
    failed = lambda: inside(story, "systemctl --failed --plain --no-legend")  # noqa: E731
    story.field.wait_for(lambda: "passerelle-certs" in failed(), "its program has failed", timeout_s=60)
    in_force(story, spec(story), "no site any more")
    assert failed() == ""
    inside(story, f"sh -c 'rm -r {DROP_IN} && systemctl daemon-reload'")
    assert inside(story, "sh -c 'ls /etc/nginx/conf.d /etc/systemd/system | grep -c passerelle'") == "0"
    assert inside(story, "systemctl is-active nginx") == "active"
    assert inside(story, "readlink /etc/nginx/sites-enabled/default") == "/etc/nginx/sites-available/default"


def test_a_change_that_nginx_rejects_is_rolled_back_in_its_own_words_and_one_while_the_guest_is_down_waits_for_it(
    story: Story,
) -> None:
    in_force(story, published(story, "www.example.org"), "a site")
    inside(story, "sh -c 'echo nonsense on\\; > /etc/nginx/sites-enabled/mine'")
    story.push(published(story, "www.example.org", "wiki.example.org"), "a second site")
    line = 'nginx: [emerg] unknown directive "nonsense" in /etc/nginx/sites-enabled/mine:1'
    message = f"a step failed, so the host rolled back: guest proxy: {line}"
    story.wait_status(health="Degraded", reason="RolledBackLatched", message=message)
    assert story.host.sh("ls /etc/passerelle/guests/proxy/sites").split() == ["www.example.org.conf"]
    assert (answer(story, "www.example.org"), answer(story, "wiki.example.org")) == ("502", "000")
    inside(story, "rm /etc/nginx/sites-enabled/mine")
    story.host.sh("lxc-stop -n proxy", timeout_s=60)
    story.push(published(story, "www.example.org", "mail.example.org"), "another one, while the guest is down")
    there = "test -e /etc/passerelle/guests/proxy/sites/mail.example.org.conf && echo yes || true"
    story.field.wait_for(lambda: story.host.sh(there).strip() == "yes", "its file is there", timeout_s=60)
    story.host.sh("lxc-start -n proxy", timeout_s=60)
    story.field.wait_for(lambda: answer(story, "mail.example.org") == "502", "it is loaded", timeout_s=60)
    story.wait_status(sync="Synced", health="Healthy")


FULL = bool(os.environ.get("TESTS_FULL"))
AROUND, BLOWS = ("restore-unit", "restore-proxy"), ("power", "process")
"""The points of a rollback before the nginx of guests loads the old files, and after it. In a usual run, one of all."""
STRUCK = [*itertools.product(AROUND, BLOWS)] if FULL else [("restore-proxy", "power")]


@pytest.mark.parametrize(("point", "blow"), STRUCK)
def test_a_rollback_that_is_struck_while_nginx_loads_the_old_files_ends_with_the_old_sites(
    story: Story, point: str, blow: str
) -> None:
    """Nobody confirms the change, and what puts the host back is killed, or the power is cut."""
    in_force(story, published(story, "www.example.org"), "a site")
    bench, known = Bench(story.host, [story.host.address]), set(transactions(story.host))
    hasty = published(story, "wiki.example.org").replace("confirm_timeout: 15s", "confirm_timeout: 5s")
    bench.put(MARK, "verifying")  # once it is applied the service confirms it, whoever is stopped
    try:
        story.push(hasty, "another site instead")
        pid = bench.wait_stopped("verifying", now_s() + grown_s(60))
        assert pid, "nothing was applied"
        story.field.stop(kill=True)
        assert story.host.sh("ls /etc/passerelle/guests/proxy/sites").split() == ["wiki.example.org.conf"]
        (apply,) = set(transactions(story.host)) - known
        bench.forget(MARK, REACHED)
        bench.put(ONCE, point)  # the other waker ends who is stopped there, and must come past it
        bench.go_on(pid)
        assert wait_for(lambda: bench.look(REACHED) == point, now_s() + grown_s(90)), bench.journal(apply)
        if blow == "power":
            story.host.power_cut()
        for pid in bench.stopped():
            bench.kill(pid)
        over = ("rolled_back", "rollback_failed")
        story.field.wait_for(lambda: bench.journal(apply).get("state") in over, "the host is put back", timeout_s=60)
        story.field.wait_for(lambda: answer(story, "www.example.org") == "502", "the old site answers", timeout_s=60)
        assert bench.journal(apply)["state"] == "rolled_back"
        assert answer(story, "wiki.example.org") == "000"
        assert story.host.sh("ls /etc/passerelle/guests/proxy/sites").split() == ["www.example.org.conf"]
    finally:
        bench.clear()
        story.field.stop()
        story.field.start()
        story.field.wait_for(story.field.is_up, "the service answers")
