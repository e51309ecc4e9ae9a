"""Requests that no link of ours makes, and links that every page has: each gets an answer that people can read."""

import pytest

from service.web.pages import fleet
from service.web.session import COOKIE
from service.web.site import FIELDS
from tests.web.reader import read
from tests.web.visitor import ORIGIN, Visitor


async def test_each_link_of_the_frame_leads_somewhere(visitor: Visitor) -> None:
    page = await visitor.look("/")
    found = [link["href"] for part in page.root.all("header", "footer") for link in part.all("a")]
    assert "/docs" in found
    for address in found:
        assert (await visitor.send("GET", address)).status_code == 200, address


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_the_description_is_for_who_is_signed_in(visitor: Visitor, path: str) -> None:
    said = (await visitor.send("GET", path)).text
    assert said == (await visitor.world.ask("GET", path)).text
    assert (await visitor.send("POST", path)).status_code == 405
    visitor.cookies = {COOKIE: "0" * 60}
    assert (await visitor.send("GET", path)).headers["location"] == f"/sign-in?to=%2F{path[1:]}"
    visitor.cookies = {}
    assert (await visitor.send("GET", path)).status_code == 401, "who has no cookie is no browser of ours"


async def test_an_address_with_too_many_fields_is_refused_in_words(visitor: Visitor) -> None:
    page = await visitor.look("/?" + "&".join(f"a{number}=1" for number in range(FIELDS + 1)), status=400)
    assert f"at most {FIELDS} fields" in page.text
    await visitor.look("/?" + "&".join(f"a{number}=1" for number in range(FIELDS)))


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00%2B14:00"])
async def test_a_time_that_utc_does_not_have_is_refused_in_words(visitor: Visitor, at: str) -> None:
    page = await visitor.look(f"/leases?at={at}", status=422)
    assert "write it as in" in page.text


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/leases", "GET, HEAD"),
        ("GET", "/hosts/pve1/look", "POST"),
        ("PUT", "/hosts/pve1/suspend", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_is_answered_with_those_there_are(
    visitor: Visitor, method: str, path: str, allow: str
) -> None:
    answer = await visitor.send(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


async def test_no_address_makes_the_page_lead_to_another_site(visitor: Visitor) -> None:
    answer = await visitor.send("GET", f"{ORIGIN}//evil.example/hosts?a=b")
    assert answer.status_code == 404
    assert read(answer.text).links["Look again"] == "/evil.example/hosts?a=b"


async def test_a_fault_of_a_page_is_a_page(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "MOST", None)
    page = await visitor.look("/", status=500)
    assert "has a fault here" in page.text
    assert visitor.answer.headers["x-request-id"] in page.text
