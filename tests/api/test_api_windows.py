"""/windows: what Git says, and what follows from it for a host."""

from dataclasses import replace

import pytest

from service.model.windows import Window
from tests.api.shared_routes import app_of
from tests.api.world import World

NIGHTS = Window("nights", "allow", "Europe/Paris", begins=22 * 60, ends=5 * 60, labels={"site": "paris"})
OTHERS = Window("others", "deny", "UTC", hosts=("gate*",))
URL = "/api/v1/windows"


@pytest.fixture
def windowed(world: World) -> World:
    """At noon in UTC on 2026-03-01."""
    parts = replace(world.parts, windows=lambda: (NIGHTS, OTHERS), labels=lambda _: {"site": "paris"})
    world.app = app_of(parts)
    return world


async def test_all_windows_are_listed(windowed: World) -> None:
    found = (await windowed.ask("GET", URL)).json()
    assert [(one["name"], one["begins"], one["ends"], one["is_open"]) for one in found["items"]] == [
        ("nights", "22:00", "05:00", False), ("others", "00:00", "24:00", True),
    ]  # fmt: skip
    assert (found["may_begin"], found["opens_at"]) == (None, None)


async def test_of_a_host_it_is_said_when_it_opens(windowed: World) -> None:
    found = (await windowed.ask("GET", f"{URL}?host=pve1")).json()
    assert [one["name"] for one in found["items"]] == ["nights"]
    assert (found["may_begin"], found["opens_at"]) == (False, "2026-03-01T21:00:00Z")
    assert "outside of the windows nights" in found["why"]
    windowed.clock.pass_time(9 * 3600)
    assert (await windowed.ask("GET", f"{URL}?host=pve1")).json()["may_begin"]
    assert (await windowed.ask("GET", f"{URL}?host=nobody")).status_code == 404


async def test_without_windows_it_may_always_begin(world: World) -> None:
    found = (await world.ask("GET", f"{URL}?host=pve1")).json()
    assert (found["items"], found["may_begin"]) == ([], True)


async def test_a_token_for_some_hosts_sees_no_names_of_others(windowed: World) -> None:
    named = Window("named", "deny", "UTC", hosts=("secret-gate", "pve?", "pve1"))
    windowed.app = app_of(replace(windowed.parts, windows=lambda: (NIGHTS, OTHERS, named), labels=lambda _: {}))
    some = windowed.token("read", hosts=("pve1",))
    for url in (URL, f"{URL}?host=pve1"):
        items = (await windowed.ask("GET", url, token=some)).json()["items"]
        assert [one["hosts"] for one in items if one["hosts"]] == [["pve?", "pve1"]]
        assert "others" not in {one["name"] for one in items}
    assert len((await windowed.ask("GET", URL)).json()["items"]) == 3
