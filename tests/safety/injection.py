"""Faults at system calls: strace(1) counts the mutating calls of a verb, then lets the kernel fail one of them."""

import random
import re
from pathlib import Path
from typing import Any, NamedTuple

from tests.hostside.scratch import ID
from tests.safety.scratch_host import STATE, ScratchHost
from tests.safety.situations import SITUATIONS, Situation, come_next, given, probe, words
from tests.safety.workloads import Workload
from tests.safety.worlds import Verdict, World, judge, read_world, torn

MUTATING = (
    "write,writev,pwrite64,open,openat,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "rmdir,mkdir,mkdirat,mknod,mknodat,fsync,fdatasync,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,truncate,"
    "ftruncate,fallocate,setxattr,fsetxattr,lsetxattr,removexattr,fremovexattr,utimensat,copy_file_range,sendfile"
)
FAULTS = {
    "SIGKILL": "signal=SIGKILL",
    "EIO": "error=EIO",
    "ENOSPC": "error=ENOSPC",
    "EROFS": "error=EROFS",
}


class Point(NamedTuple):
    """The `when`-th `call` of a verb in a situation of a workload; `place` is what it is done to."""

    workload: str
    situation: str
    call: str
    when: int
    place: str


class Job(NamedTuple):
    """One run."""

    point: Point
    fault: str
    next: str

    def __str__(self) -> str:
        at = self.point
        return f"{at.workload}/{at.situation}/{at.call}#{at.when}/{self.fault}/{self.next}"


class Outcome(NamedTuple):
    """How it went; `hit` False when the verb did not come to that call this time."""

    verdict: Verdict
    hit: bool


def strace(trace: Path, *options: str) -> tuple[str, ...]:
    return ("strace", "-o", str(trace), *options)


def mutating_calls(host: ScratchHost, workload: Workload, situation: Situation) -> list[tuple[str, int, str]]:
    """(call, its number among all of that name, its line) of every mutating call in one undisturbed run. Such calls
    write to the host's files, to the input of a command, and to standard output.
    """
    trace = host.folder / "trace"
    options = strace(trace, "-y", "-s", "40", "-e", "trace=" + MUTATING)
    code, result, said = host.verb(*words(situation), give=given(situation, workload, host), before=options)
    assert (code, said) == (0, ""), (situation, code, result, said)
    host.settle_run()
    seen: dict[str, int] = {}
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        name = line.partition("(")[0]
        if not re.fullmatch("[a-z0-9]+", name):
            continue
        seen[name] = seen.get(name, 0) + 1
        reads = name in ("openat", "open") and not re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", line)
        ours = str(host.root) in line or "memfd:passerelle" in line or line.startswith("write(1<")
        if ours and not reads:
            found.append((name, seen[name], line.replace(str(host.folder), "")[:160]))
    return found


def points_of(host: ScratchHost, workload: Workload, situation: Situation) -> list[Point]:
    calls = mutating_calls(host, workload, situation)
    assert len(calls) > 5, (workload.name, situation.name, "writes nothing")
    return [Point(workload.name, situation.name, *call) for call in calls]


def run(host: ScratchHost, workload: Workload, situation: Situation, job: Job, old: World, new: World) -> Outcome:
    """One fault on a host in its situation, then what comes on its own, then the judgement."""
    trace = host.folder / "trace"
    inject = f"inject={job.point.call}:{FAULTS[job.fault]}:when={job.point.when}"
    options = strace(trace, "-e", f"trace={job.point.call}", "-e", inject)
    try:
        code, result, said = host.verb(*words(situation), give=given(situation, workload, host), before=options)
        hit = "INJECTED" in trace.read_text(errors="replace") or code < 0
        host.settle_run()
        broken = torn(host.root, old, new, ID)
        if broken:
            return Outcome(Verdict("mixed", broken), hit)
        booted = come_next(host, job.next) or situation.booted
        verdict = _judged(host, old, new, booted)
        if verdict.kind == "ok":
            verdict = _truthful(host, code, result, said) or verdict
        if verdict.kind == "ok":
            verdict = _open_again(host, old, new, booted) or verdict
    except TimeoutError as error:
        return Outcome(Verdict("stuck", str(error)), True)
    if host.refused_calls():
        verdict = Verdict("failed", f"the fakes do not know {host.refused_calls()[:2]}")
    return Outcome(verdict, hit)


def _judged(host: ScratchHost, old: World, new: World, booted: bool) -> Verdict:
    try:
        journal = host.found_journal()
    except ValueError as error:
        return Verdict("stuck", f"damaged journal: {error}")
    armed = (host.root / STATE / "armed").exists()
    return judge(read_world(host.root, host.model), old, new, journal, armed, booted)


def _truthful(host: ScratchHost, code: int, result: dict[str, Any], said: str) -> Verdict | None:
    """What the verb reported last is what is true in the end; a crash is not an answer."""
    if code < 0:
        return None
    if said or code not in (0, 1) or re.match(r"[A-Za-z]+(Error|Exception): ", str(result.get("error"))):
        return Verdict("failed", f"it crashed ({code}): {result.get('error')} {said[-300:]}")
    journal = host.found_journal()
    ended, state = "nothing" if journal is None else journal["state"], result.get("state")
    lies = (
        (state == "confirmed" and ended != "confirmed")
        or (state == "rolled_back" and result.get("id") == ID and ended != "rolled_back")
        or (state == "refused" and ended == "confirmed" and result.get("reason") not in ("known", "confirmed"))
    )
    return Verdict("failed", f"it said {state}, the journal says {ended}") if lies else None


def _open_again(host: ScratchHost, old: World, new: World, booted: bool) -> Verdict | None:
    """The next change can begin, and beginning it leaves everything as it is."""
    _, answer, said = host.verb("begin", give=probe(host))
    if answer.get("state") != "conflict":
        return Verdict("stuck", f"the next change cannot begin: {answer} {said[-300:]}")
    verdict = _judged(host, old, new, booted)
    return None if verdict.kind == "ok" else verdict


WEIGHTS = {"files": 4, "everything": 1}  # every file fault counts; the others cost more and differ less


def every(points: list[Point]) -> list[Job]:
    """All points with all faults and all that may come next."""
    return [Job(p, fault, way) for p in points for fault in FAULTS for way in SITUATIONS[p.situation].next]


def sampled(points: list[Point], runs: int, seed: int) -> list[Job]:
    """So many different jobs, spread over the situations by their number of points, in random order."""
    dice = random.Random(seed)
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in every(points):
        groups.setdefault((job.point.workload, job.point.situation), []).append(job)
    for group in groups.values():
        dice.shuffle(group)
        # first a fault at each call, then others: no call is left out while another one has its second
        met: dict[Point, int] = {}
        turns = {}
        for job in group:
            met[job.point] = turns[job] = met.get(job.point, 0) + 1
        group.sort(key=turns.__getitem__)
    total = sum(len(group) * WEIGHTS[name[0]] for name, group in groups.items())
    jobs, left = [], []
    for name, group in groups.items():
        part = max(1, runs * len(group) * WEIGHTS[name[0]] // total)
        jobs += group[:part]
        left += group[part:]
    jobs += dice.sample(left, min(len(left), max(0, runs - len(jobs))))
    dice.shuffle(jobs)
    return jobs[:runs]
