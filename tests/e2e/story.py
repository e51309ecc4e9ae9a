"""The host of the stories as a spec, and questions about it that many tests need."""

import json
from typing import Any

from service.errors import LabError
from service.lab import Guest, Host
from service.lab.field import Field

OUTSIDE = "198.18.0.80"
NAT = "nat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"
SPEC = """\
host: {name}
platform: debian
sync: {sync}
connection:
  address: {address}
  host_keys: [{host_key}]
  confirm_timeout: 30s
{extra}interfaces:
  enp1s0: {{addresses: [{uplink}/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {{addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}}
{nat}dnsmasq:
  domain_needed: true
  bogus_priv: true
  no_poll: true
  no_hosts: true
  no_dhcp_interface: enp1s0
  expand_hosts: true
  domain: madyanne.lan
  cache_size: {cache_size}
  log_facility: /var/log/dnsmasq.log
  dhcp:
    - interface: vmbr0
      start: 10.10.10.100
      end: 10.10.10.200
      lease_time: 12h
      authoritative: true
      lease_file: /var/lib/misc/dnsmasq.leases
      options: {{3: 10.10.10.1, 6: 10.10.10.1, 19: 1}}
guests:
  dev: {{mac: "BC:24:11:00:00:01"}}
  alpine: {{mac: "BC:24:11:00:00:02"}}
packages: {{dnsmasq: present}}
services: {{named: disabled}}
"""


class Story:
    """One host, its guests, and the service that looks after it."""

    def __init__(self, host: Host, field: Field) -> None:
        self.host = host
        self.field = field
        self.guests: dict[str, Guest] = {}

    def add_guests(self) -> None:
        self.guests["dev"] = self.host.guest_add("dev", mac="BC:24:11:00:00:01")
        self.guests["alpine"] = self.host.guest_add("alpine", sort="silent", mac="BC:24:11:00:00:02")
        self.guests["box"] = self.host.guest_add("box", sort="static", address="10.10.10.50/24")

    def spec(self, **values: Any) -> str:
        usual = {
            "name": self.host.name, "sync": "auto", "address": self.host.address, "uplink": self.host.address,
            "host_key": self.host.host_key, "extra": "", "nat": NAT, "cache_size": 256,
        }  # fmt: skip
        return SPEC.format(**{**usual, **values})

    def push(self, spec: str, subject: str) -> str:
        return self.field.push({"fleet.yaml": "passerelle: 1\n", f"hosts/{self.host.name}.yaml": spec}, subject)

    def apply(self, spec: str, subject: str) -> str:
        """Push and wait until the host is as the commit says."""
        commit = self.push(spec, subject)
        self.wait_synced(commit)
        return commit

    def status(self) -> dict[str, Any]:
        status, found = self.field.ask("GET", "hosts?limit=200")
        rows = {row["host"]: row for row in found["items"]} if status == 200 else {}
        return dict(rows.get(self.host.name, {}))

    def wait_synced(self, commit: str) -> dict[str, Any]:
        try:
            return self.field.wait_in_force(self.host.name, commit)
        except LabError as error:
            raise LabError(f"{error}\nit differs: {json.dumps(self.drift(), indent=1)}") from None

    def wait_status(self, **wanted: Any) -> dict[str, Any]:
        """Wait until the host's status has these values."""

        def there() -> dict[str, Any]:
            now = self.status()
            return now if all(now.get(name) == value for name, value in wanted.items()) else {}

        try:
            found: dict[str, Any] = self.field.wait_for(there, f"{self.host.name} has {wanted}", timeout_s=60)
        except LabError as error:
            raise LabError(f"{error}\nnow: {json.dumps(self.status(), indent=1)}") from None
        return found

    def wait_rounds(self, number: int = 2) -> None:
        """Wait until the host was looked at that many more times: pushes and requests from before are handled by
        then.
        """
        for _ in range(number):
            before = self.status()["observed_at"]
            self.field.wait_for(lambda before=before: self.status()["observed_at"] != before, "the host is looked at")

    def drift(self) -> list[dict[str, Any]]:
        """What differs, once the host was compared with what Git wants now."""
        path = f"hosts/{self.host.name}/drift?limit=200"

        def compared() -> list[list[dict[str, Any]]]:
            status, found = self.field.ask("GET", path)
            return [found["items"]] if status == 200 else []

        return list(self.field.wait_for(compared, f"{self.host.name} is compared")[0])

    def applies(self) -> list[dict[str, Any]]:
        return self.field.items(f"applies?host={self.host.name}&limit=200")

    # what is really there, from the console and the guests

    def json(self, command: str) -> Any:
        return json.loads(self.host.sh(command))

    def masquerades(self) -> int:
        """How many masquerade rules the kernel has, by whatever table."""
        return self.host.sh("nft list ruleset 2>/dev/null").count("masquerade") + self.host.sh(
            "iptables-legacy-save -t nat 2>/dev/null || true"
        ).count("MASQUERADE")

    def default_routes(self) -> list[dict[str, Any]]:
        return list(self.json("ip -j route show default"))

    def addresses(self, interface: str) -> list[str]:
        found = self.json(f"ip -j -4 address show dev {interface}")
        return [f"{a['local']}/{a['prefixlen']}" for link in found for a in link["addr_info"]]

    def port_53_owners(self) -> set[str]:
        """Programs that wait on udp/53."""
        lines = self.host.sh("ss -Hlunp 'sport = :53'").splitlines()
        return {line.split('"')[1] for line in lines if '"' in line}

    def address_seen_outside(self, guest: str) -> str:
        fetch = f"import urllib.request as u; print(u.urlopen('http://{OUTSIDE}/', timeout=5).read().decode())"
        return str(self.guests[guest].exec(["python3", "-c", fetch], check=False).stdout).strip()

    def pings(self, guest: str, name: str) -> bool:
        """Whether a guest gets an answer by that name; on a busy machine up to three times, and then the state is
        shown.
        """
        for _ in range(3):
            done = self.guests[guest].exec(["ping", "-c1", "-W2", name], check=False)
            if done.returncode == 0:
                return True
            print(f"{guest}: {done.stdout}{done.stderr}")
        print(
            self.guests[guest]
            .exec(["sh", "-c", "cat /etc/resolv.conf; ip neigh; tail -3 /etc/hosts"], check=False)
            .stdout
        )
        print(
            self.host.sh("cat /var/lib/misc/dnsmasq.leases; ip neigh; ip -br link; ss -Hlunp; nft list ruleset; true")
        )
        return False
