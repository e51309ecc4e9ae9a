"""Who is signed in on the pages: what a token sees of it, and whom it may sign out."""

from service.model.web_sessions import SessionLimits, Visit
from tests.api.world import NOW, World, get


def signed_in(world: World, *scopes: str, hosts: tuple[str, ...] = ("*",)) -> tuple[str, str, bytes]:
    """A new token, the id of a session that began with it, and what its cookie holds."""
    token = world.token(*scopes, hosts=hosts)
    begun = world.history.store.begin_session(token.encode(), limits=SessionLimits(), visit=Visit(), at=NOW)
    assert begun is not None
    return token, begun[1].id, begun[0].encode()


async def seen(world: World, token: str, query: str = "") -> set[str]:
    answer = await world.ask("GET", f"/api/v1/sessions{query}", token=token)
    assert answer.status_code == 200, answer.text
    return {one["id"] for one in answer.json()["items"]}


async def test_a_token_sees_its_own_and_who_sees_tokens_sees_theirs(world: World) -> None:
    ann, of_ann, cookie = signed_in(world, "read")
    bob, of_bob, _ = signed_in(world, "read", hosts=("lab-*",))
    assert (await seen(world, ann), await seen(world, bob)) == ({of_ann}, {of_bob})
    assert await seen(world, world.token("read", "tokens")) == {of_ann, of_bob}
    assert await seen(world, world.token("read", "tokens", hosts=("lab-*",))) == {of_bob}
    assert await seen(world, world.token("admin"), f"?token_id={bob[4:16]}") == {of_bob}
    text = (await world.ask("GET", "/api/v1/sessions")).text
    assert cookie.decode() not in text
    assert cookie.decode().partition(".")[2] not in text


async def test_a_session_that_is_over_is_not_listed(world: World) -> None:
    token, _, _ = signed_in(world, "read")
    (one,) = (await get(world, f"sessions?token_id={token[4:16]}"))["items"]
    assert one["until"] < one["ends_at"]
    world.clock.pass_time(SessionLimits().idle.total_seconds())
    assert (await get(world, f"sessions?token_id={token[4:16]}"))["items"] == []
    ended, _, _ = signed_in(world, "read")
    world.history.store.revoke_token(ended[4:16], by="bob", at=world.clock.now())
    assert (await get(world, f"sessions?token_id={ended[4:16]}"))["items"] == []


async def test_who_may_end_tokens_ends_a_session_and_that_is_recorded(world: World) -> None:
    _, of_ann, cookie = signed_in(world, "read")
    path = f"/api/v1/sessions/{of_ann}"
    assert (await world.ask("DELETE", path, token=world.token("read", "apply"))).status_code == 403
    elsewhere = world.token("tokens", hosts=("lab-*",))
    assert (await world.ask("DELETE", path, token=elsewhere)).status_code == 404
    assert (await world.ask("DELETE", path)).status_code == 204
    assert world.history.store.session_of(cookie, limits=SessionLimits(), at=NOW) is None
    assert (await world.ask("DELETE", path)).status_code == 404
    acts = (await get(world, "audit?action=end_session"))["items"]
    assert {"session_id": of_ann} in [act["detail"] for act in acts]
    assert "session.ended" in {one["type"] for one in (await get(world, "events?type=session.ended"))["items"]}
