"""A real certificate authority in the lab's internet: pebble, with pebble-challtestsrv as the public name server.

    acme = Acme.start(lab)                                      # again: a new authority, which knows nobody
    acme.names("www.example.org", a=["198.51.100.11"])          # also aaaa=, caa=["ca.example"]; none: no record
    acme.directory; acme.ca_pem; acme.root_pem()                # for the spec; for the spec; what clients trust
    acme.orders()                                               # how many new orders came
    acme.move_window(certificate_pem, start, end)               # the renewal window of RFC 9773
    with acme.down(): …                                         # connections are refused
    with acme.rate_limited("too many certificates"): …          # a stand-in in front, which says that it is one
    REFUSED                                                     # a name that pebble itself issues nothing for

Everything runs in the namespace `inet`. pebble connects to the port 80 of what the name server says, through the
provider's router, as a real one does. Its logs are in the lab's folder, next to the consoles'.
"""

import contextlib
import http.client
import json
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from service.errors import LabError
from service.lab import addresses, enter, pebble
from service.lab.running import RunningLab
from service.lab.waiting import wait_for

NAME = "acme.lab.example"
REFUSED = "refused-example.org"
"""A name right below a top-level domain, so that every name that may be ordered has as many labels or more."""
CAA_IDENTITY = "ca.lab.example"
LOOPBACK = "127.0.0.1"
MANAGEMENT_PORT, DNS_PORT, STAND_IN_PORT = 15000, 8055, 8443
VALIDITY_S = {"default": 90 * 86400, "classic": 90 * 86400, "tlsserver": 45 * 86400, "shortlived": 6 * 86400}
STEADY = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
"""No waiting at random, no nonce refused at random, and each order checks its names again."""
NEW_ORDER = "POST /order-plz "
TABLE = "acme_fault"

SERVER_EXTENSIONS = """\
subjectAltName=DNS:{name},IP:{address}
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
authorityKeyIdentifier=keyid
"""


