"""/about: the version, and what it is made of."""

from importlib.metadata import version

from service import __version__
from service.api.about import packages
from tests.api.world import World, get


async def test_the_version_and_each_package_with_its_licence(world: World) -> None:
    found = await get(world, "about")
    assert (found["version"], found["licence"]) == (__version__, "Apache-2.0")
    named = {one["name"]: one for one in found["packages"]}
    assert {"fastapi", "starlette", "sqlalchemy", "asyncssh", "jinja2", "markupsafe"} <= named.keys()
    assert named["fastapi"]["version"] == version("fastapi")
    assert "MIT" in named["fastapi"]["licence"]
    assert {name for name, one in named.items() if not one["licence"]} == set()
    assert list(named) == sorted(named)


def test_what_only_tests_need_is_not_shipped() -> None:
    assert {"pytest", "hypothesis", "mypy", "ruff", "passerelle"} & {one.name for one in packages()} == set()
