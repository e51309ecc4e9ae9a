"""Names and CAA records from servers that are set, over real packets on loopback."""

import pytest

from service.internet.resolver import Found, NameServer, Resolver, parse_servers
from service.model.sites.caa import CaaRecord
from tests.internet.servers import LOOPBACK, Zone, name_server

ZONE: Zone = {
    ("www.example.org", "A"): ["198.51.100.11"],
    ("www.example.org", "AAAA"): ["2001:db8::11"],
    ("old.example.org", "CNAME"): ["www.example.org."],
    ("mail.example.org", "TXT"): ['"only this"'],
    ("broken.example.net", "A"): "SERVFAIL",
    ("broken.example.net", "CAA"): "SERVFAIL",
    ("example.org", "CAA"): ['0 issue "letsencrypt.org"', '0 iodef "mailto:admin@example.org"'],
}


async def test_addresses_and_those_of_an_alias() -> None:
    async with name_server(ZONE) as (server, _):
        resolver = Resolver([server])
        assert await resolver.addresses("www.example.org", 4) == Found(("198.51.100.11",))
        assert await resolver.addresses("www.example.org", 6) == Found(("2001:db8::11",))
        assert await resolver.addresses("old.example.org", 4) == Found(("198.51.100.11",))
        assert await resolver.addresses("mail.example.org", 4) == Found()


async def test_a_name_that_is_not_there_is_known() -> None:
    async with name_server(ZONE) as (server, _):
        found = await Resolver([server]).addresses("nope.example.org", 4)
    assert found == Found(why="nope.example.org does not exist in the DNS", exists=False)


async def test_a_truncated_answer_comes_again_over_tcp() -> None:
    async with name_server(ZONE, truncates=True) as (server, _):
        assert (await Resolver([server]).addresses("www.example.org", 4)).records == ("198.51.100.11",)


async def test_what_one_server_cannot_answer_the_next_one_may() -> None:
    async with name_server(ZONE) as (bad, _), name_server({("broken.example.net", "A"): ["192.0.2.7"]}) as (good, _):
        assert (await Resolver([bad, good]).addresses("broken.example.net", 4)).records == ("192.0.2.7",)


async def test_servfail_is_an_answer_and_silence_is_none() -> None:
    async with name_server(ZONE) as (server, _):
        said = await Resolver([server]).addresses("broken.example.net", 4)
    assert (said.is_known, said.why) == (
        True,
        f"the name servers {server} could not answer for broken.example.net (A): SERVFAIL",
    )
    silent = await Resolver([server]).addresses("www.example.org", 4)  # nobody listens there now
    assert not silent.is_known
    assert silent.why


async def test_caa_is_that_of_the_name_or_the_nearest_above() -> None:
    records = (CaaRecord(0, "iodef", "mailto:admin@example.org"), CaaRecord(0, "issue", "letsencrypt.org"))
    async with name_server(ZONE) as (server, names):
        resolver = Resolver([server])
        assert await resolver.caa("a.b.example.org") == ("example.org", Found(records))
        assert names.asked == [("a.b.example.org", "CAA"), ("b.example.org", "CAA"), ("example.org", "CAA")]
        assert await resolver.caa("*.example.org") == ("example.org", Found(records))
        assert await resolver.caa("www.example.com") == ("www.example.com", Found())


async def test_caa_that_cannot_be_looked_up_is_not_passed_over() -> None:
    async with name_server(ZONE) as (server, _):
        found_at, found = await Resolver([server]).caa("www.broken.example.net")
    assert found_at == "broken.example.net"
    assert found.why.endswith("(CAA): SERVFAIL")


def test_name_servers_are_read() -> None:
    assert parse_servers("1.1.1.1, [2620:fe::fe]:5353,127.0.0.1:53") == (
        NameServer("1.1.1.1"),
        NameServer("2620:fe::fe", 5353),
        NameServer(LOOPBACK),
    )
    assert [str(one) for one in parse_servers("1.1.1.1:5353,[2620:fe::fe]")] == ["1.1.1.1:5353", "[2620:fe::fe]"]


@pytest.mark.parametrize("text", ["", "one.one.one.one", "1.1.1.1:0", "1.1.1.1:70000", "2620:fe::fe", "1.1.1.1,,"])
def test_what_is_no_name_server_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not the address of a name server|ports are"):
        parse_servers(text)
