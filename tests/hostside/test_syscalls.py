"""The kernel kills or refuses at a mutating system call: the host ends all old or all new, and never stuck.

strace(1) counts the calls of one verb first, then injects each fault at one of them, spread over the whole verb. All
calls of all verbs are the matter of tests/safety/syscalls.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest

from service.lab.waiting import grown_s
from tests.hostside.scratch import ID, NEXT_ID, Answer, Scratch, kill, process_state, wait_for

pytestmark = pytest.mark.host

MUTATING = "write,pwrite64,openat,rename,renameat2,link,linkat,unlink,rmdir,mkdir,symlink,fsync,fchmod,fchown,ftruncate"
FAULTS = ("signal=SIGKILL", "error=EIO", "error=ENOSPC", "error=EROFS")
VERBS = ("begin", "run", "confirm", "rollback", "boot")


def small(scratch: Scratch, identifier: str = ID, generation: int = 1) -> Answer:
    """A transaction of one step of each way to change something, so that a run takes little time."""
    document = scratch.document(identifier, generation)
    wanted = ("file:", "sysctl:", "nft:", "unit:named")
    document["steps"] = [step for step in document["steps"] if step["fact"].startswith(wanted)]
    document.update(keep=[], checks=[])
    return document


def prepare(scratch: Scratch, verb: str) -> list[str]:
    """Bring the host to where the verb is due; its words."""
    if verb == "begin":
        return ["begin"]
    if verb == "run":
        (scratch.root / "run/passerelle-test").write_text("step-0-before")
        begin = scratch.start("begin", give=small(scratch))
        pid = scratch.stopped()
        begin.kill()
        begin.wait()
        kill(pid)
        (scratch.root / "run/passerelle-test").unlink()
        path = scratch.root / "var/lib/passerelle/txn" / ID / "journal.json"
        journal = scratch.journal()
        for step in journal["steps"]:
            step["state"] = "pending"
        path.write_text(json.dumps({**journal, "state": "armed"}))
        return ["run", ID]
    scratch.begin(small(scratch))
    if verb == "boot":
        scratch.fresh_boot()
        return ["boot"]
    return [verb, ID]


def traced(scratch: Scratch, words: list[str], *options: str) -> None:
    give = json.dumps(small(scratch)).encode() if words == ["begin"] else b""
    command = ["strace", "-o", str(scratch.folder / "trace"), *options, *scratch.command(*words)]
    subprocess.run(command, input=give, capture_output=True, env={}, timeout=grown_s(90))


def calls_of(scratch: Scratch, words: list[str]) -> list[tuple[str, int]]:
    """(call, how many of it before) of every mutating call below the scratch root."""
    traced(scratch, words, "-y", "-e", "trace=" + MUTATING)
    seen: dict[str, int] = {}
    found = []
    for line in (scratch.folder / "trace").read_text().splitlines():
        name = line.partition("(")[0]
        if not re.fullmatch("[a-z0-9]+", name):
            continue
        seen[name] = seen.get(name, 0) + 1
        reads = name == "openat" and not re.search("O_WRONLY|O_RDWR|O_CREAT", line)
        if str(scratch.root) in line and not reads:
            found.append((name, seen[name]))
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_a_fault_at_a_system_call_ends_all_old_or_all_new(scratch: Scratch, tmp_path: Path, verb: str) -> None:
    before = scratch.state()
    words = prepare(scratch, verb)
    calls = calls_of(scratch.copy(tmp_path / "counted"), words)
    assert len(calls) > 15, "the verb writes something"
    for number, fault in enumerate(FAULTS):
        name, when = calls[len(calls) * (2 * number + 1) // (2 * len(FAULTS))]
        host = scratch.copy(tmp_path / str(number))
        traced(host, words, "-e", f"inject={name}:{fault}:when={when}")
        settle(host, verb)
        judge(host, before, f"{verb} {fault} {name} {when}")


def settle(scratch: Scratch, verb: str) -> None:
    """Let what was started end; then comes what comes on a real host: the timer, or another boot."""
    if verb == "begin" and (scratch.model / "run.pid").exists():
        pid = int((scratch.model / "run.pid").read_text())
        wait_for(lambda: process_state(pid) in ("", "Z"))
    if verb == "boot":
        scratch.power_cut()
    elif scratch.timers():
        scratch.expire()


def judge(scratch: Scratch, before: object, where: str) -> None:
    path = scratch.root / "var/lib/passerelle/txn" / ID / "journal.json"
    state = scratch.journal()["state"] if path.exists() else "nothing"
    if state == "confirmed":
        assert scratch.state() != before, where
    else:
        assert scratch.state() == before, (where, state)
    assert state in ("nothing", "staged", "refused", "rolled_back", "confirmed", "armed"), (where, state)
    after = scratch.begin(scratch.drill(NEXT_ID, generation=99))
    assert after["state"] == "applied", (where, after)
    left = [str(p) for p in scratch.root.rglob("*passerelle-01*") if "txn" not in str(p)]
    assert left == [], where
