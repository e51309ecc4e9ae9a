"""The model: every version of a file that anybody wrote is still there, or somebody who saw it took it away.

Operations of an operator name what they replaced (they change places with it, atomically). A transaction replaces what
is in its snapshot, and the plan must have named just that (compare and swap). What a rollback finds in the place of its
own file, it keeps and names in the journal. So for each file the numbers have to match. A version is there once for
each time it was written or restored, minus each time that somebody who knew it removed it.

    confirmed transaction   takes its snapshot, gives what it wrote
    rolled back             takes what it names as found (someone's edit on trial), gives nothing: old for new for old
    a step that gave up     takes what it names as found: it had moved that aside, and a third file has its place now
    operator                takes what was there, gives what was written

In the end the balance is 1 for the version that is there and 0 for all others. Above: a lost update. Below: a version
came back that somebody had replaced. An edit in place which finds its file replaced in the same moment is counted only
if its bytes were ever seen.
"""

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

Version = tuple[str, str] | None  # (sha256, mode)
Answer = dict[str, Any]


class Edit(NamedTuple):
    """What an operator did."""

    path: str
    before: Version
    after: Version
    certain: bool


class Said(NamedTuple):
    """What a verb answered about a transaction."""

    verb: str
    id: str
    answer: Answer


def version(value: Any) -> Version:
    """The version that a fact or a witness names."""
    if value is None:
        return None
    return (value["sha256"], value["mode"]) if isinstance(value, dict) else (value[0], value[1])


def found_faults(seen: Answer, start: dict[str, Version], edits: list[Edit], said: list[Said]) -> dict[str, list[str]]:
    """{kind of fault: what is wrong}; kinds: lost, resurrected, blind, two_armed, generations, untrue, unended."""
    faults: dict[str, list[str]] = {
        name: [] for name in ("lost", "resurrected", "blind", "two_armed", "generations", "untrue", "unended")
    }
    for path, first in start.items():
        _balance(path, seen, first, [edit for edit in edits if edit.path == path], faults)
    faults["two_armed"] += [" and ".join(both) for both in seen["two_armed"]]
    _generations(seen, said, faults)
    _answers(seen, said, faults)
    faults["untrue"] += [f"{name} was {before} and is {now}" for name, before, now in seen["changed_ends"]]
    if seen["armed"]:
        faults["unended"].append("the switch is still armed")
    for name, record in seen["transactions"].items():
        if record["journal"]["state"] not in ("confirmed", "rolled_back", "refused"):
            faults["unended"].append(
                f"{name} is {record['journal']['state']}: {record['journal'].get('rollback_error')}"
            )
    faults["unended"] += [f"{name} is left" for name in seen["left"]]
    return faults


def _balance(path: str, seen: Answer, start: Version, edits: list[Edit], faults: dict[str, list[str]]) -> None:
    fact = f"file:{path}"
    final = version(seen["files"][path])
    balance: Counter[Version] = Counter({start: 1})
    wrote: dict[Version, str] = {start: "the start"}
    begun = []
    known = {start, final, *(edit.before for edit in edits)}
    for name, record in seen["transactions"].items():
        states = {step["fact"]: step["state"] for step in record["journal"]["steps"]}
        is_kept = record["journal"]["state"] != "confirmed"
        for found in record["journal"].get("foreign", {}).get(fact, []) if is_kept else ():
            balance[version(found)] -= 1
            if found is not None and not record["kept"].get(found["sha256"]):
                faults["lost"].append(f"{path}: {name} names {_told(version(found))}, but has not its bytes")
        known |= {version(one) for one in record["journal"].get("foreign", {}).get(fact, [])}
        if states.get(fact, "pending") != "pending":
            begun.append((name, record))
            known.add(version(record["facts"][fact]))
    edits = [edit for edit in edits if edit.certain or edit.after in known]
    for edit in edits:
        balance[edit.before] -= 1
        balance[edit.after] += 1
        wrote.setdefault(edit.after, "the operator")
    for name, record in begun:
        step = next(step for step in record["steps"] if step["fact"] == fact)
        old, new = version(record["facts"][fact]), version(step["after"])
        if version(step["before"]) != old:
            faults["blind"].append(f"{name} replaced {_told(old)} of {path}, its plan was for {step['before']}")
        if record["journal"]["state"] == "confirmed":
            balance[old] -= 1
            balance[new] += 1
            wrote[new] = name
            continue
        balance[new] += min(1, sum(edit.before == new for edit in edits))  # the operator replaced it while on trial
    balance[final] -= 1
    for one, count in balance.items():
        if one is None:  # nothing is nothing, whoever made it: it cannot be distinguished
            continue
        if count > 0:
            faults["lost"].append(f"{path}: {_told(one)}, written by {wrote.get(one, 'nobody')}, is gone ({count})")
        if count < 0:
            faults["resurrected"].append(f"{path}: {_told(one)} of {wrote.get(one, 'nobody')} was replaced ({count})")


def _told(one: Version) -> str:
    return "no file" if one is None else f"{one[0][:8]} {one[1]}"


def _generations(seen: Answer, said: list[Said], faults: dict[str, list[str]]) -> None:
    stored = seen["generations"]
    faults["generations"] += [
        f"{later} was stored after {earlier}" for earlier, later in pairwise(stored) if later <= earlier
    ]
    armed = sorted(
        (said_one.answer["armed_at"], seen["transactions"][said_one.id]["journal"]["generation"])
        for said_one in said
        if said_one.verb == "begin" and "armed_at" in said_one.answer and said_one.id in seen["transactions"]
    )
    for (_, earlier), (_, later) in pairwise(armed):
        if later <= earlier:
            faults["generations"].append(f"{later} was armed after {earlier}")


def _answers(seen: Answer, said: list[Said], faults: dict[str, list[str]]) -> None:
    for verb, name, answer in said:
        record = seen["transactions"].get(name)
        ended = record["journal"]["state"] if record else "nothing"
        state = answer.get("state")
        untrue = state in ("confirmed", "rolled_back") and verb != "status" and state != ended
        untrue = untrue or (
            verb == "begin" and state in ("conflict", "refused") and ended not in ("nothing", "refused")
        )
        if untrue and answer.get("reason") != "known":
            faults["untrue"].append(f"{verb} {name} said {state}, it ended {ended}")
