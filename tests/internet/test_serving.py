"""A site as it answers over HTTPS, over real handshakes on loopback."""

from dataclasses import replace
from pathlib import Path

from service.internet.serving import answer_of, read_certificate
from service.internet.sight import Sight
from service.model.sites.seen import Answer, CertificateServed
from tests.internet.servers import LOOPBACK, Zone, certificate, http, http_server, name_server
from tests.model.sites.looks import SITE


async def test_an_answer_has_status_and_certificate(tmp_path: Path) -> None:
    tls = certificate(tmp_path, "www.example.org", "example.org", serial=0x00BEEF)
    async with http_server(lambda host, _path: http(f"502 for {host}"), tls=tls) as port:
        found = await answer_of(LOOPBACK, "www.example.org", port=port)
    assert (found.address, found.status, found.error) == (LOOPBACK, 502, "")
    assert found.certificate == CertificateServed(
        ("www.example.org", "example.org"), 4_920_825_600, "CN=www.example.org", "beef", is_self_signed=True
    )


async def test_nobody_answers(tmp_path: Path) -> None:
    async with http_server(lambda *_: b"", tls=certificate(tmp_path, "x")) as port:
        pass
    found = await answer_of(LOOPBACK, "www.example.org", port=port)
    assert (found.status, found.error, found.certificate) == (0, "the connection was refused", None)


async def test_a_server_without_tls() -> None:
    async with http_server(lambda *_: b"nothing of TLS") as port:
        found = await answer_of(LOOPBACK, "www.example.org", port=port)
    assert not found.is_reached
    assert found.error


async def test_a_handshake_without_an_answer_still_shows_the_certificate(tmp_path: Path) -> None:
    async with http_server(lambda *_: b"", tls=certificate(tmp_path, "www.example.org")) as port:
        found = await answer_of(LOOPBACK, "www.example.org", port=port)
    assert not found.is_reached
    assert found.certificate is not None


def test_what_is_no_certificate_is_none() -> None:
    assert read_certificate(b"\x30\x03nothing") is None


async def test_a_site_is_looked_at_through_each_address_of_its_name(tmp_path: Path) -> None:
    zone: Zone = {("www.example.org", "A"): [LOOPBACK, "127.0.0.2"], ("none.example.org", "TXT"): ['"x"']}
    tls = certificate(tmp_path, *SITE.names)
    async with name_server(zone) as (server, _), http_server(lambda *_: http("200 OK"), tls=tls) as port:
        sight = Sight([server], https_port=port)
        found = await sight.answers(SITE)
        nowhere = await sight.answers(replace(SITE, name="none.example.org"))
        gone = await sight.answers(replace(SITE, name="gone.example.net"))
    assert [(one.address, one.status, one.error) for one in found] == [
        (LOOPBACK, 200, ""),
        ("127.0.0.2", 0, "the connection was refused"),
    ]
    assert nowhere == (Answer("", error="none.example.org has no A record"),)
    assert gone == (Answer("", error="gone.example.net does not exist in the DNS"),)


async def test_while_no_name_server_answers_the_addresses_of_the_host_are_looked_at() -> None:
    async with name_server({}) as (server, _):
        pass
    async with http_server(lambda host, path: http("200 OK", host + path)) as port:
        plain = replace(SITE, addresses=(LOOPBACK,), is_https=False)
        assert await Sight([server], http_port=port).answers(plain) == (Answer(LOOPBACK, 200),)
