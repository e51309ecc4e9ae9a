"""Signing in and out, and what a form has to be: each rule is broken on its own."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from service.api.parts import RequestLimits
from service.errors import StoreError
from service.model.listings import AuditListing
from service.model.web_sessions import SessionLimits
from service.web.forms import BODY_BYTES
from service.web.pages.sign_in import own_path
from service.web.site import create_site
from tests.api.world import World
from tests.web.reader import read
from tests.web.visitor import ORIGIN

TLS = "https://passerelle.example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Browser:
    """Keeps the cookies that it gets, as a browser does, and sends what it is instructed to."""

    def __init__(self, world: World, *, origin: str = ORIGIN, client: str = "192.0.2.1") -> None:
        self._origin, self._client = origin, client
        self._site = create_site(world.parts, world.app)
        self.cookies: dict[str, str] = {}
        self.answer: httpx2.Response = httpx2.Response(0)

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = ({"Cookie": sent} if sent else {}) | options.pop("headers", {})
        transport = httpx2.ASGITransport(app=self._site, client=(self._client, 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=self._origin) as http:
            self.answer = await http.request(method, path, headers=headers, **options)
        for line in self.answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
            if not value.strip('"'):
                del self.cookies[name]
        return self.answer

    async def form(self, page: str, action: str, **written: str) -> dict[str, str]:
        """What the form to `action` on this page sends."""
        return read((await self.send("GET", page)).text).form(action).filled(**written)

    async def sign_in(self, token: str, *, to: str = "", **options: Any) -> httpx2.Response:
        page = f"/sign-in?to={to}" if to else "/sign-in"
        fields = await self.form(page, "/sign-in", token=token)
        return await self.send("POST", page, data=fields, **options)

    async def is_in(self, path: str = "/session", **options: Any) -> bool:
        return (await self.send("GET", path, **options)).status_code == 200


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)


def with_parts(world: World, **given: Any) -> World:
    world.parts = replace(world.parts, **given)
    return world


async def test_a_token_signs_in_and_leads_to_where_somebody_was_going(world: World, browser: Browser) -> None:
    sent = await browser.send("GET", "/hosts/pve1?part=drift")
    assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?to=%2Fhosts%2Fpve1%3Fpart%3Ddrift")
    fields = await browser.form(sent.headers["location"], "/sign-in", token=world.token("read"))
    answer = await browser.send("POST", sent.headers["location"], data=fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/hosts/pve1?part=drift")
    assert await browser.is_in()


async def test_the_cookie_is_for_this_service_and_no_script(world: World, browser: Browser) -> None:
    answer = await browser.sign_in(world.token())
    session, nonce = sorted(answer.headers.get_list("set-cookie"), key=lambda line: "sign_in" in line)
    parts = {part.strip().lower() for part in session.split(";")[1:]}
    assert parts == {"httponly", "path=/", "samesite=lax"}
    assert nonce.startswith("passerelle_sign_in=")
    assert world.token() not in session


async def test_behind_tls_the_cookies_are_secure_and_of_this_name_alone(world: World) -> None:
    browser = Browser(with_parts(world, web_url=TLS), origin=TLS)
    answer = await browser.sign_in(world.token(), headers={"Origin": TLS})
    for line in answer.headers.get_list("set-cookie"):
        assert line.startswith("__Host-passerelle_")
        assert {"secure", "path=/", "httponly"} <= {part.strip().lower() for part in line.split(";")}
        assert "domain" not in line.lower()
    assert await browser.is_in()
    browser.cookies = {"passerelle_session": browser.cookies["__Host-passerelle_session"]}
    assert not await browser.is_in(), "a cookie without the prefix could be of another name of the domain"


async def test_forwarded_headers_of_anybody_change_nothing(world: World, browser: Browser) -> None:
    answer = await browser.sign_in(world.token(), headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "x"})
    assert "secure" not in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "psr_", "psr_000000000000." + "0" * 43, "x" * 300, "zwölf", "a b", "\x00"])
async def test_a_wrong_token_opens_nothing_and_is_not_sent_back(browser: Browser, token: str) -> None:
    answer = await browser.sign_in(token)
    assert answer.status_code == 401
    assert "This token is not valid" in answer.text
    assert not token.strip("\x00") or len(token) < 5 or token not in answer.text
    assert not await browser.is_in()


async def test_a_token_that_cannot_read_signs_nobody_in(world: World, browser: Browser) -> None:
    assert (await browser.sign_in(world.token("apply"))).status_code == 403
    assert not await browser.is_in()


async def test_who_guesses_is_slowed_down_as_at_the_api(world: World) -> None:
    world = World(world.history, limits=RequestLimits(failures_burst=3, failures_every_s=10))
    browser = Browser(world)
    codes = [(await browser.sign_in("psr_guess")).status_code for _ in range(4)]
    assert codes == [401, 401, 401, 429]
    assert (await world.ask("GET", "/metrics", token="psr_guess")).status_code == 429, "it is one bucket"
    assert (await Browser(world, client="192.0.2.9").sign_in("psr_guess")).status_code == 401
    assert (await browser.sign_in(world.token())).status_code == 303, "only those who fail are slowed down"


async def test_a_token_in_an_address_is_refused(world: World, browser: Browser) -> None:
    answer = await browser.send("GET", f"/sign-in?token={world.token()}")
    assert answer.status_code == 400
    assert world.token() not in answer.text


async def test_the_token_is_in_no_log_and_no_record(
    world: World, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    await browser.sign_in(world.token() + "0")
    await browser.sign_in(world.token())
    acts = world.history.queries.acts(AuditListing(limit=20)).items
    assert [(act.action, act.how, act.client) for act in acts if act.how == "web"] == [("sign_in", "web", "192.0.2.1")]
    written = caplog.text + str([record.__dict__ for record in caplog.records]) + str(acts)
    assert world.token()[17:] not in written
    assert browser.cookies["passerelle_session"][13:] not in written
    assert "nobody was signed in for 192.0.2.1" in caplog.text


@pytest.mark.parametrize(
    ("to", "leads"),
    [
        ("/hosts/pve1", "/hosts/pve1"), ("//evil.example", "/"), ("/\\evil.example", "/"), ("x:y", "/"),
        ("/\t/evil.example", "/"), ("/\n/evil.example", "/"), ("javascript:alert(1)", "/"), ("", "/"), ("hosts", "/"),
        ("/sign-out", "/"), ("/a b", "/"), ("/\u202e", "/"), ("/" + "a" * 3000, "/"), ("/?q=1#x", "/?q=1#x"),
        ("/%2F/evil.example", "/%2F/evil.example"),
    ],
)  # fmt: skip
def test_the_sign_in_leads_to_own_addresses_only(to: str, leads: str) -> None:
    assert own_path(to) == leads


async def test_signing_out_ends_this_session_in_the_store(world: World, browser: Browser) -> None:
    await browser.sign_in(world.token())
    kept = dict(browser.cookies)
    await browser.send("POST", "/sign-out", data=await browser.form("/session", "/sign-out"))
    assert browser.answer.headers["location"].startswith("/sign-in")
    assert browser.cookies.keys() & kept.keys() == set()
    browser.cookies = kept
    assert not await browser.is_in(), "the cookie that somebody copied is worth nothing"


async def test_signing_out_everywhere_ends_the_session_in_a_second_browser(world: World) -> None:
    first, second, other = Browser(world), Browser(world), Browser(world)
    for one, token in ((first, world.token()), (second, world.token()), (other, world.token("read"))):
        await one.sign_in(token)
    await first.send("POST", "/sign-out", data=await first.form("/session", "/sign-out"))
    assert [await one.is_in() for one in (first, second, other)] == [False, True, True]
    await second.send("POST", "/sign-out-everywhere", data=await second.form("/session", "/sign-out-everywhere"))
    assert [await one.is_in() for one in (first, second, other)] == [False, False, True]


async def test_a_second_sign_in_is_another_session_and_ends_the_first(world: World, browser: Browser) -> None:
    await browser.sign_in(world.token())
    first = dict(browser.cookies)
    page = Browser(world)
    fields = await page.form("/sign-in", "/sign-in", token=world.token("read"))
    browser.cookies |= page.cookies
    await browser.send("POST", "/sign-in", data=fields)
    assert browser.cookies["passerelle_session"] != first["passerelle_session"]
    assert await browser.is_in()
    browser.cookies = first
    assert not await browser.is_in()


async def test_a_session_ends_with_its_token(world: World, browser: Browser) -> None:
    await browser.sign_in(world.token("read"))
    assert await browser.is_in()
    world.history.store.revoke_token(world.token("read")[4:16], by="bob", at=world.clock.now())
    assert not await browser.is_in()


async def test_a_session_ends_when_nobody_clicks_and_after_its_life(world: World) -> None:
    limits = SessionLimits(idle=timedelta(hours=2), life=timedelta(hours=5))
    browser = Browser(with_parts(world, sessions=limits))
    await browser.sign_in(world.token())
    for _ in range(4):
        world.clock.pass_time(3600)
        assert await browser.is_in()
    world.clock.pass_time(3600)
    assert not await browser.is_in(), "its life is over"
    await browser.sign_in(world.token())
    by_itself = {"Passerelle-Live": "1"} | cookies(browser)
    world.clock.pass_time(3600)
    assert await browser.is_in(headers=by_itself)
    world.clock.pass_time(3600)
    assert not await browser.is_in(), "what a page does by itself is not a click"


async def test_two_cookies_of_the_name_are_none(world: World, browser: Browser) -> None:
    await browser.sign_in(world.token())
    cookie = f"passerelle_session={browser.cookies['passerelle_session']}"
    for sent in (f"{cookie}; {cookie}", f"passerelle_session=x; {cookie}", f"{cookie}; passerelle_session="):
        assert (await browser.send("GET", "/", headers={"Cookie": sent})).status_code == 303, sent
    assert (await browser.send("GET", "/", headers={"Cookie": f"a=b; {cookie}; c"})).status_code == 200


HOLD = "/hosts/pve1/suspend"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Origin": "https://evil.example"}, "This form came from https://evil.example"),
        ({"Origin": "null"}, "This form came from no known page"),
        ({"Origin": "http://passerelle.test.evil.example"}, "This form came from"),
        ({"Origin": "http://passerelle.test:8765"}, "This form came from"),
        ({"Origin": "https://passerelle.test"}, "PASSERELLE_WEB_URL"),
        ({"Sec-Fetch-Site": "cross-site"}, "A page of another site"),
        ({"Sec-Fetch-Site": "same-site"}, "A page of another site"),
        ({"Sec-Fetch-Site": "none"}, "A page of another site"),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, "This form came from"),
    ],
)
async def test_a_form_of_another_site_is_refused(
    world: World, browser: Browser, headers: dict[str, str], why: str
) -> None:
    await browser.sign_in(world.token())
    fields = await browser.form(HOLD, HOLD, reason="of another site")
    answer = await browser.send("POST", HOLD, data=fields, headers=headers | cookies(browser))
    assert (answer.status_code, why in read(answer.text).text) == (403, True), answer.text
    assert not world.history.queries.suspended(world.clock.now())
    sign_in = Browser(world)
    fields = await sign_in.form("/sign-in", "/sign-in", token=world.token())
    answer = await sign_in.send("POST", "/sign-in", data=fields, headers=headers | cookies(sign_in))
    assert (answer.status_code, why in answer.text) == (403, True)
    assert not await sign_in.is_in()


def cookies(browser: Browser) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}


async def test_a_form_of_ours_is_taken_with_and_without_the_browser_s_word(world: World, browser: Browser) -> None:
    await browser.sign_in(world.token())
    for headers in ({}, {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}):
        fields = await browser.form(HOLD, HOLD, reason="the switch is replaced")
        answer = await browser.send("POST", HOLD, data=fields, headers=headers | cookies(browser))
        assert answer.status_code == 303, answer.text
    (held,) = world.history.queries.suspended(world.clock.now())
    assert held.id == 2, "the second took the place of the first"


async def test_a_form_needs_the_token_of_its_own_session(world: World, browser: Browser) -> None:
    other = Browser(world)
    for one in (browser, other):
        await one.sign_in(world.token())
    mine = await browser.form(HOLD, HOLD, reason="the switch is replaced")
    of_other = (await other.form(HOLD, HOLD, reason="x"))["csrf"]
    assert of_other != mine["csrf"]
    for token in ("", of_other, mine["csrf"][:-1], "ä"):
        answer = await browser.send("POST", HOLD, data=mine | {"csrf": token})
        assert (answer.status_code, "not of a page of this session" in answer.text) == (403, True), token
    without = {name: value for name, value in mine.items() if name != "csrf"}
    for path in (HOLD, "/sign-out", "/sign-out-everywhere"):
        assert (await browser.send("POST", path, data=without)).status_code == 403
    assert await browser.is_in()
    assert not world.history.queries.suspended(world.clock.now())


async def test_the_form_of_the_sign_in_page_is_of_this_browser(world: World) -> None:
    """Else another site could sign somebody in as itself, and see what that person writes."""
    attacker, victim = Browser(world), Browser(world)
    fields = await attacker.form("/sign-in", "/sign-in", token=world.token("read"))
    assert (await victim.send("POST", "/sign-in", data=fields)).status_code == 403, "without a cookie of the page"
    await victim.send("GET", "/sign-in")
    assert (await victim.send("POST", "/sign-in", data=fields)).status_code == 403, "with a cookie of its own"
    assert not await victim.is_in()


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"reason":"x"}', 415),
        ("text/plain", b"reason=x", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("", b"reason=x", 415),
        (FORM["Content-Type"], b"a=" + b"x" * BODY_BYTES, 413),
        (FORM["Content-Type"], b"reason=x&reason=y", 400),
        (FORM["Content-Type"], b"reason=%ff%fe", 400),
        (FORM["Content-Type"], b"reason=\xc3\xa4", 400),
        (FORM["Content-Type"], b"&".join(b"f%d=1" % n for n in range(201)), 400),
        (FORM["Content-Type"], b"", 403),
    ],
)
async def test_only_forms_are_read_and_only_small_ones(
    world: World, browser: Browser, kind: str, body: bytes, status: int
) -> None:
    await browser.sign_in(world.token())
    headers = ({"Content-Type": kind} if kind else {}) | cookies(browser)
    answer = await browser.send("POST", HOLD, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert read(answer.text).faults == []
    assert not world.history.queries.suspended(world.clock.now())


async def test_pages_are_of_this_origin_alone(world: World, browser: Browser) -> None:
    for path in ("/sign-in", "/"):
        answer = await browser.send("GET", path)
        assert answer.headers["referrer-policy"] == "same-origin", "no-referrer would make browsers send Origin: null"
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
            "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        )
        assert answer.headers["cache-control"] == "no-store"
        if path == "/sign-in":
            await browser.sign_in(world.token())
    api = await browser.send("GET", "/api/v1/hosts")
    assert api.status_code == 401
    assert api.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors")


async def test_the_page_of_the_session_says_what_it_may_and_until_when(world: World, browser: Browser) -> None:
    await browser.sign_in(world.token("read", "plan", hosts=("pve*",)))
    page = read((await browser.send("GET", "/session")).text)
    assert page.h1 == "Session"
    assert page.table("What the token may").rows == [{"Scopes": "plan, read", "Hosts": "pve*"}]
    assert "2026-03-08 12:00:00 UTC" in page.text
    assert "2026-03-01 20:00:00 UTC" in page.text
    assert page.faults == []


async def test_where_the_database_is_away_nobody_is_signed_out(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await browser.sign_in(world.token())

    def away(*_: object, **_more: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(world.history.store, "session_of", away)
    monkeypatch.setattr(world.history.store, "recognise_session", lambda *_, **_more: None)
    assert (await browser.send("GET", "/")).status_code == 503
    monkeypatch.undo()
    assert await browser.is_in()
