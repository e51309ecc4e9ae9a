"""The checks before the first order: a real name server, a real port 80 on loopback."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.internet.preflight import Checks, caa_identities
from service.internet.resolver import Resolver
from service.model.sites.seen import Preflight
from service.model.sites.wanted import IDENTITY_PATH, Authority, SiteWanted
from tests.internet.servers import LOOPBACK, Zone, certificate, http, http_server, name_server
from tests.model.sites.looks import NOW, SITE

HERE = replace(SITE, addresses=(LOOPBACK,))
RIGHT: Zone = {
    ("www.example.org", "A"): [LOOPBACK],
    ("example.org", "A"): [LOOPBACK],
    ("example.org", "CAA"): ['0 issue "letsencrypt.org"'],
}


def proxy(host: str, path: str) -> bytes:
    """What the nginx of the proxy answers over HTTP."""
    known = host in SITE.names and path == IDENTITY_PATH
    return http("200 OK", f"{SITE.identity}\n") if known else http("301 Moved Permanently")


async def checked(zone: Zone, site: SiteWanted = HERE, answers: object = proxy) -> Preflight:
    async with name_server(zone) as (server, _), http_server(answers) as port:  # type: ignore[arg-type]
        return await Checks(Resolver([server]), http_port=port).run(site, NOW)


async def test_all_is_well() -> None:
    found = await checked(RIGHT)
    assert (found.at, found.is_passed, found.why) == (NOW, True, "")
    assert [check.name for check in found.checks] == ["resolves", "ipv6", "caa", "port-80"] * 2


WRONG: Mapping[str, tuple[Zone, str]] = {
    "another address": (
        RIGHT | {("www.example.org", "A"): ["203.0.113.9"]},
        "www.example.org resolves to 203.0.113.9, not to 127.0.0.1 of pve1. "
        "Fix: set the A record of www.example.org to 127.0.0.1.",
    ),
    "one address too many": (
        RIGHT | {("www.example.org", "A"): [LOOPBACK, "203.0.113.9"]},
        "www.example.org resolves to 203.0.113.9 besides 127.0.0.1 of pve1, and the CA may connect there. "
        "Fix: remove the other A records.",
    ),
    "no such name": (
        {key: rows for key, rows in RIGHT.items() if key[0] != "www.example.org"},
        "www.example.org does not exist in the DNS. Fix: add the record `www.example.org. A 127.0.0.1`.",
    ),
    "no address": (
        RIGHT | {("www.example.org", "A"): [], ("www.example.org", "TXT"): ['"x"']},
        "www.example.org has no A record. Fix: add the record `www.example.org. A 127.0.0.1`.",
    ),
    "an alias has another address": (
        RIGHT | {("example.org", "A"): ["203.0.113.9"]},
        "example.org resolves to 203.0.113.9, not to 127.0.0.1 of pve1. "
        "Fix: set the A record of example.org to 127.0.0.1.",
    ),
    "IPv6 without a way": (
        RIGHT | {("www.example.org", "AAAA"): ["2001:db8::9"]},
        "www.example.org has the AAAA record 2001:db8::9, and the CA tries IPv6 first. This host publishes the site "
        "over IPv4 only. Fix: remove the AAAA record.",
    ),
    "another CA": (
        RIGHT | {("www.example.org", "CAA"): ['0 issue "ca1.example.net"']},
        "CAA records of www.example.org let only ca1.example.net issue certificates for www.example.org, not "
        'letsencrypt.org. Fix: add the record `www.example.org. CAA 0 issue "letsencrypt.org"`.',
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_each_failure_has_the_sentence_that_fixes_it(case: str) -> None:
    zone, why = WRONG[case]
    assert (await checked(zone)).why == why


async def test_an_address_before_the_host_is_right_where_the_proxy_answers_there() -> None:
    behind_a_router = replace(HERE, addresses=("10.0.0.7",))
    assert (await checked(RIGHT, behind_a_router)).is_passed
    found = await checked(RIGHT, behind_a_router, lambda *_: http("200 OK", "a router's own page"))
    assert found.why.startswith("www.example.org resolves to 127.0.0.1, not to 10.0.0.7 of pve1. Fix: ")


async def test_ipv6_is_right_where_it_is_published() -> None:
    site = replace(HERE, addresses=(LOOPBACK, "2001:db8::11"))
    right = RIGHT | {("www.example.org", "AAAA"): ["2001:db8::11"]}
    assert (await checked(right, site)).is_passed
    other = RIGHT | {("www.example.org", "AAAA"): ["2001:db8::9"]}
    assert (await checked(other, site)).why.endswith("Fix: set its AAAA record to 2001:db8::11.")


async def test_servfail_for_caa_forbids() -> None:
    found = await checked(RIGHT | {("www.example.org", "CAA"): "SERVFAIL"})
    assert found.why.endswith(
        "for www.example.org (CAA): SERVFAIL. A CA issues nothing while CAA cannot be looked up. "
        "Fix: check the zone, its DNSSEC above all."
    )


async def test_port_80_is_closed() -> None:
    async with http_server(proxy) as port:
        pass
    async with name_server(RIGHT) as (server, _):
        found = await Checks(Resolver([server]), http_port=port).run(replace(HERE, names=("www.example.org",)), NOW)
    assert found.why == (
        "port 80 of 127.0.0.1 cannot be reached from outside: the connection was refused. "
        "Fix: allow TCP port 80 to 127.0.0.1 in every firewall between the internet and pve1."
    )


@pytest.mark.parametrize("said", [http("200 OK", "welcome"), http("404 Not Found", SITE.identity), http("301 Moved")])
async def test_another_server_has_port_80(said: bytes) -> None:
    found = await checked(RIGHT, replace(HERE, names=("www.example.org",)), lambda _host, _path: said)
    status = said.split()[1].decode()
    assert found.why == (
        f"another server than proxy answers on port 80 of 127.0.0.1 for www.example.org (HTTP {status}). "
        "Fix: find out what else holds port 80 of 127.0.0.1."
    )


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40_000])
async def test_what_is_not_http_is_no_way_in(said: bytes) -> None:
    found = await checked(RIGHT, replace(HERE, names=("www.example.org",)), lambda _host, _path: said)
    assert "it accepts connections, but its answer is not HTTP" in found.why


async def test_an_answer_without_end_is_cut() -> None:
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"z" * 300_000
    found = await checked(RIGHT, replace(HERE, names=("www.example.org",)), lambda _host, _path: endless)
    assert "another server" in found.why


async def test_no_name_server_answers() -> None:
    async with name_server(RIGHT) as (server, _):
        pass
    found = await Checks(Resolver([server])).run(replace(HERE, names=("www.example.org",)), NOW)
    assert {(check.name, check.is_known) for check in found.checks} == {
        ("resolves", False), ("ipv6", False), ("caa", False),
    }  # fmt: skip
    assert found.why.endswith("The check is repeated.")


async def test_over_dns_only_caa_counts() -> None:
    site = replace(HERE, authority=replace(HERE.authority, challenge="dns-01"))
    zone = {key: rows for key, rows in RIGHT.items() if key[1] == "CAA"}
    found = await checked(zone, site)
    assert ([check.name for check in found.checks], found.is_passed) == (["caa", "caa"], True)


async def test_the_names_of_a_ca_of_ones_own_are_in_its_directory(tmp_path: Path) -> None:
    meta = json.dumps({"newOrder": "https://x", "meta": {"caaIdentities": ["CA.Example.net", 7]}})
    tls = certificate(tmp_path, "localhost")
    async with http_server(lambda _host, path: http("200 OK", meta if path == "/dir" else "{}"), tls=tls) as port:
        own = Authority(f"https://localhost:{port}/dir", ca_pem=(tmp_path / "certificate.pem").read_text())
        assert await caa_identities(own) == ("ca.example.net",)
        assert await caa_identities(replace(own, directory=f"https://localhost:{port}/other")) == ()
        assert await caa_identities(replace(own, ca_pem="")) == ()
        found = await checked(RIGHT, replace(HERE, authority=own))
    assert "let only letsencrypt.org issue certificates for www.example.org, not ca.example.net" in found.why


async def test_a_ca_of_ones_own_is_found_by_the_public_name_servers_too(tmp_path: Path) -> None:
    meta = json.dumps({"meta": {"caaIdentities": ["ca.example.net"]}})
    tls = certificate(tmp_path, "acme.nowhere.test")
    async with http_server(lambda _host, _path: http("200 OK", meta), tls=tls) as port:
        ca_pem = (tmp_path / "certificate.pem").read_text()
        own = Authority(f"https://acme.nowhere.test:{port}/dir", ca_pem=ca_pem)
        found = await checked(RIGHT | {("acme.nowhere.test", "A"): [LOOPBACK]}, replace(HERE, authority=own))
    assert "let only letsencrypt.org issue certificates for www.example.org, not ca.example.net" in found.why
