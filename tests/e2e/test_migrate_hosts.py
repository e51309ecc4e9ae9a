"""Two hosts: a published site goes from one to the other and back, while a visitor asks every 100 ms.

The command is killed on the way, and started again. In `tests/run --full` it is killed at every point, and from each
it continues or goes back.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.errors import LabError
from service.lab import Lab, enter
from service.lab.acme import Acme
from service.lab.field import Field
from tests.e2e import pair as parts
from tests.e2e.killed import Witness, lay_guest_gates, points
from tests.e2e.pair import SITE, Pair
from tests.safety.harness import commit

FULL = bool(os.environ.get("TESTS_FULL"))
pytestmark = [pytest.mark.lab(minutes=30 if FULL else 2), pytest.mark.timeout(3600 if FULL else 600)]

THERE, BACK = ("after give", "unpack"), ("between names",)
"""The points of a usual run: while Git, a host and a name server have the word."""
AFTER_GIVE = next(point for point in points() if point.name == "after give")


@pytest.fixture(scope="module")
def field(lab: Lab) -> Iterator[Field]:
    """A service that resolves public names as the lab's internet has them."""
    with Field.open(lab, poll_s="1", observe_s="5", resolvers=str(Acme.name_server)) as opened:
        yield opened


@pytest.fixture(scope="module")
def pair(lab: Lab, field: Field, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The giver with its guests and a published site; the taker bare."""
    made = parts.made(lab, field, tmp_path_factory.mktemp("migrate"))

    def there() -> bool:
        rows = field.items(f"sites?name={SITE}")
        return bool(rows) and any(row["state"] == "published" for row in rows)

    try:
        field.wait_for(there, f"{SITE} is published", timeout_s=300)
    except LabError as error:
        raise LabError(f"{error}\n{field.items('sites')}\n{made.acme.log()[-2000:]}") from None
    return made


@pytest.fixture(scope="module")
def witness(pair: Pair) -> Iterator[Witness]:
    """A visitor that comes by all the time, and what else is looked at."""
    seen = pair.room / "seen"
    visitor = [sys.executable, str(Path(__file__).with_name("visitor.py")), SITE, str(Acme.name_server)]
    visiting_there = enter.network(pair.field.lab.netns("ctl"), [*visitor, str(pair.room / "root.pem")])
    wrapped = ["setpriv", "--pdeathsig", "TERM", *visiting_there]  # it ends with this process, however that ends
    with seen.open("w") as out, subprocess.Popen(wrapped, stdout=out, env={"PATH": os.environ["PATH"]}) as visiting:
        try:
            yield Witness.begun(pair, seen)
        finally:
            visiting.terminate()


def tree(pair: Pair) -> str:
    return pair.field.git("rev-parse", "main^{tree}", at=pair.field.repository)


def until_it_serves(witness: Witness) -> None:
    """The taker has made its guests while nobody migrates; their owner starts what they serve."""
    witness.pair.start_those_that_stayed()
    witness.as_git_says()
    witness.pair.serve(witness.pair.taker)
    for host in (witness.pair.giver, witness.pair.taker):
        lay_guest_gates(host)


def told(witness: Witness, what: str, began_s: float) -> None:
    """The line for tests/safety/RESULTS.md: `-rP` shows it."""
    row = {"harness": f"migrate, {what}", **witness.told()}
    print(json.dumps(row | {"commit": commit(), "seconds": round(time.monotonic() - began_s)}))


def there_until_it_serves(witness: Witness) -> None:
    """The first part of the way there."""
    witness.kills_at(AFTER_GIVE)
    until_it_serves(witness)


def test_a_site_moves_to_another_host_and_back_without_a_gap_however_often_the_command_is_killed(
    pair: Pair, witness: Witness
) -> None:
    """Each time that it is started again it comes to the next point, the last time to the end."""
    before, began_s = tree(pair), time.monotonic()
    there = [point for point in points() if FULL or point.name in THERE]
    back = [point for point in points(is_back=True) if FULL or point.name in BACK]
    for point in there:
        if point.is_on_hosts and not there[there.index(point) - 1].is_on_hosts:
            until_it_serves(witness)
            witness.keys_are_with(pair.giver)
        witness.kills_at(point)
    pair.carried_out()
    witness.is_at(pair.taker)
    for point in back:
        witness.kills_at(point, "--back")
    pair.carried_out("--back")
    witness.is_at(pair.giver)
    witness.keys_are_with(pair.giver, pair.taker)
    assert tree(pair) == before
    assert pair.taker.sh("lxc-info -n proxy -s -H").strip() == "RUNNING", "it was destroyed"
    told(witness, "continues", began_s)


def turns_back(pair: Pair, witness: Witness) -> None:
    """Killed at any point of the way there, it goes back. Before the first commit there is nothing to take back."""
    before, began_s = tree(pair), time.monotonic()
    pair.stop_those_that_stay()
    for point in points():
        if point.is_on_hosts:
            pair.rebuild_proxy()
            witness.keys_are_with(pair.giver)
        if point.name not in ("check", "before give", "after give", "applied"):
            there_until_it_serves(witness)
        if point.name not in ("check", "before give"):
            witness.kills_at(point)
            pair.carried_out("--back")
            witness.is_at(pair.giver)
            pair.stop_those_that_stay()
            assert tree(pair) == before
    told(witness, "goes back", began_s)


def turns_there_again(pair: Pair, witness: Witness) -> None:
    """Killed at any point of --back, it goes there again. After the last commit that is another migration."""
    before, began_s = tree(pair), time.monotonic()
    pair.stop_those_that_stay()
    there_until_it_serves(witness)
    pair.carried_out()
    for point in points(is_back=True):
        if point.name not in ("during take", "last"):
            witness.kills_at(point, "--back")
            pair.carried_out()
            witness.is_at(pair.taker)
    pair.carried_out("--back")
    witness.is_at(pair.giver)
    assert tree(pair) == before
    told(witness, "goes there again", began_s)


if FULL:

    @pytest.mark.parametrize("turns", [turns_back, turns_there_again])
    def test_killed_anywhere_it_turns_round(
        pair: Pair, witness: Witness, turns: Callable[[Pair, Witness], None]
    ) -> None:
        turns(pair, witness)
