"""The parts of the system call harness that run side by side: each works in its own folder."""

import functools
import json
import os
import random
import shutil
from pathlib import Path

from service.apply.host_file import rooms
from tests.hostside.rooms import NoFit, compiled
from tests.hostside.scratch import FILE, server_of_models
from tests.safety import injection
from tests.safety.injection import Job, Outcome, Point
from tests.safety.patched import CONTROLS, Control, patched_file
from tests.safety.scratch_host import ScratchHost
from tests.safety.situations import SITUATIONS, needs_applied
from tests.safety.situations import prepare as bring
from tests.safety.workloads import WORKLOADS, apply, expected_after, lay_out, prove_undisturbed
from tests.safety.worlds import Verdict, World, read_world

CONTROL_TRIES = 40


def situations(seed: int, all_of_them: bool, only: str | None) -> list[tuple[str, str]]:
    """(workload, situation) to look at: all, or for a few runs all with files and four with everything else."""
    if only:
        workload, situation, *_ = only.split("/")
        return [(workload, situation)]
    everything = list(SITUATIONS)
    if not all_of_them:
        everything = random.Random(seed).sample(everything, 4)
    return [("files", name) for name in SITUATIONS] + [("everything", name) for name in everything]


def begin(folder: Path) -> None:
    """Before anything runs side by side: the file that all run, and what answers the commands."""
    compiled(rooms(), folder / "file")
    server_of_models()


def lay(folder: Path, name: str) -> str:
    """Prepare a workload: laid out, applied, and proven without a fault."""
    workload = WORKLOADS[name]
    host = ScratchHost(folder / name / "laid", folder / "file" / FILE.name)
    old = lay_out(host, workload)
    applied = host.copy(folder / name / "applied")
    apply(applied, workload)
    prove_undisturbed(applied, old, expected_after(old, workload))
    return name


def prepare(folder: Path, name: str, situation: str) -> list[Point]:
    """Bring a host into a situation, keep it for the runs, and count the calls of the verb that is due."""
    laid = folder / name / ("applied" if needs_applied(SITUATIONS[situation]) else "laid")
    base = ScratchHost.at(laid, folder / "file" / FILE.name)
    host = base.copy(folder / name / f"at {situation}")
    bring(host, WORKLOADS[name], SITUATIONS[situation])
    spare = host.copy(folder / name / f"counted {situation}")
    points = injection.points_of(spare, WORKLOADS[name], SITUATIONS[situation])
    spare.remove()
    return points


@functools.cache
def worlds(folder: Path, name: str) -> tuple[World, World]:
    host = ScratchHost.at(folder / name / "laid", folder / "file" / FILE.name)
    old = read_world(host.root, host.model)
    return old, expected_after(old, WORKLOADS[name])


class Runner:
    """Does a job on a copy of the host in its situation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, job: Job) -> tuple[Job, Outcome]:
        name, situation = job.point.workload, job.point.situation
        at = ScratchHost.at(self.folder / name / f"at {situation}", self.folder / "file" / FILE.name)
        host = at.copy(self.folder / f"run {os.getpid()}")
        try:
            outcome = injection.run(host, WORKLOADS[name], SITUATIONS[situation], job, *worlds(self.folder, name))
        except Exception as error:
            outcome = Outcome(Verdict("failed", f"the harness could not judge it: {error!r}"), True)
        return job, outcome


def control(folder: Path, name: str, seed: int) -> tuple[str, str]:
    """(control, "" if a fault was judged as it must be, else why not)."""
    made = next(each for each in CONTROLS if each.name == name)
    own = folder / f"control {name}"
    own.mkdir()
    try:
        return name, _caught(made, own, seed)
    except (NoFit, AssertionError, OSError) as error:
        return name, repr(error)


def _caught(made: Control, own: Path, seed: int) -> str:
    file = patched_file(made.name, made.cuts, own)
    workload, situation = WORKLOADS["files"], SITUATIONS[made.situation]
    host = ScratchHost(own / "host", file)
    old = lay_out(host, workload)
    new = expected_after(old, workload)
    if needs_applied(situation):
        apply(host, workload)
    bring(host, workload, situation)
    points = injection.points_of(host.copy(own / "run"), workload, situation)
    dice = random.Random(seed)
    dice.shuffle(points)
    points.sort(key=lambda point: made.place not in point.place)
    kinds = []
    for point in points[:CONTROL_TRIES]:
        job = Job(point, "SIGKILL", made.next)
        verdict = injection.run(host.copy(own / "run"), workload, situation, job, old, new).verdict
        if verdict.kind in made.kinds:
            return ""
        kinds.append(verdict.kind)
    return f"not caught by {len(kinds)} faults: {json.dumps({kind: kinds.count(kind) for kind in kinds})}"


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
