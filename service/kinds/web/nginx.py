"""nginx's files for sites (nginx 1.22 to 1.26): what holds for all, and one file for each site.

The main file is read before other sites, so its servers answer for names that nobody has, unless the guest's
administrator has a `default_server`. An upstream by name is a variable with a `resolver`: nginx queries it when a
request comes. So a name that is not known answers 502, and nginx starts and serves the other sites. TLS is Mozilla's
"intermediate" without DHE. Clients cannot forge their address: X-Forwarded-For is what nginx sees.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from service.kinds.web.directives import Comment, Directive, block, on, text_of
from service.kinds.web.section import HTTP, HTTPS, Limits, Site
from service.kinds.web.values import WILDCARD
from service.model.sites.wanted import IDENTITY_PATH

STATE = "/var/lib/passerelle-guest"
CHALLENGES = "/.well-known/acme-challenge/"
WEBROOT = f"{STATE}/webroot"
SITES = "/etc/passerelle/sites/*.conf"
MAIN_FILE = "nginx.conf"

CONNECT_TIMEOUT = "5s"
"""Longer than the 3 s after which the kernel knows that nobody has an address: then the answer is 502, not 504."""
RESOLVED_FOR = "10s"
LONGEST_HASHED = 46
"""Longer names do not fit into a bucket of nginx's usual hash table of names, 64 bytes, and nginx does not start."""
ZONE = "1m"
"""Shared memory for the clients of one limit: about 16,000 addresses."""

