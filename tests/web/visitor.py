"""Somebody who looks at pages without a browser: one session, pages as `reader.py` reads them."""

from dataclasses import dataclass, field

import httpx2

from service.model.access import Scope
from service.model.web_sessions import Visit
from service.web.session import COOKIE
from service.web.site import create_site
from tests.api.world import World
from tests.web.reader import Page, read

ORIGIN = "http://passerelle.test"


def signed_in(world: World, *scopes: Scope, hosts: tuple[str, ...] = ("*",)) -> str:
    """What the cookie of a new session holds, of a token with these scopes."""
    token = world.token(*scopes, hosts=hosts).encode()
    begun = world.history.store.begin_session(token, limits=world.parts.sessions, visit=Visit(), at=world.clock.now())
    assert begun is not None
    return begun[0]


@dataclass
class Visitor:
    """A session with these scopes, for these hosts."""

    world: World
    scopes: tuple[Scope, ...] = ("admin",)
    hosts: tuple[str, ...] = ("*",)
    answer: httpx2.Response = field(init=False)

    def __post_init__(self) -> None:
        self._site = create_site(self.world.parts, self.world.app)
        self.cookies = {COOKIE: signed_in(self.world, *self.scopes, hosts=self.hosts)}

    async def send(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx2.Response:
        """One request, no redirect followed."""
        transport = httpx2.ASGITransport(app=self._site, client=("192.0.2.1", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, cookies=self.cookies) as http:
            self.answer = await http.request(method, path, data=form)
        return self.answer

    async def look(self, path: str, *, status: int = 200) -> Page:
        """A page, read."""
        answer = await self.send("GET", path)
        assert answer.status_code == status, answer.text
        return read(answer.text)

    async def press(self, path: str, *, on: str, **given: str) -> str:
        """Send the form to `path` that the page `on` has, with these values, and say where that leads."""
        form = (await self.look(on)).form(path)
        answer = await self.send("POST", path, form.filled(**given))
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])