class Acme:
    """The authority of one lab. `directory` is its ACME directory, `ca_pem` the CA of that server's own certificate."""

    directory = f"https://{NAME}/dir"
    name_server = addresses.INTERNET

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        self.folder = lab.folder / "acme"
        self._log = lab.folder / "pebble.log"

    @classmethod
    def start(cls, lab: RunningLab, *, validity_s: Mapping[str, int] | None = None) -> Self:
        """Start it, or start it again with an empty memory and another root. `validity_s`: profile → seconds."""
        programs = pebble.ensure()
        acme = cls(lab)
        acme.folder.mkdir(exist_ok=True)
        if not (acme.folder / "ca.pem").exists():
            acme._make_identity()
        config = acme.folder / "pebble.json"
        config.write_text(json.dumps({"pebble": acme._config(VALIDITY_S | dict(validity_s or {}))}, indent=1))
        zone = f"{LOOPBACK}:{addresses.ZONE_PORT}"
        server = [str(programs.server), "-strict", "-config", str(config), "-dnsserver", zone]
        lab.ask("serve", name="pebble", argv=["env", *(f"{k}={v}" for k, v in STEADY.items()), *server])
        names = [str(programs.dns), "-dnsserver", zone, "-management", f"{LOOPBACK}:{DNS_PORT}"]
        nobody = [word for flag in ("-http01", "-https01", "-tlsalpn01", "-doh") for word in (flag, "")]
        lab.ask("serve", name="names", argv=[*names, *nobody, "-defaultIPv4", "", "-defaultIPv6", ""])
        wait_for(acme._is_up, "the lab's authority", 20)
        return acme

    def _config(self, validity_s: Mapping[str, int]) -> dict[str, object]:
        profiles = {
            name: {"description": f"{seconds} s", "validityPeriod": seconds} for name, seconds in validity_s.items()
        }
        return {
            "listenAddress": f"{addresses.INTERNET}:443",
            "managementListenAddress": f"{LOOPBACK}:{MANAGEMENT_PORT}",
            "certificate": str(self.folder / "server.pem"),
            "privateKey": str(self.folder / "server.key"),
            "httpPort": 80,
            "tlsPort": 443,
            "domainBlocklist": [REFUSED],
            "caaIdentities": [CAA_IDENTITY],
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": profiles,
        }

    def _make_identity(self) -> None:
        """The CA of the server's own certificate, and that certificate."""
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        ca = ["req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650"]
        self._openssl(*ca, "-subj", "/CN=passerelle lab", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={NAME}")
        extensions = SERVER_EXTENSIONS.format(name=NAME, address=addresses.INTERNET)
        (self.folder / "server.ext").write_text(extensions)
        signed = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
        self._openssl(*signed, "-days", "3650", "-extfile", "server.ext", "-out", "server.pem")

    def _openssl(self, *arguments: str) -> None:
        argv = ["openssl", *arguments]
        done = enter.run(["env", "-C", str(self.folder), *argv], stdin=None, timeout_s=20, check=False, what="openssl")
        if done.returncode != 0:
            raise LabError(f"openssl {arguments[0]}: {done.stderr.strip()[-300:]}", hint="apt-get install openssl")

    @property
    def ca_pem(self) -> str:
        """The CA of the directory's own TLS certificate."""
        return (self.folder / "ca.pem").read_text()

    def root_pem(self) -> str:
        """The root of the certificates that it issues; another after each start."""
        return self._management("GET", "/roots/0")

    def orders(self) -> int:
        """New orders that came to it since its start; not those that a stand-in answered."""
        return self._log.read_text(errors="replace").count(NEW_ORDER)

    def log(self) -> str:
        """What pebble said since its start."""
        return self._log.read_text(errors="replace")

    def move_window(self, certificate_pem: str, start: str, end: str) -> None:
        """Say that a certificate should be renewed between two times (RFC 3339)."""
        window = json.dumps({"suggestedWindow": {"start": start, "end": end}})
        body = json.dumps({"certificate": certificate_pem, "ariResponse": window})
        self._management("POST", "/set-renewal-info/", body)

    # the public name server

    def names(self, name: str, *, a: Sequence[str] = (), aaaa: Sequence[str] = (), caa: Sequence[str] = ()) -> None:
        """Set all records of a name; `caa` are the authorities that may issue, by their CAA identities."""
        policies = [{"tag": "issue", "value": identity} for identity in caa]
        records: Mapping[str, tuple[str, Sequence[object]]] = {
            "a": ("addresses", a), "aaaa": ("addresses", aaaa), "caa": ("policies", policies)
        }  # fmt: skip
        for kind, (field, values) in records.items():
            self._set(f"clear-{kind}", {"host": name})
            if values:
                self._set(f"add-{kind}", {"host": name, field: list(values)})

    @contextlib.contextmanager
    def broken_name(self, name: str) -> Iterator[None]:
        """Questions about this name fail (SERVFAIL)."""
        self._set("set-servfail", {"host": name})
        try:
            yield
        finally:
            self._set("clear-servfail", {"host": name})

    # its faults

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Nobody listens at the directory's address."""
        with self._fault("chain input { type filter hook input priority 0; tcp dport 443 reject with tcp reset; }"):
            yield

    @contextlib.contextmanager
    def rate_limited(self, detail: str, *, retry_after_s: int = 3600) -> Iterator[None]:
        """New orders are refused as rate limits of a real authority are, which pebble does not have.

        A stand-in in front of it answers them, with `Server: passerelle lab stand-in`. It hands the rest on.
        """
        code = ["-m", "service.lab.inside.stand_in", str(self.folder), str(STAND_IN_PORT), str(retry_after_s), detail]
        self._lab.ask("serve", name="stand-in", argv=[sys.executable, *code])
        try:
            wait_for(lambda: self._listens(addresses.INTERNET, STAND_IN_PORT), "the stand-in", 20)
            hook = "type nat hook prerouting priority dstnat"
            with self._fault(f"chain prerouting {{ {hook}; tcp dport 443 redirect to :{STAND_IN_PORT}; }}"):
                yield
        finally:
            self._lab.ask("serve", name="stand-in", argv=[])

    @contextlib.contextmanager
    def _fault(self, chain: str) -> Iterator[None]:
        self._lab.run_in("inet", ["nft", "-f", "-"], input=f"table ip {TABLE} {{\n{chain}\n}}\n", check=True)
        try:
            yield
        finally:
            self._lab.run_in("inet", ["nft", "delete", "table", "ip", TABLE], check=True)

    # requests to it

    def _is_up(self) -> bool:
        places = ((addresses.INTERNET, 443), (LOOPBACK, MANAGEMENT_PORT), (LOOPBACK, DNS_PORT))
        return all(self._listens(address, port) for address, port in places)

    def _listens(self, address: str, port: int) -> bool:
        try:
            self._lab.dial(address, port, netns="inet", timeout_s=2).close()
        except OSError:
            return False
        return True

    def _set(self, what: str, body: Mapping[str, object]) -> None:
        self._ask(self._lab.dial(LOOPBACK, DNS_PORT, netns="inet"), "POST", f"/{what}", json.dumps(body))

    def _management(self, method: str, path: str, body: str = "") -> str:
        trusted = ssl.create_default_context(cadata=self.ca_pem)
        plain = self._lab.dial(LOOPBACK, MANAGEMENT_PORT, netns="inet")
        return self._ask(trusted.wrap_socket(plain, server_hostname=NAME), method, path, body)

    def _ask(self, connected: socket.socket, method: str, path: str, body: str) -> str:
        connection = http.client.HTTPConnection(NAME)
        connection.sock = connected
        with contextlib.closing(connection):
            connection.request(method, path, body.encode(), {"User-Agent": "passerelle-lab"})  # RFC 8555, 6.1
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        if answer.status >= 400:
            raise LabError(f"{method} {path}: {answer.status} {text[:300]}")
        return text
