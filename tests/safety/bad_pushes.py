"""Bad changes that a spec can express, as somebody would push them: what the service itself says to them."""

import asyncio
from dataclasses import replace
from typing import NamedTuple

from service.apply.switch import Switch
from service.apply.weighing import question, read_weighed
from service.clock import SystemClock
from service.kinds import KINDS
from service.kinds.desire import desire
from service.lab import Host
from service.model.plans import Plan
from service.model.states import Seen
from service.model.trees import BlobEntry, Tree
from service.observe.collect import Collector
from service.plan.make import Permission, make_plan
from service.resources.desired import LastApplied
from service.spec.fleet import read_fleet
from service.work import InPlace
from tests.safety.lab_driver import dialer, target

UPLINK = "interfaces: {enp1s0: {addresses: [ADDRESS/24], gateway: 198.51.100.1}}\n"


SERVED = (
    "bridges: {vmbr0: {addresses: [10.10.10.1/24], ports: []}}\npackages: {dnsmasq: present}\ndnsmasq:\n"
    "  dhcp:\n    - {interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, FILE}\n"
)


class BadPush(NamedTuple):
    """`spec` are the sections below the head of a host's file; ADDRESS stands for the host's own."""

    name: str
    spec: str


PUSHES = (
    BadPush("another address in the same network", UPLINK.replace("ADDRESS", "198.51.100.222")),
    BadPush("an address of another network", "interfaces: {enp1s0: {addresses: [203.0.113.77/24]}}\n"),
    BadPush("no address", "interfaces: {enp1s0: {addresses: []}}\n"),
    BadPush("a wrong gateway", UPLINK.replace("100.1}", "100.254}")),
    BadPush("the uplink without its gateway", UPLINK.replace(", gateway: 198.51.100.1", "")),
    BadPush("a single address without its gateway", "interfaces: {enp1s0: {addresses: [ADDRESS/32]}}\n"),
    BadPush("an MTU of 1280", UPLINK.replace("100.1}", "100.1, mtu: 1280}")),
    BadPush("a bridge takes the uplink", "bridges: {vmbr0: {addresses: [10.10.10.1/24], ports: [enp1s0]}}\n"),
    BadPush("the controller's network on a bridge", "bridges: {vmbr0: {addresses: [198.18.0.1/24], ports: []}}\n"),
    BadPush("the controller's address", "bridges: {vmbr0: {addresses: [198.18.0.10/32], ports: []}}\n"),
    BadPush(
        "half of the uplink's network on a bridge", "bridges: {vmbr0: {addresses: [198.51.100.2/25], ports: []}}\n"
    ),
    BadPush(
        "the address moves to a bridge that learns for 30 s",
        "bridges: {vmbr0: {addresses: [ADDRESS/24], gateway: 198.51.100.1, ports: [enp1s0], stp: true, "
        "forward_delay: 15}}\ninterfaces: {enp1s0: {addresses: []}}\n",
    ),
    BadPush("sshd disabled", "services: {ssh: disabled}\n"),
    BadPush("sshd masked", "services: {ssh: masked}\n"),
    BadPush("networking disabled", "services: {networking: disabled}\n"),
    BadPush("a firewall that drops all", "firewall: {policy_in: drop}\n"),
    BadPush(
        "a firewall that drops the controller",
        "firewall: {policy_in: accept, rules: [{type: in, action: drop, source: 198.18.0.0/24}]}\n",
    ),
    BadPush("a firewall that lets nothing out", "firewall: {policy_out: drop}\n"),
    *(
        BadPush(f"{name} absent", f"packages: {{{name}: absent}}\n")
        for name in (
            "openssh-sftp-server",
            "libwrap0",
            "libpython3-stdlib",
            "ifupdown2",
            "libmnl0",
            "kmod",
            "bridge-utils",
        )
    ),
    BadPush("a package that apt does not know", "packages: {no-such-package: present}\n"),
    BadPush("a package's name as a pattern", "packages: {open.sh-serve.: absent}\n"),
    *(
        BadPush(f"{name} {state}", f"services: {{{name}: {state}}}\n")
        for name, state in (
            ("systemd-poweroff", "enabled"),
            ("systemd-reboot", "enabled"),
            ("rescue", "enabled"),
            ("passerelle-recover", "disabled"),
            ("passerelle-recover", "masked"),
            ("lab-uplink", "masked"),
            ("dbus", "disabled"),
            ("systemd-networkd", "enabled"),
            ("getty@tty1", "enabled"),
        )
    ),
    BadPush("leases in /run/nologin", f"{SERVED.replace('FILE', 'lease_file: /run/nologin')}"),
    BadPush("a log in wtmp", f"{SERVED.replace(', FILE', '')}  log_facility: /var/log/wtmp\n"),
)


class Judged(NamedTuple):
    """What the service says to a push. `plan` is None where the spec itself is refused; `why` is in its own words."""

    plan: Plan | None
    why: str = ""

    @property
    def is_refused(self) -> bool:
        return bool(self.why)


def judged(push: BadPush, host: Host, override: bool = False) -> Judged:
    """The push as the service sees it: read, observed, planned. `override`: with every refusal that can be lifted."""
    text = (
        f"host: {host.name}\nplatform: debian\nsync: auto\nconnection:\n  address: {host.address}\n"
        f"  host_keys: [{' '.join(host.host_key.split()[:2])}]\n  allow_management_change: {str(override).lower()}\n"
        + push.spec.replace("ADDRESS", host.address)
    )
    files = {"fleet.yaml": b"passerelle: 1\n", f"hosts/{host.name}.yaml": text.encode()}
    tree = Tree({path: BlobEntry(path, "0" * 39 + str(n), data) for n, (path, data) in enumerate(files.items())})
    fleet = read_fleet(tree, KINDS)
    if fleet.has_errors:
        return Judged(None, "; ".join(map(str, fleet.findings))[:500])
    desired = desire(fleet.hosts[host.name], KINDS)

    async def plan() -> Plan:
        connection = await dialer(host.lab).connect(target(host.name, host.address, host.host_key))
        try:
            observed = await Collector(SystemClock(), InPlace()).observe(connection, host.name, desired.watch)
            if asked := question(observed, desired.watch):
                given = {"install": asked.install, "remove": asked.remove, "units": asked.units, "refresh": True}
                told = await Switch(connection).ask_unkept("weigh", given, timeout_s=300)
                observed = replace(observed, weighed=Seen(read_weighed(told, asked)))
        finally:
            await connection.close()
        return make_plan(desired, LastApplied(), observed, permission=Permission(management_change=override))

    made = asyncio.run(plan())
    return Judged(made, "; ".join(refusal.what for refusal in made.refusals)[:500])
