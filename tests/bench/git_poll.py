#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a look at a repository without news costs: CPU of the service and its commands, compared with `git ls-remote`.

    tests/bench/git_poll.py [--files 1000] [--runs 25]

The repository is a local one, so what git does there counts for both. Prints one JSON object; times are CPU
milliseconds, medians, in turn; exit 1 where a look is above its goal.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from service.git.mirror import Mirror
from service.git.source import parse_source
from service.model.sources import Advanced, Unchanged

GOAL = 1.2
"""Times the CPU of `git ls-remote`."""


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU of this process and of all that it waited for."""

    def spent() -> float:
        found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in found) * 1000

    before = spent()
    work()
    return spent() - before


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True, timeout=120)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=25)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work, bare = Path(folder, "work"), Path(folder, "config.git")
        git("init", "-q", "-b", "main", str(work))
        (work / "hosts").mkdir()
        for number in range(given.files):
            (work / "hosts" / f"h{number}.yaml").write_text(f"host: h{number}\n")
        git("-C", str(work), "add", "-A")
        git("-C", str(work), "-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "-qm", "all")
        git("clone", "-q", "--bare", str(work), str(bare))
        room = Path(folder, "room")
        room.mkdir()
        mirror = Mirror(room, parse_source(str(bare), "main"))
        first = mirror.fetch(None)
        if not isinstance(first, Advanced):
            raise SystemExit(f"the first fetch ended as {first}")

        def look() -> None:
            if not isinstance(found := mirror.fetch(first.commit), Unchanged):
                raise SystemExit(f"a look without news ended as {found}")

        look()
        rows: dict[str, list[float]] = {"look": [], "ls-remote": []}
        for _ in range(given.runs):
            rows["look"].append(cpu_ms(look))
            rows["ls-remote"].append(cpu_ms(lambda: git("ls-remote", "-q", "--heads", str(bare), "refs/heads/main")))
    middle = {name: statistics.median(values) for name, values in rows.items()}
    ratio = round(middle["look"] / middle["ls-remote"], 2)
    print(json.dumps({
        "files": given.files, "runs": given.runs, "cpu_ms": {name: round(value, 2) for name, value in middle.items()},
        "times_ls_remote": ratio, "goal": GOAL, "met": ratio <= GOAL,
    }))  # fmt: skip
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
