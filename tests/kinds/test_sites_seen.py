"""The sites of a host as Git wants them, and all that is known of each."""

import json
from dataclasses import replace

from service.kinds import KINDS
from service.kinds.sites_seen import looks_at, sites_of, told_by
from service.model.observed import HostObserved, Watch
from service.model.sites.seen import Check, Preflight
from service.model.sites.wanted import Authority, SiteWanted, identity_of
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.spec.models import claims_of
from tests.laws.host import bare_host
from tests.laws.specs import FOLDER, head, spec_of

WEB = (FOLDER / "web.yaml").read_text()
GUEST = ("proxy", "bc:24:11:00:00:02", 0)
HOST = bare_host(Watch(guests=frozenset({GUEST})))


def sites(text: str) -> tuple[SiteWanted, ...]:
    spec = spec_of(head() + text)
    return sites_of(spec, claims_of(spec, KINDS))


def test_a_site_is_wanted_with_all_that_a_check_needs() -> None:
    wiki, www = sites(WEB)
    assert www == SiteWanted(
        host="pve1", name="www.example.org", names=("www.example.org", "example.org"), proxy="proxy",
        mac="bc:24:11:00:00:02", proxy_address="10.10.10.20", upstream="http://dev:8080",
        addresses=("198.51.100.11",), identity=identity_of("pve1", "proxy", "bc:24:11:00:00:02"),
        authority=Authority("https://acme-v02.api.letsencrypt.org/directory", ("letsencrypt.org",)),
    )  # fmt: skip
    assert (wiki.name, wiki.upstream, wiki.port, wiki.guest_key) == (
        "wiki.example.org", "http://db:8090", 443, "proxy@bc:24:11:00:00:02",
    )  # fmt: skip


def test_a_site_is_published_in_ipv6_where_its_proxy_has_an_address_of_it() -> None:
    text = WEB.replace("[198.51.100.11/24]", '[198.51.100.11/24, "2001:db8:51::11/64"]')
    text = text.replace("[10.10.10.1/24]", '[10.10.10.1/24, "fd00:10::1/64"]')
    assert {site.addresses for site in sites(text)} == {("198.51.100.11",)}
    both = sites(text.replace("address: 10.10.10.20\n", 'address: 10.10.10.20\n    address6: "fd00:10::20"\n'))
    assert {site.addresses for site in both} == {("198.51.100.11", "2001:db8:51::11")}


def test_another_ca_says_its_name_itself_and_staging_is_known() -> None:
    own = sites(WEB.replace("directory: letsencrypt,", "directory: https://ca.example.net/dir,"))[0].authority
    assert own == Authority("https://ca.example.net/dir")
    staging = sites(WEB.replace("directory: letsencrypt,", "directory: letsencrypt-staging,"))[0].authority
    assert (staging.is_staging, staging.names) == (True, ("letsencrypt.org",))
    hook = sites(WEB.replace("terms_agreed: true}", "terms_agreed: true, dns_hook: /opt/hook}"))[0].authority
    assert hook.challenge == "dns-01"


def test_plain_http_has_no_certificate_and_another_port() -> None:
    www = sites(WEB.replace("{to: dev, port: 8080,", "{to: dev, port: 8080, https: false,"))[1]
    assert (www.is_https, www.port) == (False, 80)


def test_a_host_without_the_section_has_none() -> None:
    assert sites((FOLDER / "seed.yaml").read_text()) == ()


def seen(status: Observed[bytes], guest: Observed[Json] = Absent()) -> HostObserved:  # noqa: B008 (frozen)
    return replace(HOST, guest_status={"proxy": status}, facts={**HOST.facts, "guest:proxy": guest})


def test_each_site_is_known_by_its_own_row_and_by_the_guest() -> None:
    row = {"names": ["www.example.org"], "waits_for": "permit"}
    status = {"version": 1, "written_at": 1, "trouble": "no room", "certificates": {"www.example.org": row}}
    observed = seen(Seen(json.dumps(status).encode()), Seen({"running": True}))
    checked = {"www.example.org": Preflight(1, (Check("caa"),))}
    wiki, www = looks_at(sites(WEB), observed, told_by(observed, "proxy"), checked, {})
    assert wiki.guest == Absent()
    assert isinstance(www.guest, Seen)
    assert (www.guest.value.waits_for, www.program_trouble, www.is_guest_down) == ("permit", "no room", False)
    assert (www.preflight, wiki.preflight) == (checked["www.example.org"], None)


def test_a_guest_that_is_down_is_no_guest_that_says_nothing() -> None:
    down = seen(Unknown("guest proxy is not running"), Seen({"running": False}))
    silent = seen(Absent(), Seen({"running": True}))
    garbled = seen(Seen(b"{"), Seen({"running": True}))
    for observed, is_down, guest in (
        (down, True, Unknown("guest proxy is not running")),
        (silent, False, Absent()),
        (garbled, False, Unknown("its status is not JSON")),
    ):
        look = looks_at(sites(WEB), observed, told_by(observed, "proxy"), {}, {})[0]
        assert (look.is_guest_down, look.guest) == (is_down, guest)
