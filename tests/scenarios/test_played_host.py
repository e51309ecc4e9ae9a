"""The played host and the real host-side file are given the same verbs, and say and become the same."""

import json
from typing import Any

import pytest

from service.hostside.facts import same
from tests.hostside.conftest import quick, scratch
from tests.hostside.scratch import ADDED, CONF, ID, NEXT_ID, NFT_FILE, NFT_OLD, OLD_CONF, OLD_SITE, Scratch, fact_of
from tests.reconcile.clocks import StoppedClock
from tests.scenarios.played_host import PlayedHost

__all__ = ["quick", "scratch"]
pytestmark = pytest.mark.host
Said = tuple[Any, ...]


class Both:
    """The two hosts, in the same state."""

    def __init__(self, scratch: Scratch) -> None:
        self.real, self.played = scratch, PlayedHost(StoppedClock())
        document = scratch.document()
        self.facts = list(dict.fromkeys(e["fact"] for e in document["steps"] + document["keep"]))
        kept = {fact_of(content)["sha256"]: content for content in (OLD_CONF, OLD_SITE, NFT_OLD.encode())}
        for fact, value in self.captured().items():
            self.played.set(fact, value, kept)

    def captured(self) -> dict[str, Any]:
        return dict(self.real.call("capture", give=self.facts)["facts"])

    def ask(self, *words: str, give: Any = None) -> Said:
        """What both say to a verb, which has to be the same: state, reason or cause, the steps' states."""
        stdin = json.dumps(give).encode() if give is not None else b""
        real = said(self.real.call(*words, give=give))
        assert said(self.played.verb(words, stdin, lambda _: None)) == real, words
        return real

    def differing(self) -> list[str]:
        """The facts in which one host is not as the other."""
        return [f for f, value in self.captured().items() if not same(f, self.played.captured(f), value)]


def said(result: dict[str, Any]) -> Said:
    steps = [step["state"] for step in result.get("steps") or []]
    return result.get("state"), result.get("reason") or result.get("cause"), steps, result.get("verified_old")


@pytest.fixture
def both(scratch: Scratch) -> Both:
    return Both(scratch)


def test_they_begin_as_one(both: Both) -> None:
    assert both.differing() == []
    assert {ADDED, CONF, NFT_FILE} <= {fact.partition(":")[2] for fact in both.facts}


def test_a_change_that_is_confirmed(both: Both) -> None:
    real = both.real
    assert both.ask("begin", give=real.document())[0] == "applied"
    assert both.differing() == []
    assert both.ask("begin", give=real.document(NEXT_ID, 2))[:2] == ("refused", "armed")
    assert both.ask("confirm", ID, "--console")[0] == "confirmed"
    assert both.differing() == []
    assert both.ask("begin", give=real.document(ID, 2))[:2] == ("refused", "known")
    assert both.ask("begin", give=real.document(NEXT_ID, 1))[:2] == ("refused", "fenced")
    assert both.ask("begin", give=real.document(NEXT_ID, 2))[0] == "conflict"
    assert both.ask("release", ID, "why not")[:2] == ("refused", "state")
    assert both.differing() == []


def test_a_change_that_is_undone(both: Both) -> None:
    assert both.ask("begin", give=both.real.document())[0] == "applied"
    assert both.ask("rollback", ID, "probe lost")[:2] == ("rolled_back", "asked: probe lost")
    assert both.differing() == []
    assert both.ask("expire", ID)[0] == "rolled_back"
    assert both.ask("begin", give=both.real.document(NEXT_ID, 2))[0] == "applied"
