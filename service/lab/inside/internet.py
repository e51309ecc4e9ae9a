"""Servers of the lab's internet that come and go while the lab runs."""

import subprocess
import threading
from pathlib import Path

from service.lab.inside import topology
from service.lab.waiting import grown_s


class Internet:
    """Programs in the namespace `inet` by name, each with a log in the lab's folder."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._one_at_a_time = threading.Lock()

    def serve(self, name: str, argv: list[str]) -> None:
        """End the server of this name, if there is one, and start another with an empty log if `argv` has words."""
        with self._one_at_a_time:
            if (old := self._running.pop(name, None)) is not None:
                old.kill()
                old.wait(grown_s(10))
            if not argv:
                return
            within = ["nsenter", f"--net={topology.NETNS_FOLDER / 'inet'}", "--", *argv]
            with (self._runtime / f"{name}.log").open("wb") as log:
                self._running[name] = subprocess.Popen(within, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
