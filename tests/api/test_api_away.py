from tests.api.world import World
from tests.state_folders import Patterns


async def test_a_database_that_is_away_is_503_and_the_process_lives(
    world: World, database: str, patterns: Patterns
) -> None:
    world.history._database.close()
    path = world.history.path
    if database == "sqlite":
        path.rename(path.with_name("gone"))
        path.mkdir()
    else:
        patterns.drop(path.parent)
    for method, address in (("GET", "/api/v1/hosts"), ("GET", "/metrics"), ("GET", "/readyz")):
        assert (await world.ask(method, address, token="psr_x")).status_code == 503, address
    assert (await world.ask("GET", "/livez", token="")).status_code == 200
