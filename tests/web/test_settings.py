"""The page of settings, and how a token is ended."""

from tests.api.world import NOW, World
from tests.web.visitor import Visitor


async def test_what_is_set_up_is_shown(visitor: Visitor, world: World) -> None:
    world.history.store.record_delivery("forge", "d1", outcome="refused", at=NOW, message="<b>no</b> key")
    page = await visitor.look("/settings")
    assert page.faults == []
    assert [text for level, text in page.headings if level == 2] == [
        "Git", "Receivers of webhooks", "Tokens", "Sessions on these pages", "Notices", "Windows",
        "Version and licences",
    ]  # fmt: skip
    (row,) = page.table("The last deliveries: 1").rows
    assert (row["Outcome"], row["Message"]) == ("refused", "<b>no</b> key")
    licences = {row["Package"]: row["Licence"] for row in page.table("Packages of Python").rows}
    assert licences["starlette"].startswith("BSD")
    assert "psr_" not in visitor.answer.text


async def test_a_token_is_ended_after_a_question(visitor: Visitor, world: World) -> None:
    token = world.history.store.create_token("ci", scopes=("plan",), by="local", at=NOW)[4:16]
    at = f"/tokens/{token}/revoke"
    assert at in [link.href for link in (await visitor.look("/settings")).all_links]
    assert "the token ci" in (await visitor.look(at)).text
    assert await visitor.press(at, on=at) == "/settings"
    assert "ended" in (await visitor.look("/settings")).table("").row(Name="ci")["Action"]
    assert (await visitor.look("/tokens/000000000000/revoke", status=404)).faults == []


async def test_who_lacks_the_scope_sees_no_token_and_ends_none(world: World) -> None:
    token = world.history.store.create_token("ci", scopes=("plan",), by="local", at=NOW)[4:16]
    reader = Visitor(world, ("read",))
    page = await reader.look("/settings")
    assert page.faults == []
    assert "this needs the scope tokens" in page.text
    assert token not in page.text
    assert (await reader.look(f"/tokens/{token}/revoke", status=403)).faults == []


async def test_a_session_for_some_hosts_sees_the_page(world: World) -> None:
    page = await Visitor(world, ("read",), ("pve2",)).look("/settings")
    assert page.faults == []
    assert "pve1" not in page.text


async def test_somebody_else_is_signed_out_after_a_question(visitor: Visitor, world: World) -> None:
    other = Visitor(world, ("read",))
    await other.look("/")
    page = await visitor.look("/settings")
    rows = page.table("Sessions: 2").rows
    assert sum(row["Action"] == "this session" for row in rows) == 1
    (at,) = [link.href for link in page.all_links if link.href.startswith("/sessions/")]
    assert "The token stays valid" in (await visitor.look(at)).text
    assert await visitor.press(at, on=at) == "/settings"
    assert (await other.send("GET", "/")).headers["location"].startswith("/sign-in")
    assert (await visitor.look(at, status=404)).faults == []


async def test_a_session_shows_those_of_its_token(visitor: Visitor) -> None:
    assert [row["Where"] for row in (await visitor.look("/session")).table("Sessions: 1").rows] == ["this browser"]
