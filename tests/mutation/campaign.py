"""A run over one package: what reaches what, then each mutant of the sample, by several processes at once.

reach(checkout, folder, package, words) -> Tests                  which tests reach what
Campaign(...).run(sample, processes) -> [Verdict]                 of each mutant, and of the control without a change
"""

import hashlib
import json
import math
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant

PARTS = ("service", "tests", "migrations", "deploy", "openapi", "pyproject.toml", "README.md", "CHANGELOG.md")
CONTROL = "control"


@dataclass(frozen=True)
class Verdict:
    """`ended`: killed, survived, timed out, not reached by any test, broken (it could not be judged). `by` is the test
    that failed."""

    name: str
    ended: str
    by: str = ""
    took_s: float = 0.0


@dataclass(frozen=True)
class Tests:
    """{test: seconds}, and which of them reach which lines of a file, the most special ones first."""

    took_s: dict[str, float]
    reached: dict[str, dict[str, frozenset[int]]]
    failed: frozenset[str]

    def of(self, mutant: Mutant, budget_s: float) -> list[str]:
        """Those that reach its statement, as many as take so long together; at least one where there is one."""
        first, last = mutant.lines
        lines = frozenset(range(first, last + 1))
        chosen: list[str] = []
        left_s = budget_s
        for test, files in self.reached.items():
            if lines & files.get(mutant.file, frozenset()) and (not chosen or self.took_s[test] <= left_s):
                chosen.append(test)
                left_s -= self.took_s[test]
        return chosen


def copied(checkout: Path, tree: Path) -> Path:
    """A tree of its own for one process: files of the service are changed there."""
    for part in PARTS:
        source = checkout / part
        if source.is_dir():
            shutil.copytree(source, tree / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, tree / part)
    return tree


def reach(checkout: Path, folder: Path, package: str, words: Sequence[str], kept: Path) -> Tests:
    """Run all tests once. Those that fail next to the probe are not judges. It is kept until code or tests change."""
    now = digest(checkout, [package, *words])
    if kept.exists() and (found := json.loads(kept.read_text()))["of"] == now:
        return _tests(found)
    tree, answer = copied(checkout, folder / "reach"), folder / "reach.json"
    log = folder / "reach.log"
    answer.unlink(missing_ok=True)
    with log.open("wb") as said:
        command = [sys.executable, "-m", "tests.mutation.judge", "reach", str(tree), package, str(answer), *words]
        done = subprocess.run(
            command, cwd=tree, env=_environment(tree), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
    if not answer.exists():
        raise RuntimeError(f"the tests of {package} could not be run ({done.returncode}): {log.read_text()[-2000:]}")
    found = {"of": now, **json.loads(answer.read_text())}
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(found))
    return _tests(found)


def digest(checkout: Path, words: Sequence[str]) -> str:
    """Of the service, its tests, and how they are chosen."""
    known = hashlib.sha256(repr(words).encode())
    for part in ("service", "tests", "pyproject.toml"):
        found = [checkout / part] if (checkout / part).is_file() else sorted((checkout / part).rglob("*"))
        for path in found:
            if path.is_file() and "__pycache__" not in path.parts and "mutation" not in path.parts:
                known.update(f"{path.relative_to(checkout)} ".encode() + path.read_bytes())
    return known.hexdigest()


def _tests(found: dict[str, Any]) -> Tests:
    failed = frozenset(found["failed"])
    reached = {
        test: {file: frozenset(lines) for file, lines in each["files"].items()}
        for test, each in found["tests"].items()
        if test not in failed
    }
    size = {test: (sum(map(len, files.values())), found["tests"][test]["s"]) for test, files in reached.items()}
    ordered = {test: reached[test] for test in sorted(reached, key=lambda test: (size[test], test))}
    return Tests({test: found["tests"][test]["s"] for test in ordered}, ordered, failed)


class Campaign:
    """The mutants of one package before several judges, each a process with a tree of its own."""

    def __init__(
        self, checkout: Path, folder: Path, package: str, words: Sequence[str], tests: Tests, budget_s: float,
        tell: Callable[[Verdict], None],
    ) -> None:  # fmt: skip
        self._checkout, self._folder, self._package, self._words = checkout, folder, package, words
        self._tests, self._budget_s, self._tell = tests, budget_s, tell
        self._work: queue.SimpleQueue[Mutant | None] = queue.SimpleQueue()
        self._telling = threading.Lock()
        self._until_s = math.inf
        self.verdicts: list[Verdict] = []
        self.errors: list[BaseException] = []

    def run(self, sample: Iterable[Mutant], processes: int, until_s: float = math.inf) -> list[Verdict]:
        """The control's verdict comes with the others: the unchanged code must survive all tests. None is begun after
        `until_s` of `time.monotonic()`."""
        self._until_s = until_s
        for mutant in sample:
            self._work.put(mutant)
        threads = [threading.Thread(target=self._judge, args=(number,), daemon=True) for number in range(processes)]
        for thread in threads:
            self._work.put(None)
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]
        return self.verdicts

    def _judge(self, number: int) -> None:
        try:
            self._go_on(number)
        except BaseException as error:
            self.errors.append(error)

    def _go_on(self, number: int) -> None:
        tree = copied(self._checkout, self._folder / f"judge-{number}")
        reads, writes = os.pipe()
        command = [sys.executable, "-m", "tests.mutation.judge", "judge", str(tree), self._package, f"/dev/fd/{writes}"]
        with (self._folder / f"judge-{number}.log").open("wb") as said:
            judge = subprocess.Popen(
                [*command, *self._words], cwd=tree, env=_environment(tree), pass_fds=(writes,), stdin=subprocess.PIPE,
                stdout=said, stderr=said, text=True,
            )  # fmt: skip
        os.close(writes)
        assert judge.stdin is not None
        with judge, os.fdopen(reads, encoding="utf-8") as answers:

            def ask(row: dict[str, Any]) -> Verdict:
                assert judge.stdin is not None
                print(json.dumps(row), file=judge.stdin, flush=True)
                answer = answers.readline()
                if not answer:
                    raise RuntimeError(f"judge {number} ended: see {said.name}")
                return Verdict(**json.loads(answer))

            if number == 0:
                self._told(ask(self._control(tree)))
            while (mutant := self._work.get()) and time.monotonic() < self._until_s:
                tests = self._tests.of(mutant, self._budget_s)
                if not tests:
                    self._told(Verdict(mutant.name, "not reached"))
                    continue
                limit_s = 30 + 3 * sum(self._tests.took_s[test] for test in tests)
                row = {
                    "name": mutant.name,
                    "file": mutant.file,
                    "text": mutant.text,
                    "tests": tests,
                    "limit_s": limit_s,
                }
                self._told(ask(row))
            judge.stdin.close()

    def _control(self, tree: Path) -> dict[str, Any]:
        file = min((tree / "service" / self._package).glob("*.py"))
        text = file.read_text(encoding="utf-8")
        name = str(file.relative_to(tree))
        return {"name": CONTROL, "file": name, "text": text, "tests": list(self._tests.took_s), "limit_s": 3600}

    def _told(self, verdict: Verdict) -> None:
        with self._telling:
            self.verdicts.append(verdict)
            self._tell(verdict)


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
