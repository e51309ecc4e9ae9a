"""`passerelle whoami`, with a token of the service and with one of a person."""

from pathlib import Path

import pytest

from service.cli import run
from service.history import open_history
from tests.api.world import World
from tests.cli.reached import reached
from tests.people.issuer import issuing
from tests.people.test_people_tokens import NOW_S, signing_in
from tests.state_folders import made


def test_a_token_and_a_person_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history, issuing() as issuer:
        world = signing_in(World(history).fill(), issuer.url)
        with reached(world.app, world.token("read", "apply", hosts=("pve1",))):
            assert run(["whoami"]) == 0
        told = capsys.readouterr()
        assert "tester: a token" in told.err
        assert "apply, read" in told.out
        assert "pve1" in told.out
        with reached(world.app, issuer.token(NOW_S)):
            assert run(["whoami"]) == 0
        told = capsys.readouterr()
        assert "ann (248289761001 of 127.0.0.1" in told.err
        assert "a person who signed in, oidc-" in told.err
        with reached(world.app, issuer.token(NOW_S, exp=NOW_S - 60)):
            assert run(["whoami"]) == 1
        assert "it has expired" in capsys.readouterr().err
