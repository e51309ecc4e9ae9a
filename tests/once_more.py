"""Judge the failures of tests/run: each failed test runs once more, alone, when all else has ended.

usage: python -m tests.once_more FAILED.jsonl [pytest arguments…]

Passed now: FLAKY, reported by name with what it said the first time; up to ALLOWED of them do not fail the run. Failed
again: the run fails. What was never a test (a file that cannot be imported) or too much at once (MANY) is not tried
again. The random numbers are those of the first time. People list flaky tests with their cause in tests/FLAKY.md.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ALLOWED = 2
MANY = 8
LIST = Path(__file__).with_name("FLAKY.md")


@dataclass
class Failed:
    """One test that failed, maybe in more than one of its phases."""

    test: str
    seed: int
    said: str
    is_test: bool

    def passes_alone(self, arguments: Sequence[str]) -> bool:
        seed = f"--randomly-seed={self.seed}"
        return (
            subprocess.run([sys.executable, "-m", "pytest", seed, *arguments, self.test], check=False).returncode == 0
        )


def failures(kept: Path) -> list[Failed]:
    """Each failed test once, in the order in which they failed."""
    found: dict[str, Failed] = {}
    for line in kept.read_text().splitlines():
        got = json.loads(line)
        failed = found.setdefault(got["test"], Failed(got["test"], got["seed"], "", got["when"] != "collect"))
        failed.said += f"  in its {got['when']}, after {got['seconds']} s:\n{got['said']}\n"
    return list(found.values())


def judge(kept: Path, arguments: Sequence[str]) -> int:
    """The exit status of the whole: 0 when nothing failed, or only few and none of them again."""
    failed = failures(kept)
    if len(failed) > MANY or not all(each.is_test for each in failed):
        print(
            f"\n{len(failed)} failed; not tried again, that is not a flake:",
            *(f"  FAILED {f.test}" for f in failed),
            sep="\n",
        )
        return 1
    flaky, again = [], []
    for number, each in enumerate(failed, 1):
        print(f"\n== once more, alone ({number} of {len(failed)}): {each.test}", flush=True)
        (flaky if each.passes_alone(arguments) else again).append(each)
    listed = LIST.read_text()
    for each in flaky:
        known = "listed in tests/FLAKY.md" if f"`{each.test}`" in listed else "not listed in tests/FLAKY.md yet"
        print(f"\nFLAKY {each.test}\n  It passed alone; {known}. The first time it failed\n{each.said}")
    for each in again:
        print(f"\nFAILED {each.test}: twice, the second time alone")
    if len(flaky) > ALLOWED:
        print(f"\n{len(flaky)} flaky tests: more than {ALLOWED} in one run fail it")
    return 1 if again or len(flaky) > ALLOWED else 0


if __name__ == "__main__":
    sys.exit(judge(Path(sys.argv[1]), sys.argv[2:]))
