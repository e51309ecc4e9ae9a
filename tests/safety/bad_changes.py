"""Changes that cut a host off or harm it, one by one, as plans that the harness makes itself.

Most of them no spec can express; those that one can are in `bad_pushes.py` as well.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from service.lab import Host
from service.model.facts import Step
from service.model.plans import Plan
from tests.safety.lab_change import fact_of
from tests.safety.lab_world import FileState, read_file

CONTROLLER = "198.18.0.10"
GATEWAY = "198.51.100.1"
SSHD = "/etc/ssh/sshd_config.d/00-trial.conf"
KEYS = "/root/.ssh/authorized_keys"
INTERFACES = "/etc/network/interfaces"
UPLINK = "enp1s0"
ROUTE = [{"family": 4, "via": GATEWAY, "dev": UPLINK}]
TRIAL = "passerelle_trial"


class Ground(NamedTuple):
    """What the steps of a change are made from: the host as it is."""

    host: Host
    blobs: dict[str, bytes]

    @property
    def held(self) -> list[str]:
        return [f"{self.host.address}/24"]

    def step(self, fact: str, before: Any, after: Any, restart: bool = False) -> Step:
        return Step(fact, before, after, "the harness wants it", restart=restart)

    def file(self, path: str, content: bytes | None, mode: int | None = None, uid: int | None = None) -> Step:
        """Write, change or delete (None) a file; what is not named stays."""
        old = read_file(self.host, path)
        kept = old or FileState(b"", 0o100644, 0, 0)
        new = None
        if content is not None:
            self.blobs[hashlib.sha256(content).hexdigest()] = content
            new = FileState(content, kept.mode if mode is None else mode, kept.uid if uid is None else uid, kept.gid)
        return self.step(f"file:{path}", fact_of(old), fact_of(new))

    def text(self, path: str) -> bytes:
        found = read_file(self.host, path)
        return found.content if found else b""

    def addresses(self, *wanted: str) -> Step:
        return self.step(f"addresses:{UPLINK}", self.held, sorted(wanted))

    def bridge(self, *addresses: str, **options: Any) -> list[Step]:
        value = {"type": "bridge", "up": True, "stp": False, "forward_delay_s": 0, **options}
        made = [self.step("link:vmbr0", None, value)]
        return made + ([self.step("addresses:vmbr0", None, sorted(addresses))] if addresses else [])

    def uplink(self, **options: Any) -> Step:
        return self.step(f"link:{UPLINK}", {"type": "other"}, {"type": "other", **options})

    def routes(self, *wanted: dict[str, Any]) -> Step:
        return self.step("routes:default", ROUTE, list(wanted))

    def unit(self, name: str, active: bool, enabled: str = "enabled", restart: bool = False, was: bool = True) -> Step:
        before = {"enabled": "enabled" if was else "disabled", "active": was}
        return self.step(f"unit:{name}.service", before, {"enabled": enabled, "active": active}, restart)

    def package(self, name: str) -> Step:
        version = self.host.sh(f"dpkg-query -W -f '${{Version}}' {name}").strip()
        return self.step(f"package:{name}", {"version": version}, None)

    def starting(self, name: str, *, off: bool = False, enabled: str = "") -> Step:
        """A unit on, or off, whatever it is now: what a spec asks for with `services`."""
        shown = self.host.sh(f"systemctl show -p LoadState,ActiveState -- {name}.service").split()
        before = None if "LoadState=not-found" in shown else {"active": "ActiveState=active" in shown}
        state = enabled or ("disabled" if off else "enabled")
        return self.step(f"unit:{name}.service", before, {"enabled": state, "active": not off})

    def sshd(self, config: str) -> list[Step]:
        return [self.file(SSHD, config.encode() + b"\n"), self.unit("ssh", active=True, restart=True)]

    def sysctl(self, key: str, value: str) -> Step:
        found = self.host.sh(f"cat /proc/sys/{key.replace('.', '/')}")
        return self.step(f"sysctl:{key}", found.strip(), value)

    def table(self, chain: str, *rules: str, family: str = "inet", sets: str = "") -> list[Step]:
        body = "".join(f"\t\t{rule}\n" for rule in (chain, *rules))
        load = f"table {family} {TRIAL} {{\n{sets}\tchain trial {{\n{body}\t}}\n}}"
        return [self.step(f"nft:{family} {TRIAL}", None, {"load": load})]


class BadChange(NamedTuple):
    """`boots`: it shows at the next boot only, so the host is rebooted before the change is confirmed. `packages` are
    on the host before it, their services off."""

    name: str
    steps: Callable[[Ground], Sequence[Step]]
    boots: bool = False
    packages: tuple[str, ...] = ()

    def plan(self, host: Host) -> Plan:
        ground = Ground(host, {})
        steps = tuple(self.steps(ground))
        digest = hashlib.sha256(self.name.encode()).hexdigest()
        return Plan(host.name, "c" * 40, f"sha256:{digest}", steps=steps, blobs=ground.blobs)


JAIL = b"""\
[DEFAULT]
backend = systemd
banaction = nftables[type=multiport]
[sshd]
enabled = true
filter = trial
maxretry = 1
findtime = 1h
bantime = 1h
"""
FILTER = b"""\
[Definition]
failregex = Accepted publickey for root from <HOST>
journalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd
"""


def ban(ground: Ground) -> list[Step]:
    """A jail that takes a login that worked for an attack."""
    return [
        ground.file("/etc/fail2ban/filter.d/trial.conf", FILTER),
        ground.file("/etc/fail2ban/jail.d/trial.conf", JAIL),
        ground.unit("fail2ban", active=True, was=False),
    ]


INPUT = "type filter hook input priority 0; policy accept;"
SELDOM = "tcp dport 22 ct state new limit rate over 1/hour burst {} packets drop"
SEEN = "\tset seen {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t\ttimeout 1h\n\t}\n"
OUTPUT = "type filter hook output priority 0; policy accept;"
DROP_INPUT = "type filter hook input priority 0; policy drop;"
RAW = "type filter hook prerouting priority -300; policy accept;"

ADDRESSES = (
    BadChange("another address in the same network", lambda g: [g.addresses("198.51.100.222/24")]),
    BadChange("an address of another network", lambda g: [g.addresses("203.0.113.77/24")]),
    BadChange("no address", lambda g: [g.addresses()]),
    BadChange("a prefix of /32", lambda g: [g.addresses(f"{g.host.address}/32")]),
    BadChange("a prefix of /8", lambda g: [g.addresses(f"{g.host.address}/8")]),
    BadChange("the gateway's address", lambda g: [g.addresses(*g.held, f"{GATEWAY}/24")]),
    BadChange("the controller's address", lambda g: g.bridge(f"{CONTROLLER}/32")),
    BadChange("the controller's network on a bridge", lambda g: g.bridge("198.18.0.1/24")),
    BadChange("a bridge with half of the uplink's network", lambda g: g.bridge("198.51.100.2/25")),
    BadChange("only IPv6", lambda g: [g.addresses("2001:db8::1/64")]),
)
LINKS = (
    BadChange("the uplink down", lambda g: [g.uplink(up=False)]),
    BadChange("an MTU of 68", lambda g: [g.uplink(mtu=68)]),
    BadChange("an MTU of 9000", lambda g: [g.uplink(mtu=9000)]),
    BadChange("a bridge takes the uplink", lambda g: [*g.bridge(), g.uplink(master="vmbr0", up=True)]),
    BadChange(
        "the address moves to a bridge without the uplink", lambda g: [g.addresses(), *g.bridge(*g.held), g.routes()]
    ),
    BadChange(
        "the address moves to a bridge that learns for 30 s",
        lambda g: [
            *g.bridge(stp=True, forward_delay_s=15),
            g.uplink(master="vmbr0", up=True),
            g.addresses(),
            g.step("addresses:vmbr0", None, g.held),
            g.routes({"family": 4, "via": GATEWAY, "dev": "vmbr0"}),
        ],
    ),
    BadChange(
        "the address moves to a bridge and the gateway is forgotten",
        lambda g: [
            *g.bridge(),
            g.uplink(master="vmbr0", up=True),
            g.addresses(),
            g.step("addresses:vmbr0", None, g.held),
            g.routes(),
        ],
    ),
)
ROUTES = (
    BadChange("no default route", lambda g: [g.routes()]),
    BadChange("a wrong gateway", lambda g: [g.routes({"family": 4, "via": "198.51.100.254", "dev": UPLINK})]),
    BadChange("the host is its own gateway", lambda g: [g.routes({"family": 4, "via": "10.10.10.9", "dev": "lo"})]),
    BadChange(
        "the gateway behind a bridge",
        lambda g: [*g.bridge("10.10.10.1/24"), g.routes({"family": 4, "via": "10.10.10.254", "dev": "vmbr0"})],
    ),
    BadChange("a default route without a gateway", lambda g: [g.routes({"family": 4, "via": None, "dev": UPLINK})]),
    BadChange(
        "rp_filter and a default route elsewhere",
        lambda g: [
            *g.bridge("10.10.10.1/24"),
            g.sysctl("net.ipv4.conf.all.rp_filter", "1"),
            g.routes({"family": 4, "via": "10.10.10.254", "dev": "vmbr0"}),
        ],
    ),
)
SYSCTLS = (
    BadChange("packets that die at the next router", lambda g: [g.sysctl("net.ipv4.ip_default_ttl", "1")]),
    BadChange("no answer to ARP", lambda g: [g.sysctl("net.ipv4.conf.all.arp_ignore", "8")]),
    BadChange("no IPv6", lambda g: [g.sysctl("net.ipv6.conf.all.disable_ipv6", "1")]),
    BadChange("no answer to ping", lambda g: [g.sysctl("net.ipv4.icmp_echo_ignore_all", "1")]),
)
SSH = (
    BadChange("sshd stopped", lambda g: [g.unit("ssh", active=False)]),
    BadChange("sshd masked", lambda g: [g.unit("ssh", active=False, enabled="masked")]),
    BadChange("sshd at another port", lambda g: g.sshd("Port 2222")),
    BadChange("sshd at another address", lambda g: g.sshd("ListenAddress 127.0.0.1")),
    BadChange("sshd lets nobody in", lambda g: g.sshd("AllowUsers nobody")),
    BadChange("sshd lets everyone in but root", lambda g: g.sshd("DenyUsers root")),
    BadChange("sshd without keys", lambda g: g.sshd("PubkeyAuthentication no")),
    BadChange("sshd wants a password as well", lambda g: g.sshd("AuthenticationMethods publickey,password")),
    BadChange("sshd looks for keys elsewhere", lambda g: g.sshd("AuthorizedKeysFile /nowhere/%u")),
    BadChange("sshd without sessions", lambda g: g.sshd("MaxSessions 0")),
    BadChange("sshd runs another command", lambda g: g.sshd("ForceCommand /bin/false")),
    BadChange("sshd with old ciphers only", lambda g: g.sshd("Ciphers aes128-cbc")),
    BadChange("sshd with a word it does not know", lambda g: g.sshd("PermitEverything yes")),
    BadChange("sshd refuses this network", lambda g: [g.file("/etc/hosts.deny", b"sshd: 198.18.0.\n")]),
    BadChange("another host key", lambda g: [*other_host_key(g), g.unit("ssh", active=True, restart=True)]),
    BadChange("no authorized keys", lambda g: [g.file(KEYS, None)]),
    BadChange("someone else's authorized key", lambda g: [g.file(KEYS, b"ssh-ed25519 AAAA someone\n")]),
    BadChange("authorized keys of someone else", lambda g: [g.file(KEYS, g.text(KEYS), uid=65534)]),
    BadChange("authorized keys that all may write", lambda g: [g.file(KEYS, g.text(KEYS), mode=0o100666)]),
    BadChange("root without a shell", lambda g: [g.file("/etc/passwd", passwd(g, b"/usr/sbin/nologin"))]),
    BadChange("root with a shell that is not there", lambda g: [g.file("/etc/passwd", passwd(g, b"/bin/zsh"))]),
)
TABLES = (
    BadChange("drop all", lambda g: g.table(DROP_INPUT)),
    BadChange("established only", lambda g: g.table(DROP_INPUT, "ct state established,related accept")),
    BadChange("drop SSH", lambda g: g.table(INPUT, "tcp dport 22 drop")),
    BadChange("reset SSH", lambda g: g.table(INPUT, "tcp dport 22 reject with tcp reset")),
    BadChange("drop the controller", lambda g: g.table(INPUT, f"ip saddr {CONTROLLER} drop")),
    BadChange("a ban list with the controller's network", lambda g: g.table(INPUT, "ip saddr { 198.18.0.0/15 } drop")),
    BadChange("drop all answers", lambda g: g.table(OUTPUT, "tcp sport 22 drop")),
    BadChange("drop before all else", lambda g: g.table(RAW, f'iifname "{UPLINK}" drop')),
    BadChange("drop long packets", lambda g: g.table(INPUT, "meta length > 200 drop")),
    BadChange("one new connection an hour", lambda g: g.table(INPUT, SELDOM.format(1))),
    BadChange("two new connections an hour", lambda g: g.table(INPUT, SELDOM.format(2))),
    BadChange("three new connections an hour", lambda g: g.table(INPUT, SELDOM.format(3))),
    BadChange("six new connections an hour", lambda g: g.table(INPUT, SELDOM.format(6))),
    BadChange("three new connections a minute", lambda g: g.table(
        INPUT, "tcp dport 22 ct state new limit rate over 3/minute drop"
    )),
    BadChange("nothing but three new connections a minute", lambda g: g.table(
        DROP_INPUT, "ct state established accept", "tcp dport 22 limit rate 3/minute accept"
    )),
    BadChange("one connection at a time", lambda g: g.table(INPUT, "tcp dport 22 ct state new ct count over 1 drop")),
    BadChange("20 kB, and then nothing", lambda g: g.table(INPUT, "tcp dport 22 quota over 20 kbytes drop")),
    BadChange("who comes often is banned", lambda g: g.table(
        INPUT, "tcp dport 22 ct state new add @seen { ip saddr limit rate over 2/hour burst 2 packets } drop",
        sets=SEEN,
    )),
    BadChange("untracked, and established only", lambda g: g.table(RAW, "tcp dport 22 notrack") + only_tracked(g)),
    BadChange("SSH led elsewhere", lambda g: g.table(
        "type nat hook prerouting priority -100;", "tcp dport 22 redirect to :9", family="ip"
    )),
    BadChange("drop at the device", lambda g: g.table(
        f'type filter hook ingress device "{UPLINK}" priority 0; policy drop;', family="netdev"
    )),
    BadChange("drop ARP", lambda g: g.table("type filter hook input priority 0; policy drop;", family="arp")),
)  # fmt: skip
OTHERS = (
    BadChange("networking stopped", lambda g: [g.unit("networking", active=False)]),
    BadChange("no DNS", lambda g: [g.file("/etc/resolv.conf", b"")]),
    BadChange("BIND stopped", lambda g: [g.unit("named", active=False, enabled="disabled")]),
    BadChange("fail2ban against the controller", ban, packages=("fail2ban", "python3-systemd")),
)
AT_BOOT = (
    BadChange("the NIC by another name", lambda g: [interfaces(g, UPLINK.encode(), b"enp9s0")], boots=True),
    BadChange("a wrong address in the file", lambda g: [interfaces(g, b"198.51.100.", b"203.0.113.")], boots=True),
    BadChange("no gateway in the file", lambda g: [interfaces(g, b"\tgateway 198.51.100.1\n", b"")], boots=True),
    BadChange("an interfaces file of no use", lambda g: [g.file(INTERFACES, b"\0iface iface iface\n")], boots=True),
    BadChange("sshd disabled", lambda g: [g.unit("ssh", active=True, enabled="disabled")], boots=True),
    BadChange("networking disabled", lambda g: [g.unit("networking", active=True, enabled="disabled")], boots=True),
)  # fmt: skip
PACKAGES = (
    *(
        BadChange(f"{name} removed", lambda g, name=name: [g.package(name)])  # type: ignore[misc]
        for name in (
            "openssh-sftp-server",
            "openssh-server",
            "libwrap0",
            "python3-minimal",
            "libpython3-stdlib",
            "ifupdown2",
            "iproute2",
            "libmnl0",
            "systemd-sysv",
            "coreutils",
            "dpkg",
            "kmod",
        )
    ),
    BadChange("tcpdump removed, and no default route", lambda g: [g.routes(), g.package("tcpdump")]),
    BadChange("tcpdump removed, and sshd stopped", lambda g: [g.package("tcpdump"), g.unit("ssh", active=False)]),
    BadChange("bind9 removed, and drop all", lambda g: [g.package("bind9"), *g.table(DROP_INPUT)]),
    BadChange("bind9 removed, and a power cut", lambda g: [g.package("bind9")], boots=True),
)
SERVICES = (
    *(
        BadChange(f"{name} started", lambda g, name=name: [g.starting(name)])  # type: ignore[misc]
        for name in (
            "systemd-poweroff",
            "systemd-reboot",
            "systemd-halt",
            "systemd-kexec",
            "rescue",
            "emergency",
            "systemd-suspend",
            "initrd-switch-root",
        )
    ),
    BadChange("passerelle-recover disabled", lambda g: [g.starting("passerelle-recover", off=True)]),
    BadChange("passerelle-recover masked", lambda g: [g.starting("passerelle-recover", off=True, enabled="masked")]),
    BadChange("journald masked", lambda g: [g.starting("systemd-journald", off=True, enabled="masked")]),
    BadChange("networking masked", lambda g: [g.unit("networking", active=False, enabled="masked")]),
)
FILES = (
    BadChange(
        "sshd that starts another program",
        lambda g: [
            g.file("/etc/systemd/system/ssh.service.d/zz.conf", b"[Service]\nExecStart=\nExecStart=/bin/false\n"),
            g.unit("ssh", active=True, restart=True),
        ],
    ),
    BadChange("nobody has an account", lambda g: [g.file("/etc/nsswitch.conf", b"passwd: nowhere\n")]),
    BadChange("PAM denies sshd", lambda g: [g.file("/etc/pam.d/sshd", b"account required pam_deny.so\n")]),
    BadChange(
        "the switch's unit for the boot does nothing",
        lambda g: [
            g.file("/etc/systemd/system/passerelle-recover.service", b"[Service]\nExecStart=/bin/true\n"),
        ],
    ),
)
CHANGES = (
    *(*ADDRESSES, *LINKS, *ROUTES, *SYSCTLS, *SSH, *TABLES, *OTHERS, *AT_BOOT),
    *(*PACKAGES, *SERVICES, *FILES),
)


def only_tracked(ground: Ground) -> list[Step]:
    """A second table, of a name of its own: what is not tracked cannot be established."""
    load = (
        f"table ip {TRIAL} {{\n\tchain trial {{\n\t\t{DROP_INPUT}\n"
        "\t\tct state established,related accept\n\t\tct state new accept\n\t}\n}"
    )
    return [ground.step(f"nft:ip {TRIAL}", None, {"load": load})]


def other_host_key(ground: Ground) -> list[Step]:
    """A key pair that nobody has pinned, made on the host."""
    made = "/run/passerelle-other-key"
    ground.host.sh(f"rm -f {made} {made}.pub; ssh-keygen -q -t ed25519 -N '' -f {made}")
    path = "/etc/ssh/ssh_host_ed25519_key"
    return [ground.file(path, ground.text(made)), ground.file(path + ".pub", ground.text(made + ".pub"))]


def passwd(ground: Ground, shell: bytes) -> bytes:
    lines = ground.text("/etc/passwd").splitlines(keepends=True)
    return b"".join(line.replace(b"/bin/bash", shell) if line.startswith(b"root:") else line for line in lines)


def interfaces(ground: Ground, text: bytes, instead: bytes) -> Step:
    return ground.file(INTERFACES, ground.text(INTERFACES).replace(text, instead))
