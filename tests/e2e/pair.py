"""Two hosts, of which the first has guests and a published site, and `passerelle migrate` between them.

made(lab, field, room) -> Pair
  .migrate(*words)      the command as its user runs it
  .serve(host)          the owner's part: what the site serves runs in the guest dev
  .carried_out(*words)  the same to its end, by a person who agrees to what is cut off
"""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path

from service.lab import Host, Lab, enter, templates
from service.lab.acme import Acme
from service.lab.field import SERVICE_PORT, Field
from service.lab.waiting import grown_s
from tests.e2e import gates

TOP = Path(__file__).parents[2]
SITE, ALIAS = "shop.example.org", "www.shop.example.org"
DISK_MIB = 2048
FROM, TO = "giver", "taker"
PATIENCE_S = 400.0
STATE = "/var/lib/passerelle-guests/proxy/"
SPEC = """\
host: {name}
sync: auto
connection:
  address: {address}
  host_keys: [{host_key}]
interfaces:
  enp1s0: {{addresses: [{address}/24], gateway: 198.51.100.1}}
"""
MORE = """\
bridges:
  vmbr0: {{addresses: [10.10.10.1/24]}}
nat:
  - {{source: 10.10.10.0/24, out: enp1s0}}
dnsmasq:
  domain: shop.lan
  dhcp:
    - {{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}}
packages: {{dnsmasq: present}}
services: {{named: disabled}}
guests:
  # answers on 80 and 443
  proxy: {{mac: "bc:24:11:00:01:01", address: 10.10.10.20, create: {{}}}}
  dev: {{mac: "bc:24:11:00:01:02", create: {{}}}}
web:
  proxy: proxy
  acme:
    directory: {directory}
    email: admin@example.org
    terms_agreed: true
    ca:
    - >-
{ca}  sites:
    {site}: {{to: dev, port: 8080, aliases: [{alias}]}}
"""
HOOK = """\
#!/bin/sh
set -e
{before}
PYTHONPATH={top} {python} -c '
import sys
from service.lab import Lab
from service.lab.acme import Acme
Acme(Lab.attach("{lab}")).names(sys.argv[1], a=sys.argv[4].split(","))
' "$@"
{after}
"""
PUSH_HOOK = "#!/bin/sh\n{gate}\ncat > /dev/null\n"
SHOP = """\
use IO::Socket::INET;
$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die;
while ($c = $s->accept) {
  while (<$c>) { last if /^\\r?\\n$/ }
  print $c "HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nshop\\n";
  close $c;
}
"""


