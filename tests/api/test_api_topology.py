"""The topology of a host: data, words and a picture, with a policy for the picture alone."""

from xml.etree import ElementTree as ET

from service.errors import LeftGit, NeverSeen, NotKnown
from service.pictures.svg import POLICY
from tests.api.world import World, get, problem_of

AT = "hosts/pve1/topology"


async def test_the_data_and_the_words(world: World) -> None:
    found = await get(world, AT)
    assert [one["name"] for one in found["guests"]] == ["web"]
    assert found["forwards"][0] | {"to": "web", "ports": "443"} == found["forwards"][0]
    assert found["bridges"][0]["pools"][0] | {"leased": 2, "reserved": 1} == found["bridges"][0]["pools"][0]
    assert [one["text"] for one in found["outline"]["items"]] == ["Uplinks", "Bridges", "Drifted elsewhere"]


async def test_the_picture_has_its_own_policy_and_the_width_that_is_asked(world: World) -> None:
    answer = await world.ask("GET", f"/api/v1/{AT}.svg?width=340")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ET.fromstring(answer.text).attrib["width"] == "340"
    again = await world.ask("GET", f"/api/v1/{AT}.svg?width=340", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for width in ("319", "2401", "wide"):
        assert (await world.ask("GET", f"/api/v1/{AT}.svg?width={width}")).status_code == 422


async def test_a_host_that_was_never_seen_is_drawn_and_one_that_left_git_is_not(world: World) -> None:
    world.desk.unknown["pve1"] = NeverSeen("pve1 was never seen: it is unreachable")
    assert (await get(world, AT))["unknown"] == "pve1 was never seen: it is unreachable"
    assert "Not known: pve1 was never seen" in (await world.ask("GET", f"/api/v1/{AT}.svg")).text
    world.desk.unknown["pve1"] = LeftGit("pve1 is no longer in Git")
    for path in (AT, f"{AT}.svg"):
        assert (await world.ask("GET", f"/api/v1/{path}")).status_code in (404, 409)
    world.desk.unknown.clear()
    world.desk.unread_why = NotKnown("the repository was not read yet")
    for path in (AT, f"{AT}.svg"):
        assert "the repository was not read yet" in str(problem_of(await world.ask("GET", f"/api/v1/{path}"))["detail"])


async def test_the_fleet_as_data_and_as_a_picture(world: World) -> None:
    found = await get(world, "topology")
    assert [(one["host"], one["through"]) for one in found["hosts"]] == [("pve1", ""), ("pve2", "pve1")]
    assert "pve2, 198.51.100.12, through pve1, not compared" in [one["text"] for one in found["outline"]["items"]]
    answer = await world.ask("GET", "/api/v1/topology.svg?width=340")
    assert answer.headers["content-security-policy"] == POLICY
    assert ET.fromstring(answer.text).attrib["width"] == "340"


async def test_who_sees_one_host_gets_no_name_of_another(world: World) -> None:
    token = world.token("read", hosts=("pve2",))
    for path in ("topology", "topology.svg"):
        assert "pve1" not in (await world.ask("GET", f"/api/v1/{path}", token=token)).text
