"""A process that judges mutants: all tests collected once, then a child of its own for each mutant.

    python -m tests.mutation.judge reach TREE PACKAGE ANSWER TESTS…     which tests reach what, and how long they take
    python -m tests.mutation.judge judge TREE PACKAGE ANSWER TESTS…     a JSON row on standard input for each mutant,
                                                                        {"name", "file", "text", "tests", "limit_s"},
                                                                        and a verdict for each in ANSWER, a pipe
Runs in a tree of its own, whose file is changed on disk too while its mutant is judged: other processes read it there.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.reach import Reach, probe
from tests.mutation.swap import swap

LOOK_S = 0.5
BROKEN = 3
SUBREAPER = 36  # prctl(2): what a child leaves behind becomes ours, and can be ended
OPTIONS = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=0", "--no-header")


class Judge:
    """A plugin of pytest that runs the tests in its own way."""

    def __init__(self, mode: str, tree: Path, package: str, answer: Path) -> None:
        self.mode, self.tree, self.package, self.answer = mode, tree, package, answer
        self.rows = os.fdopen(os.dup(0), encoding="utf-8")  # pytest takes standard input away
        self.failed: list[str] = []
        self.took_s: dict[str, float] = {}
        self.spent_s = sum(os.times()[:4])
        self.reach: Reach | None = None
        self.now = ""

    def pytest_configure(self) -> None:
        """The same examples for every mutant, and none kept from the one before."""
        import hypothesis  # pytest wants to load it first

        hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, database=None)
        hypothesis.settings.load_profile("mutation")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        spent_s = sum(os.times()[:4])  # of processors, with the processes that were waited for
        self.took_s[report.nodeid] = self.took_s.get(report.nodeid, 0.0) + spent_s - self.spent_s
        self.spent_s = spent_s
        if report.failed:
            self.failed.append(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        """What a fixture shared by many tests reaches counts for each that asks for it."""
        if self.reach is None or fixturedef.scope == "function":
            return (yield)
        self.reach.next(f"fixture {fixturedef.argname}")
        result = yield
        self.reach.next(self.now)
        return result

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return False
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        if self.mode == "reach":
            in_a_child(lambda: self._reach(session), self.tree, 3600)
            return True
        items = {item.nodeid: item for item in session.items}
        with self.answer.open("w") as told:
            for row in self.rows:
                print(json.dumps(self._judged(json.loads(row), items)), file=told, flush=True)
        return True

    def _reach(self, session: pytest.Session) -> int:
        self.reach = Reach(self.tree, self.package, self.tree / "notes")
        self.reach.begin()
        for at, item in enumerate(session.items):
            self.now = item.nodeid
            self.reach.next(item.nodeid)
            following = session.items[at + 1] if at + 1 < len(session.items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        reached = self.reach.end()
        tests = {}
        for item in session.items:
            names = getattr(item, "fixturenames", ())
            parts = [reached.get(item.nodeid, {}), *(reached.get(f"fixture {name}", {}) for name in names)]
            touched = {file for part in parts for file in part}
            files = {file: sorted(set().union(*(part.get(file, ()) for part in parts))) for file in touched}
            tests[item.nodeid] = {"s": round(self.took_s.get(item.nodeid, 0.0), 3), "files": files}
        self.answer.write_text(json.dumps({"tests": tests, "failed": self.failed}))
        return 0

    def _judged(self, mutant: dict[str, Any], items: dict[str, pytest.Item]) -> dict[str, Any]:
        path = self.tree / mutant["file"]
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant["text"], encoding="utf-8")
        try:
            began_s = time.monotonic()
            status = in_a_child(lambda: self._run(mutant, original, items), self.tree, mutant["limit_s"])
        finally:
            path.write_text(original, encoding="utf-8")
        ended = {0: "survived", 1: "killed", BROKEN: "broken"}.get(status, "timed out")
        by = (self.tree / "by").read_text() if ended == "killed" and (self.tree / "by").exists() else ""
        (self.tree / "by").unlink(missing_ok=True)
        return {"name": mutant["name"], "ended": ended, "by": by, "took_s": round(time.monotonic() - began_s, 1)}

    def _run(self, mutant: dict[str, Any], original: str, items: dict[str, pytest.Item]) -> int:
        swap(str(self.tree / mutant["file"]), original, mutant["text"])
        chosen = [items[test] for test in mutant["tests"]]
        for at, item in enumerate(chosen):
            following = chosen[at + 1] if at + 1 < len(chosen) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                (self.tree / "by").write_text(self.failed[0])
                return 1
        return 0


def in_a_child(run: Callable[[], int], tree: Path, limit_s: float) -> int:
    """What `run` returns there; BROKEN where it raised, -1 where it did not end in time. Nothing of it is left.

    Time counts as on an idle machine, and not while others have the child's processor.
    """
    folder = tree.parent / f"tmp-{tree.name}"
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            os.environ["TMPDIR"] = str(folder)
            tempfile.tempdir = None
            silence = os.open(os.devnull, os.O_RDWR)
            os.dup2(silence, 0)
            status = run()
        except BaseException:  # no test said so: it counts as not noticed
            traceback.print_exc()
            status = BROKEN
        os._exit(status)
    pidfd, began_s = os.pidfd_open(child), time.monotonic()
    while not (ended := select.select([pidfd], [], [], LOOK_S)[0]):
        slowness = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        if time.monotonic() - began_s - _waited_s(child) > limit_s * slowness:
            os.kill(child, signal.SIGKILL)
            break
    os.close(pidfd)
    _, status = os.waitpid(child, 0)
    _end_what_is_left()
    shutil.rmtree(folder, ignore_errors=True)
    return os.waitstatus_to_exitcode(status) if ended else -1


def _waited_s(pid: int) -> float:
    """How long a process has been ready to run and another one ran (proc_pid_schedstat(5)): not its fault."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def _end_what_is_left() -> None:
    """Processes that the child began and did not wait for are our children now."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    while left := own.read_text().split():
        for pid in left:
            os.kill(int(pid), signal.SIGKILL)
            os.waitpid(int(pid), 0)


def main(words: list[str]) -> int:
    mode, tree, package, answer, *tests = words
    if mode == "reach" and package == "hostside":
        probe(Path(tree), Path(tree) / "notes")
    judge = Judge(mode, Path(tree), package, Path(answer))
    return int(pytest.main([*OPTIONS, *tests], plugins=[judge]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
