"""Real containers: Debian's lxc with its busybox template on the host, whose DHCP client sends no name."""

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.lab

MAC = "bc:24:11:00:00:a1"
LEASES = "/var/lib/misc/dnsmasq.leases"
CONTAINER = f"""\
lxc.net.0.type = veth
lxc.net.0.link = vmbr0
lxc.net.0.flags = up
lxc.net.0.name = eth0
lxc.net.0.hwaddr = {MAC}
lxc.apparmor.profile = unconfined
"""


def lease(story: Story) -> list[str]:
    """The words of the container's line in the lease file."""
    lines = story.host.sh(f"cat {LEASES}").splitlines()
    return next((line.split() for line in lines if line.split()[1:2] == [MAC]), [])


def answered(story: Story, name: str) -> str:
    return story.host.sh(f"dig +short +tries=1 +time=2 @10.10.10.1 {name}.madyanne.lan || true").strip()


@pytest.fixture
def container(story: Story) -> str:
    """A container named box in vmbr0, with a lease and without a name."""
    quiet = story.spec().replace("  domain: madyanne.lan\n", "  domain: madyanne.lan\n  guest_configs: false\n")
    story.apply(quiet, "nobody is named by its settings")
    story.host.write("/etc/default/lxc-net", 'USE_LXC_BRIDGE="false"\n')
    keep = "-o Dpkg::Options::=--force-confold"  # the file above is ours
    story.host.sh(f"apt-get update && apt-get install --yes --no-install-recommends {keep} lxc", timeout_s=240)
    story.host.sh(f"lxc-create -n box -t busybox && printf '%s' '{CONTAINER}' >> /var/lib/lxc/box/config", timeout_s=60)
    story.host.sh("lxc-start -n box", timeout_s=60)
    story.field.wait_for(lambda: lease(story), "a lease of the container", timeout_s=90)
    return quiet


def test_a_real_container_is_named_by_its_settings_and_then_by_the_spec(story: Story, container: str) -> None:
    began = story.host.sh("lxc-info -n box -p -H").strip()
    assert lease(story)[3] == "*"
    address = lease(story)[2]
    story.apply(story.spec(), "settings count")
    story.field.wait_for(lambda: lease(story)[3] == "box", "named by /var/lib/lxc/box/config", timeout_s=60)
    assert answered(story, "box") == address
    web = f'guests:\n  web: {{mac: "{MAC}"}}\n'
    story.apply(story.spec().replace("guests:\n", web), "the spec knows better")
    story.field.wait_for(lambda: lease(story)[3] == "web", "named by the spec", timeout_s=60)
    assert (answered(story, "web"), answered(story, "box")) == (address, "")
    assert story.host.sh("lxc-attach -n box -- hostname").strip() == "box"
    assert story.host.sh("lxc-info -n box -p -H").strip() == began, "the container was touched"
