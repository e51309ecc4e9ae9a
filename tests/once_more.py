"""Judge the failures of tests/run: each failed test runs once more, alone, when all else has ended.

usage: python -m tests.once_more FAILED.jsonl [pytest arguments…]

Passed now: FLAKY, reported by name with what it said the first time; up to ALLOWED of them do not fail the run. Failed
again: the run fails. Tests of one file for which nothing could be set up, all for the same reason, are one failure:
they share a host. What was never a test (a file that cannot be imported) or too much at once (MANY) is not tried again.
The random numbers are those of the first time. People list flaky tests with their cause in tests/FLAKY.md.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ALLOWED = 2
MANY = 8
MOST_SAID = 1500
"""Characters of what each says, its last ones, where many failed."""
LIST = Path(__file__).with_name("FLAKY.md")


@dataclass
class Failed:
    """A test that failed, maybe in more than one of its phases, and the `others` whose set-up failed with it."""

    test: str
    seed: int
    is_test: bool
    said: str = ""
    others: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.test} and {len(self.others)} more of that file" if self.others else self.test

    def passes_alone(self, arguments: Sequence[str]) -> bool:
        seed = f"--randomly-seed={self.seed}"
        command = [sys.executable, "-m", "pytest", seed, *arguments, self.test, *self.others]
        return subprocess.run(command, check=False).returncode == 0


def failures(kept: Path) -> list[Failed]:
    """Each failure once, in the order in which they came."""
    found: dict[str, Failed] = {}
    shared: dict[tuple[str, str], Failed] = {}
    for line in kept.read_text().splitlines():
        got = json.loads(line)
        test, when, said = got["test"], got["when"], got["said"]
        if when == "setup":
            first = shared.setdefault((test.partition("::")[0], errors_of(said)), Failed(test, got["seed"], True))
            if first.test != test:
                first.others.append(test)
                continue
            found.setdefault(test, first)
        failed = found.setdefault(test, Failed(test, got["seed"], when != "collect"))
        failed.said += f"  in its {when}, after {got['seconds']} s:\n{said}\n"
    return list(found.values())


def errors_of(said: str) -> str:
    """The lines of a failure that say what was raised: the way there differs between the tests that share a host."""
    return "\n".join(line for line in said.splitlines() if line.startswith("E ")) or said


def judge(kept: Path, arguments: Sequence[str]) -> int:
    """The exit status of the whole: 0 when nothing failed, or only few and none of them again."""
    failed = failures(kept)
    if len(failed) > MANY or not all(each.is_test for each in failed):
        print(f"\n{len(failed)} failed; not tried again, that is not a flake:")
        for each in failed:
            print(f"  FAILED {each.name}\n{each.said[-MOST_SAID:]}")
        return 1
    flaky, again = [], []
    for number, each in enumerate(failed, 1):
        print(f"\n== once more, alone ({number} of {len(failed)}): {each.name}", flush=True)
        (flaky if each.passes_alone(arguments) else again).append(each)
    listed = LIST.read_text()
    for each in flaky:
        known = "listed in tests/FLAKY.md" if f"`{each.test}`" in listed else "not listed in tests/FLAKY.md yet"
        print(f"\nFLAKY {each.name}\n  It passed alone; {known}. The first time it failed\n{each.said}")
    for each in again:
        print(f"\nFAILED {each.name}: twice, the second time alone")
    if len(flaky) > ALLOWED:
        print(f"\n{len(flaky)} flaky tests: more than {ALLOWED} in one run fail it")
    return 1 if again or len(flaky) > ALLOWED else 0


if __name__ == "__main__":
    sys.exit(judge(Path(sys.argv[1]), sys.argv[2:]))
