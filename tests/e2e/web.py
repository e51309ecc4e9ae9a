"""A host that publishes sites: its spec, the authority outside, the upstream, and requests from everywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import LabError
from service.lab import Guest, Lab, templates
from service.lab.acme import Acme
from service.lab.field import Field
from tests.e2e.story import Story

PROXY_MAC, PROXY = "bc:24:11:00:00:a2", "10.10.10.20"
ROOT = "/root/root.pem"
REQUIREMENTS = Path(__file__).parents[2] / "service/guestside/requirements.txt"
CREATED_S, ISSUED_S = 300, 120
UPSTREAM = """\
import http.server, os, threading, time

class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        with open("/tmp/upstream.log", "a") as log:
            log.write(" ".join([str(self.server.server_port), self.path, self.headers.get("Host", "-"),
                self.headers.get("X-Forwarded-For", "-"), self.headers.get("X-Forwarded-Proto", "-")]) + "\\n")
        if self.path == "/slow":
            self.send_response(200)
            self.send_header("Content-Length", "4000")
            self.end_headers()
            for _ in range(400):
                self.wfile.write(b"0123456789")
                self.wfile.flush()
                if not os.path.exists("/tmp/enough"):
                    time.sleep(0.1)
            return
        body = (self.headers.get("X-Forwarded-For", "-") + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

servers = [http.server.ThreadingHTTPServer(("", port), Upstream) for port in (8080, 8090)]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
"""


@dataclass
class Got:
    """What curl saw: the status (0: no answer), the body, and why not."""

    status: int
    body: str = ""
    error: str = ""


class Web:
    """One host with a proxy guest, an upstream in the guest dev, and box, which only visits."""

    def __init__(self, story: Story, acme: Acme, room: Path) -> None:
        self.story = story
        self.acme = acme
        self.field: Field = story.field
        self.lab: Lab = story.field.lab
        self.host = story.host
        self.dev: Guest = story.guests["dev"]
        self.box: Guest = story.guests["box"]
        self.root = room / "root.pem"
        self.sites: dict[str, str] = {}

    # what Git has

    def spec(self) -> str:
        """The host as it should be now, with the sites that were added."""
        guests = f'guests:\n  proxy: {{mac: "{PROXY_MAC}", address: {PROXY}, create: {{}}}}\n'
        text = self.story.spec().replace("guests:\n", guests)
        if not self.sites:
            return text
        ca = "".join(f"      {line}\n" for line in self.acme.ca_pem.splitlines())
        acme = f"  acme:\n    directory: {self.acme.directory}\n    email: admin@example.org\n    terms_agreed: true\n"
        sites = "".join(f"    {name}: {site}\n" for name, site in self.sites.items())
        return f"{text}web:\n  proxy: proxy\n{acme}    ca:\n    - >-\n{ca}  sites:\n{sites}"

    def push(self, subject: str) -> str:
        return self.story.push(self.spec(), subject)

    def add(self, name: str, site: str = "{to: dev, port: 8080}", *, here: bool = True) -> str:
        """Push one more site; `here`: its name leads to the host."""
        if here:
            self.acme.names(name, a=[self.host.address])
        self.sites[name] = site
        return self.push(f"publish {name}")

    def withdraw(self, *names: str) -> None:
        """Take sites out of Git, and wait until nobody orders for them any more."""
        for name in names:
            del self.sites[name]
        self.field.wait_in_force(self.host.name, self.push(f"without {', '.join(names)}"))

    # what the guests do

    def serve(self) -> None:
        """The guest dev answers on 8080 and 8090 with the client's address, as nginx reports it."""
        self.dev.exec(["sh", "-c", "cat > /tmp/upstream.py"], input=UPSTREAM, check=True)
        start = "rm -f /tmp/enough; setsid python3 /tmp/upstream.py >/dev/null 2>&1 </dev/null &"
        self.dev.exec(["sh", "-c", start], check=True)
        listens = ["ss", "-Hltn", "sport", "=", ":8090"]
        self.field.wait_for(lambda: str(self.dev.exec(listens).stdout).strip(), "the upstream listens", timeout_s=20)

    def upstream_log(self) -> list[list[str]]:
        """port, path, Host, X-Forwarded-For, X-Forwarded-Proto of every request that reached the upstream."""
        return [line.split() for line in self.dev.exec(["cat", "/tmp/upstream.log"]).stdout.splitlines()]

    def in_proxy(self, *argv: str, check: bool = True) -> str:
        return self.host.exec(["lxc-attach", "-n", "proxy", "--clear-env", "--", *argv], check=check).stdout.strip()

    # visitors

    def outside(self, name: str, path: str = "/", *, scheme: str = "https", netns: str = "ctl") -> Got:
        """From outside: the name leads where the public name server says."""
        port = {"https": 443, "http": 80}[scheme]
        there = ["--resolve", f"{name}:{port}:{self.host.address}"]
        argv = [*curl(f"{scheme}://{name}{path}", str(self.root)), *there]
        return got(self.lab.run_in(netns, argv, timeout_s=20))

    def from_guest(self, name: str, path: str = "/") -> Got:
        pem = self.root.read_text()
        self.box.exec(["sh", "-c", f"mkdir -p /root; cat > {ROOT}"], input=pem, check=True)
        return got(self.box.exec(curl(f"https://{name}{path}", ROOT), timeout_s=20))

    def from_host(self, name: str, path: str = "/") -> Got:
        return got(self.host.exec(curl(f"https://{name}{path}", ROOT), timeout_s=20))

    def trust(self) -> None:
        """Everybody trusts the authority's root."""
        pem = self.acme.root_pem()
        self.root.write_text(pem)
        self.host.write(ROOT, pem)

    def wait_published(self, name: str, *, timeout_s: float = ISSUED_S) -> Got:
        """Wait until the site answers outside with a certificate that visitors trust."""

        known = set(self.field.undone(self.host.name))

        def answers() -> Got | None:
            undone = self.field.undone(self.host.name)
            if set(undone) - known:
                raise LabError("; ".join(undone.values()))
            found = self.outside(name)
            return found if found.status == 200 else None

        try:
            found: Got = self.field.wait_for(answers, f"https://{name}/ answers", timeout_s=timeout_s)
        except LabError as error:
            raise LabError(f"{error}\nnow: {self.outside(name)}\n{self.told(name)}") from None
        return found

    # what the service says

    def state(self, name: str) -> dict[str, Any]:
        """A site as the API has it; empty before it is known."""
        status, found = self.field.ask("GET", f"sites?name={name}")
        rows = found["items"] if status == 200 else []
        return dict(rows[0]) if rows else {}

    def wait_state(self, name: str, *words: str, timeout_s: float = 60) -> dict[str, Any]:
        """Wait until a site has one of these states."""

        def there() -> dict[str, Any]:
            now = self.state(name)
            return now if now.get("state") in words else {}

        try:
            found: dict[str, Any] = self.field.wait_for(there, f"{name} is {' or '.join(words)}", timeout_s=timeout_s)
        except LabError as error:
            raise LabError(f"{error}\n{self.told(name)}") from None
        return found

    def told(self, name: str) -> str:
        """All that is known of a site, for a failed test."""
        host, drift = self.story.status(), self.story.drift()
        return f"site: {self.state(name)}\nhost: {host}\ndrift: {drift}\npebble: {self.acme.log()[-2000:]}"


def curl(url: str, root: str) -> list[str]:
    shown = ["--silent", "--show-error", "--max-time", "10", "--write-out", "\n%{http_code}"]
    return ["curl", *shown, "--cacert", root, url]


def got(done: Any) -> Got:
    body, _, status = done.stdout.rpartition("\n")
    return Got(int(status or 0), body.strip(), done.stderr.strip())


def made(story: Story, room: Path, first: str, first_s: float = CREATED_S) -> Web:
    """The host with its guests by one commit. By the next one, a guest that is there becomes the proxy: it gets nginx
    and what orders certificates, and its first site answers within `first_s` of the push.
    """
    acme = Acme.start(story.field.lab)
    story.field.lab.offer_python(REQUIREMENTS)
    templates.lend(story.host)
    story.add_guests()
    web = Web(story, acme, room)
    web.trust()
    commit = web.push("a host and its guests")
    web.field.wait_in_force(story.host.name, commit, timeout_s=CREATED_S)
    templates.keep(story.host)
    for guest in (web.dev, web.box):
        guest.wait_for_address()
    web.serve()
    web.add(first)
    web.wait_published(first, timeout_s=first_s)
    return web