@dataclass
class Pair:
    """Both hosts, the service, the authority, and the person's clone."""

    field: Field
    acme: Acme
    giver: Host
    taker: Host
    room: Path
    stay: set[str] = dataclass_field(default_factory=set)

    @property
    def clone(self) -> Path:
        return self.room / "clone"

    @property
    def gates(self) -> Path:
        """The gates of what runs on this machine: before-push, after-push, before-NAME and after-NAME."""
        return self.room / "gates"

    @property
    def head(self) -> str:
        return self.field.git("rev-parse", "main", at=self.field.repository).strip()

    def serve(self, host: Host) -> None:
        """The owner's part: what the site serves is in the guest dev."""
        start = f"systemctl is-active shop || systemd-run -q --unit=shop /usr/bin/perl -e '{SHOP}'"
        argv = ["lxc-attach", "-n", "dev", "--clear-env", "--", "sh", "-c", start]

        def serves() -> bool:
            return host.exec(argv, timeout_s=60).stdout.strip() == "active"

        self.field.wait_for(serves, f"dev serves on {host.name}", timeout_s=60)

    def stop_those_that_stay(self) -> None:
        """The owner's part after --back: the guests on the taker have lost their bridge."""
        for name in self.taker.sh("lxc-ls -1 --running 2>/dev/null || true").split():
            self.taker.sh(f"lxc-stop -k -n {name}", timeout_s=60)
            self.stay.add(name)

    def start_those_that_stayed(self) -> None:
        """The owner's part on the next way there: as soon as there is a bridge again."""
        has_bridge = "test -e /sys/class/net/vmbr0 && echo yes || true"
        while self.stay:
            self.field.wait_for(lambda: self.taker.sh(has_bridge).strip() == "yes", "the bridge is there", timeout_s=60)
            self.taker.sh(f"lxc-start -n {self.stay.pop()}", timeout_s=60)

    def rebuild_proxy(self) -> None:
        """The owner removes the proxy of the taker, and all that it kept: it has no certificates the next time."""
        if "proxy" in self.stay:
            self.taker.sh(f"lxc-destroy -n proxy && rm -r {STATE}", timeout_s=120)
            self.stay.remove("proxy")

    def carried_out(self, *words: str) -> None:
        """The command to its end. If the bridge of the taker came with the guests, --back removes it again, and cuts
        those off that stay. A person has to agree.
        """
        with self.migrate(*words) as running:
            said: list[str] = []
            reader = threading.Thread(target=lambda: said.append(running.communicate()[1].decode()))
            reader.start()

            def is_over() -> bool:
                if self.field.get(f"hosts/{TO}")["phase"] == "WaitingForApproval":
                    self.field.run("apply", TO, "--yes", check=False)  # another plan may wait since
                return not reader.is_alive()

            try:
                self.field.wait_for(is_over, f"the guests are moved {' '.join(words)}", timeout_s=PATIENCE_S)
            finally:
                running.kill()
                reader.join()
        assert running.returncode == 0, "".join(said)

    def migrate(self, *words: str) -> "subprocess.Popen[bytes]":
        """The command as its user runs it, in the controller's network, a process group of its own."""
        lab = self.field.lab
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(self.room), "PYTHONPATH": str(TOP), "PASSERELLE_TOKEN": self.field.token,
            "PASSERELLE_URL": f"http://127.0.0.1:{SERVICE_PORT}", "PASSERELLE_STATE_DIR": str(self.room / "none"),
            "GIT_AUTHOR_NAME": "Yax", "GIT_AUTHOR_EMAIL": "yax@example.org", "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_COMMITTER_NAME": "Yax", "GIT_COMMITTER_EMAIL": "yax@example.org",
        }  # fmt: skip
        command = [
            sys.executable, "-m", "service", "migrate", FROM, "--to", TO, "--repo", str(self.clone), "--yes",
            "--resolvers", str(Acme.name_server), "--ssh-key", str(lab.key), "--grace", "1s", "--timeout", "10m",
            "--dns-hook", str(self.room / "hook"), *words,
        ]  # fmt: skip
        return subprocess.Popen(
            enter.network(lab.netns("ctl"), command), env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip


def made(lab: Lab, field: Field, room: Path) -> Pair:
    """The giver with its guests and a published site; the taker bare."""
    acme = Acme.start(lab)
    lab.offer_python(TOP / "service/guestside/requirements.txt")
    giver, taker = (lab.add_host(name, disk_mib=DISK_MIB, wait=False) for name in (FROM, TO))
    for host in (giver, taker):
        host.wait_until_up(grown_s(120))
        templates.lend(host)
    pair = Pair(field, acme, giver, taker, room)
    (room / "root.pem").write_text(acme.root_pem())
    for name in (SITE, ALIAS):
        acme.names(name, a=[giver.address])
    ca = "".join(f"      {line}\n" for line in acme.ca_pem.splitlines())
    more = MORE.format(directory=acme.directory, ca=ca, site=SITE, alias=ALIAS)
    files = {
        f"hosts/{host.name}.yaml": SPEC.format(name=host.name, address=host.address, host_key=host.host_key) + text
        for host, text in ((giver, more), (taker, ""))
    }
    commit = field.push({"fleet.yaml": "passerelle: 1\n", **files}, "two hosts, and a site on the first")
    field.wait_in_force(FROM, commit, timeout_s=300)
    field.wait_in_force(TO, commit, timeout_s=300)
    pair.serve(giver)
    templates.keep(giver)
    field.git("clone", "--quiet", str(field.repository), str(pair.clone))
    _lay_gates(pair)
    return pair


def _lay_gates(pair: Pair) -> None:
    """In the program that changes records, in the hooks of the clone and in those of the remote."""
    folder = str(pair.gates)
    pair.gates.mkdir()
    before, after = (gates.pass_by(f"{when}-$1", folder) for when in ("before", "after"))
    hook = HOOK.format(before=before, after=after, top=TOP, python=sys.executable, lab=pair.field.lab.name)
    scripts = {
        pair.room / "hook": hook,
        pair.clone / ".git/hooks/pre-push": PUSH_HOOK.format(gate=gates.pass_by("before-push", folder)),
        pair.field.repository / "hooks/post-receive": PUSH_HOOK.format(gate=gates.pass_by("after-push", folder)),
    }
    for script, text in scripts.items():
        script.parent.mkdir(exist_ok=True)
        script.write_text(text)
        script.chmod(0o755)
