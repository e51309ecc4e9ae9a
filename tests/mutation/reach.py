"""Which tests reach which lines of a package: {test: {file: lines}}, in this process and in the hosts' archive.

    Reach(tree, package)        `begin()`, `next(test)` before each test and each shared fixture, `end() -> Reached`
    probe(tree, notes)          make the archive of a tree note each line that it runs first, in whatever process

coverage.py says the lines of this process. The file that runs on hosts is another process without any library: what is
put in front of its `__main__.py` in a copy of the tree notes them itself.
"""

from collections import defaultdict
from pathlib import Path

import coverage

Reached = dict[str, dict[str, set[int]]]
HOSTSIDE = "service/hostside/"
PROBE = """\
import os as _os, sys as _sys
_seen = set()
def _line(frame, event, _argument):
    spot = (frame.f_code.co_filename, frame.f_lineno)
    if spot not in _seen:
        _seen.add(spot)
        notes = _os.open({notes!r}, _os.O_WRONLY | _os.O_APPEND | _os.O_CREAT)
        _os.write(notes, (spot[0].rpartition("/")[2] + " %d\\n" % spot[1]).encode())
        _os.close(notes)
    return _line
_sys.settrace(lambda frame, _event, _argument: _line if "service/hostside/" in frame.f_code.co_filename else None)
"""


def probe(tree: Path, notes: Path) -> None:
    """Once for a tree, before anything of it is imported."""
    start = tree / HOSTSIDE / "__main__.py"
    start.write_text(PROBE.format(notes=str(notes)) + start.read_text(encoding="utf-8"), encoding="utf-8")


class Reach:
    """Collects while tests run, one after the other."""

    def __init__(self, tree: Path, package: str, notes: Path) -> None:
        self._tree, self._notes = tree, notes
        self._coverage = coverage.Coverage(data_file=None, source=[str(tree / "service" / package)], config_file=False)
        self._noted: Reached = defaultdict(lambda: defaultdict(set))
        self._read_bytes, self._test = 0, ""

    def begin(self) -> None:
        self._coverage.start()

    def next(self, test: str) -> None:
        """What runs from now on is this test's."""
        self._take_notes()
        self._test = test
        self._coverage.switch_context(test)

    def end(self) -> Reached:
        self._take_notes()
        self._coverage.stop()
        data = self._coverage.get_data()
        for name in data.measured_files():
            file = str(Path(name).relative_to(self._tree))
            for line, tests in data.contexts_by_lineno(name).items():
                for test in tests:
                    self._noted[test][file].add(line)
        return self._noted

    def _take_notes(self) -> None:
        if not self._notes.exists():
            return
        with self._notes.open("rb") as notes:
            notes.seek(self._read_bytes)
            new = notes.read()
        self._read_bytes += len(new)
        for row in new.decode().splitlines():
            name, _, line = row.partition(" ")
            self._noted[self._test][HOSTSIDE + name].add(int(line))
