"""/tokens: scopes, hosts, end and last use of each token are listed, and each of them counts."""

from datetime import timedelta

from tests.api.world import NOW, World, get


async def test_scopes_hosts_end_and_last_use_are_listed_and_count(world: World) -> None:
    token = world.history.store.create_token(
        "ci", scopes=["read", "plan"], hosts=["pve1"], lifetime=timedelta(hours=2), by="ann", at=NOW
    )

    async def listed() -> dict[str, object]:
        (one,) = [one for one in (await get(world, "tokens"))["items"] if one["name"] == "ci"]
        return dict(one)

    before = await listed()
    assert (before["scopes"], before["hosts"], before["last_used_at"]) == (["plan", "read"], ["pve1"], None)
    assert str(before["expires_at"]).startswith((NOW + timedelta(hours=2)).isoformat()[:19])
    assert (await world.ask("GET", "/api/v1/hosts/pve1", token=token)).status_code == 200
    assert str((await listed())["last_used_at"]).startswith(NOW.isoformat()[:19])
    assert (await world.ask("GET", "/api/v1/hosts/pve2", token=token)).status_code == 404
    assert (await world.ask("POST", "/api/v1/hosts/pve1/forget", token=token, json={})).status_code == 403
    world.clock.pass_time(2 * 3600)
    assert (await world.ask("GET", "/api/v1/hosts/pve1", token=token)).status_code == 401