_TLS = (
    on("ssl_protocols", "TLSv1.2", "TLSv1.3"),
    on(
        "ssl_ciphers",
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
        "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
    ),
    on("ssl_prefer_server_ciphers", "off"),
    on("ssl_session_cache", "shared:passerelle:10m"),
    on("ssl_session_timeout", "1d"),
    on("ssl_session_tickets", "off"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests of a site go: an address, or a name that `resolver` (an address) knows."""

    host: str
    port: int
    resolver: str = ""


def main_file(*, ipv6: bool = False) -> bytes:
    """What holds for all sites. `ipv6`: the guest has an address of IPv6, and answers there, too."""
    lines = (
        Comment("written by passerelle: what holds for all sites; each has its own file in sites/"),
        block("map", ("$http_upgrade", "$passerelle_connection"), (on("default", "upgrade"), on("", "close"))),
        block("server", (), (
            Comment("names that nobody has: no answer"),
            *_listen(HTTP, ipv6=ipv6),
            on("return", "444"),
        )),
        block("server", (), (
            Comment("HTTP/2 counts for the port, so for every site; 1.26 warns of it, 1.22 has no other notation"),
            *_listen(HTTPS, "ssl", "http2", ipv6=ipv6),
            *_TLS,
            on("ssl_reject_handshake", "on"),
            on("return", "421"),
        )),
        on("include", SITES),
    )  # fmt: skip
    return text_of(lines).encode("ascii")


def _listen(port: int, *how: str, ipv6: bool) -> tuple[Directive, ...]:
    """The port of a server. nginx's [::] is for IPv6 alone (`ipv6only=on`, its default)."""
    four = on("listen", str(port), *how)
    return (four, on("listen", f"[::]:{port}", *how)) if ipv6 else (four,)


def site_file(own: str, site: Site, target: Target, identity: str, *, ipv6: bool = False) -> bytes:
    """One site. `identity` is what the proxy answers at IDENTITY_PATH; `ipv6` as for the main file."""
    names = on("server_name", *(server_name(name) for name in site.names(own)))
    plain, secure = _listen(HTTP, ipv6=ipv6), _listen(HTTPS, "ssl", ipv6=ipv6)
    known = (_challenges(), _identity(identity))
    pages = (
        on("client_max_body_size", site.max_body_size),
        block("location", ("/",), tuple(_location(own, site, target))),
    )
    lines: list[Directive | Comment] = [Comment("written by passerelle, from `web` in the spec of the host")]
    lines += _zones(own, site.limits or Limits())
    if not site.https:
        lines.append(block("server", (), (*plain, names, *known, *pages)))
    elif site.redirect_https:
        away = block("location", ("/",), (on("return", "301", "https://$host$request_uri"),))
        lines.append(block("server", (), (*plain, names, *known, away)))
        lines.append(block("server", (), (*secure, names, *_certificate(own), *pages)))
    else:
        lines.append(block("server", (), (*plain, *secure, names, *_certificate(own), *known, *pages)))
    return text_of(lines).encode("ascii")


def server_name(name: str) -> str:
    """A name as nginx finds it: long ones as an expression, which is in no hash table."""
    bare = name.removeprefix(WILDCARD)
    if len(bare) <= LONGEST_HASHED:
        return name
    before = r"[^.]+\." if name != bare else ""
    return f"~^{before}{re.escape(bare).replace(chr(92) + '-', '-')}$"


def _challenges() -> Directive:
    """Where a certificate authority looks for proof (RFC 8555, 8.3): for everybody, and before any redirect."""
    return block("location", ("^~", CHALLENGES), (on("root", WEBROOT), on("default_type", "text/plain")))


def _identity(identity: str) -> Directive:
    """By this the checks before the first order know that port 80 leads to this proxy; for everybody, too."""
    return block("location", ("=", IDENTITY_PATH), (on("default_type", "text/plain"), on("return", "200", identity)))


def _certificate(own: str) -> Sequence[Directive]:
    live = f"{STATE}/live/{own}"
    return (on("ssl_certificate", f"{live}/fullchain.pem"), on("ssl_certificate_key", f"{live}/privkey.pem"), *_TLS)


def _zones(own: str, limits: Limits) -> Iterator[Directive]:
    """The memory of its limits."""
    if limits.requests is not None:
        zone = f"zone=passerelle_requests_{own}:{ZONE}"
        yield on("limit_req_zone", "$binary_remote_addr", zone, f"rate={limits.requests.replace('/', 'r/')}")
    if limits.connections is not None:
        yield on("limit_conn_zone", "$binary_remote_addr", f"zone=passerelle_connections_{own}:{ZONE}")


def _location(own: str, site: Site, target: Target) -> tuple[Directive, ...]:
    """What is done with a request."""
    return (*_clients(site), *_limited(own, site.limits or Limits()), *_passed_on(site, target), *_answers(site))


def _clients(site: Site) -> Iterator[Directive]:
    """Who may ask: the first that fits decides."""
    yield from (on("deny", clients) for clients in site.deny or ())
    yield from (on("allow", clients) for clients in site.allow or ())
    if site.allow:
        yield on("deny", "all")


def _answers(site: Site) -> Iterator[Directive]:
    """What is changed in answers."""
    for name, value in site.headers.items():
        yield on("proxy_hide_header", name)
        yield on("add_header", name, value, "always")


def _limited(own: str, limits: Limits) -> Iterator[Directive]:
    if limits.requests is not None:
        count, _, unit = limits.requests.partition("/")
        burst = limits.burst or max(1, int(count) // (60 if unit == "m" else 1))
        yield on("limit_req", f"zone=passerelle_requests_{own}", f"burst={burst}", "nodelay")
        yield on("limit_req_status", "429")
    if limits.connections is not None:
        yield on("limit_conn", f"passerelle_connections_{own}", str(limits.connections))
        yield on("limit_conn_status", "429")


def _passed_on(site: Site, target: Target) -> Iterator[Directive]:
    if target.resolver:
        yield on("resolver", target.resolver, f"valid={RESOLVED_FOR}", "ipv6=off")
        yield on("resolver_timeout", CONNECT_TIMEOUT)
        yield on("set", "$passerelle_upstream", f"{target.host}:{target.port}")
        yield on("proxy_pass", f"{site.scheme}://$passerelle_upstream")
    else:
        yield on("proxy_pass", f"{site.scheme}://{target.host}:{target.port}")
    if site.scheme == "https":
        yield on("proxy_ssl_server_name", "on")
        yield on("proxy_ssl_name", "$host")
    yield on("proxy_http_version", "1.1")
    yield on("proxy_redirect", "off")
    yield on("proxy_connect_timeout", CONNECT_TIMEOUT)
    yield on("proxy_read_timeout", site.timeout)
    yield on("proxy_send_timeout", site.timeout)
    heads = {
        "Host": "$host", "X-Real-IP": "$remote_addr", "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Host": "$host", "X-Forwarded-Port": "$server_port", "X-Forwarded-Proto": "$scheme",
        "Forwarded": "",
    }  # fmt: skip
    upgrade = {"Upgrade": "$http_upgrade", "Connection": "$passerelle_connection"}
    heads |= upgrade if site.websocket else {"Upgrade": "", "Connection": "close"}
    yield from (on("proxy_set_header", name, value) for name, value in heads.items())
