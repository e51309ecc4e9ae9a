"""Files that nobody may see: compared by their bytes, reported by their mark."""

from dataclasses import replace

import pytest

from service.model.changes import Moved
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.secret import Seal, Secret
from service.model.states import Absent, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.secret_files import SecretFile
from tests.laws.host import after_plan, bare_host, file_fact, hidden

PATH = "/etc/passerelle/site.key"
SEAL = Seal(Secret(b"one key"))
NOTHING = LastApplied()


def desired(content: bytes | None = b"new", seal: Seal = SEAL, mode: str = "0640", gid: int = 33) -> Desired:
    secret = None if content is None else Secret(content)
    return Desired.of("pve1", [SecretFile("sites", PATH, secret, seal, mode, gid)])


def host(content: bytes | None, mode: str = "0640", gid: int = 33) -> HostObserved:
    bare = bare_host(desired().watch)
    if content is None:
        return bare
    fact = {**file_fact(content, mode), "gid": gid}
    there = replace(bare, facts={**bare.facts, f"file:{PATH}": Seen(fact)}, texts={**bare.texts, PATH: Seen(content)})
    return hidden(there, {PATH})


def plan(want: Desired, have: HostObserved, base: LastApplied = NOTHING) -> Plan:
    return make_plan(want, base, have)


@pytest.mark.parametrize(
    ("want", "have", "fields"),
    [
        (b"new", host(b"new"), []),
        (b"new", host(b"old"), ["content"]),
        (b"new", host(b"new\n"), ["content"]),
        (b"new", host(b"new", "0600", 0), ["mode", "owner"]),
        (b"new", host(None), ["file"]),
        (None, host(b"old"), ["file"]),
        (None, host(None), []),
    ],
)
def test_where_it_differs_it_is_changed_and_then_differs_no_more(
    want: bytes | None, have: HostObserved, fields: list[str]
) -> None:
    made = plan(desired(want), have)
    assert [drift.difference.field for drift in made.drifts] == fields
    assert [step.fact for step in made.steps] == [f"file:{PATH}"] * bool(fields)
    assert plan(desired(want), after_plan(have, made)).is_empty


@pytest.mark.parametrize("seen", [Unknown("garbled"), Absent()])
def test_what_cannot_be_read_is_left_alone(seen: Observed[Secret]) -> None:
    blind = replace(host(b"old"), secrets={PATH: seen})
    made = plan(desired(), blind)
    if isinstance(seen, Unknown):
        assert (made.steps, [refusal.rule for refusal in made.refusals]) == ((), ["unknown"])
    gone = plan(desired(None), replace(blind, facts={**blind.facts, f"file:{PATH}": Unknown("garbled")}))
    assert (gone.steps, [refusal.rule for refusal in gone.refusals]) == ((), ["unknown"])


@pytest.mark.parametrize(
    ("applied", "want", "have", "moved"),
    [(b"old", b"new", b"old", "git"), (b"new", b"new", b"old", "host"), (b"old", b"new", b"third", "both")],
)
def test_who_moved_is_told_by_the_marks(applied: bytes, want: bytes, have: bytes, moved: Moved) -> None:
    base = LastApplied.from_json(desired(applied).as_json())
    assert [drift.moved for drift in plan(desired(want), host(have), base).drifts] == [moved]


def test_an_approval_means_the_very_bytes_and_does_not_tell_them() -> None:
    made = plan(desired(b"new"), host(b"old"))
    assert plan(desired(b"new"), host(b"old")).digest == made.digest
    assert plan(desired(b"other"), host(b"old")).digest != made.digest, "other bytes to write"
    assert plan(desired(b"new"), host(b"third")).digest != made.digest, "other bytes that go"
    guessed = plan(desired(b"new", Seal(Secret(b"a guess"))), host(b"old"))
    assert guessed.digest != made.digest, "who has not the key cannot try contents"
    assert guessed.desired_digest != made.desired_digest


@pytest.mark.parametrize("mode", ["0644", "0604", "0641", "0602"])
def test_a_secret_that_everybody_may_read_is_no_wish(mode: str) -> None:
    with pytest.raises(ValueError, match="shows it to everybody"):
        desired(b"new", mode=mode)
