"""The demo's site: one commit with a guest that does not exist yet and a line for the site, seen from outside."""

import http.client
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from typing import Any, Protocol

from service.lab import Guest, Host, Lab, templates
from service.lab.acme import Acme
from service.lab.field import Field

SITE, ALIAS = "www.example.org", "example.org"
PORT, CONTROLLER = 8080, "198.18.0.10"
GUEST = '  proxy: {mac: "BC:24:11:00:00:03", address: 10.10.10.20, create: {}}\n'
WEB = f"""\
web:
  proxy: proxy
  acme:
    directory: {{directory}}
    email: admin@example.org
    terms_agreed: true
    ca:
    - >-
{{ca}}  sites:
    {SITE}: {{{{to: dev, port: {PORT}, aliases: [{ALIAS}]}}}}
"""
UPSTREAM = f"""\
import http.server
class Upstream(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "dev answers {{}} for {{}}".format(self.headers["Host"], self.headers["X-Forwarded-For"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", {PORT}), Upstream).serve_forever()
"""
CREATED_S = 300.0
"""A template, a guest, nginx, the ACME client: on a busy machine."""


class Story(Protocol):
    """What this part of the story needs of it."""

    lab: Lab
    field: Field
    host: Host
    guests: dict[str, Guest]
    created: str
    web: str

    def spec(self) -> str: ...
    def stage(self, name: str, text: str) -> AbstractContextManager[None]: ...
    def see(self, flag: str, look: Callable[[], Any], timeout_s: float = 30) -> None: ...


def publish(story: Story) -> None:
    """Push the site and its guest, and visit it with its certificate verified."""
    acme = Acme.start(story.lab)
    acme.names(SITE, a=[story.host.address])
    acme.names(ALIAS, a=[story.host.address])
    with as_file(files("service.guestside") / "requirements.txt") as requirements:
        story.lab.offer_python(requirements)
    templates.lend(story.host)
    dev = story.guests["dev"]
    dev.exec(["sh", "-c", "cat > /tmp/upstream.py"], input=UPSTREAM, check=True)
    dev.exec(["sh", "-c", "setsid python3 /tmp/upstream.py >/dev/null 2>&1 </dev/null &"], check=True)
    story.created = GUEST
    ca = "".join(f"      {line}\n" for line in acme.ca_pem.splitlines())
    story.web = WEB.format(directory=acme.directory, ca=ca)
    with story.stage("publish", "git push: a site, and the guest with nginx that answers for it"):
        story.field.push({"hosts/pve1.yaml": story.spec()}, f"pve1: publish {SITE}")
        story.see("published", lambda: visited(story, acme), CREATED_S)
    templates.keep(story.host)


def visited(story: Story, acme: Acme) -> dict[str, Any]:
    """The certificate's names and the upstream's answer, seen from the controller's network; empty before that."""
    trusted = ssl.create_default_context(cadata=acme.root_pem())
    connection = http.client.HTTPConnection(SITE)
    try:
        plain = story.lab.dial(story.host.address, 443, timeout_s=5)
        plain.settimeout(10)
        with plain, trusted.wrap_socket(plain, server_hostname=SITE) as secure:
            shown: dict[str, Any] = secure.getpeercert() or {}
            connection.sock = secure
            connection.request("GET", "/")
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return {}
    names = sorted(value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS")
    issuer = dict(pair[0] for pair in shown.get("issuer", ())).get("commonName", "")
    right = answer.status == 200 and said == f"dev answers {SITE} for {CONTROLLER}" and names == sorted([SITE, ALIAS])
    return {"names": names, "issuer": issuer, "answer": said} if right else {}
