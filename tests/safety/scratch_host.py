"""A scratch host that can be copied: prepared once, then used again for every run of a harness."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.hostside.scratch import ID, Scratch, kill, process_state, wait_for

STATE = Path("var/lib/passerelle")
PATIENCE_S = 90.0  # of one verb; the longest one tries for some 25 s before it gives up


class ScratchHost(Scratch):
    """A scratch host as the harnesses use it: a verb may die or hang, a journal may be damaged."""

    @classmethod
    def at(cls, folder: Path, file: Path) -> "ScratchHost":
        """The host that is in a folder."""
        host = cls.__new__(cls)
        host._place(folder, file)
        return host

    def copy(self, folder: Path) -> "ScratchHost":
        """The same host in another folder, instead of what is there."""
        shutil.rmtree(folder, ignore_errors=True)
        copied = super().copy(folder)
        assert isinstance(copied, ScratchHost)
        return copied

    def verb(self, *words: str, give: Any = None, before: tuple[str, ...] = ()) -> tuple[int, dict[str, Any], str]:
        """Run a verb, `before` in front of it: (exit code, its result or {}, what it wrote on stderr).

        TimeoutError when it does not end; it is killed then, with what it started.
        """
        (self.folder / "stdin").write_text(json.dumps(give) if give is not None else "")
        with (self.folder / "stdin").open("rb") as stdin, (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [*before, *self.command(*words)],
                stdin=stdin,
                stdout=said,
                stderr=subprocess.PIPE,
                env={},
                start_new_session=True,
            )
            try:
                _, told = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise TimeoutError(f"{' '.join(words)} did not end within {PATIENCE_S:.0f} s") from None
        lines = (self.folder / "said").read_text().splitlines()
        result: dict[str, Any] = {}
        if lines and '"event": "result"' in lines[-1] and lines[-1].endswith("}"):
            result = json.loads(lines[-1])
        return process.returncode, result, told.decode()

    def stop_and_kill(self, point: str, *words: str, give: Any = None) -> None:
        """Let a verb (or the run that a begin starts) come to a named point and kill it there."""
        run = point.startswith(("step-", "verifying", "applied"))
        process = self.start(*words, give=give, environment=self.stop_at(point))
        stopped = self.stopped(None if run else process)
        for pid in {process.pid, stopped}:
            kill(pid)
        process.wait()
        (self.root / "run/passerelle-test").unlink()

    def settle_run(self) -> None:
        """Wait until the detached run has ended, if one was started."""
        path = self.model / "run.pid"
        pid = path.read_text() if path.exists() else ""
        if pid:
            wait_for(lambda: process_state(int(pid)) in ("", "Z"), PATIENCE_S)

    def found_journal(self, identifier: str = ID) -> dict[str, Any] | None:
        """The journal as its bytes are; None when there is none. ValueError when it is damaged."""
        try:
            found = json.loads((self.root / STATE / "txn" / identifier / "journal.json").read_bytes())
        except FileNotFoundError:
            return None
        if not isinstance(found, dict) or not isinstance(found.get("state"), str):
            raise ValueError("the journal is not a journal")
        return found

    def refused_calls(self) -> list[str]:
        """Commands that the fakes do not know: the harness would prove nothing with them."""
        path = self.model / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if '"refused"' in line]

    def late_deadline(self) -> None:
        """Let the deadline be now, if there is a journal to say so."""
        try:
            journal = self.found_journal()
        except ValueError:
            return
        if journal is not None and journal["state"] != "staged":
            self.pass_deadline()

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
