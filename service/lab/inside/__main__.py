"""PID 1 of a lab: owns every namespace, mount, host and guest, so that its death is the end of all of them.

`python -m service.lab.inside '{json}'`, started by service/lab/lab.py under unshare(1) with its own mount, network
and pid namespaces.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from service.lab import cgroups, control
from service.lab.inside import topology
from service.lab.inside.supervisor import Supervisor
from service.lab.inside.topology import run


def private_mounts(scratch: Path) -> None:
    """Give the lab views of its own where the machine's would be seen or changed."""
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    # systemd-nspawn takes a pure unified tree here for what it is, whatever the machine mounts.
    run("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    scratch.mkdir(mode=0o700, exist_ok=True)
    for folder in (scratch, topology.NETNS_FOLDER, Path("/run/systemd")):
        folder.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(folder))


def start_internet(packages: str) -> None:
    """Start the servers outside, in their own namespace; returns when they listen."""
    argv = ["nsenter", f"--net={topology.NETNS_FOLDER / 'inet'}", "--", sys.executable]
    process = subprocess.Popen(
        [*argv, "-m", "service.lab.inside.inet", packages], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise SystemExit("the lab's internet did not start")


def supervise(config: dict[str, Any], listener: socket.socket) -> None:
    """Build the network and answer the control socket until the creator's end of the lifeline closes."""
    cgroup = cgroups.folder(Path("/sys/fs/cgroup"), config["id"])
    (cgroup / "lab").mkdir(parents=True)
    (cgroup / "lab" / "cgroup.procs").write_text("0")
    topology.build()
    supervisor = Supervisor(config, cgroup)
    start_internet(str(supervisor.place.repository))
    # Renamed only now that the lab can answer: who finds the socket finds a lab.
    (Path(config["folder"]) / "control.sock.new").rename(Path(config["folder"]) / "control.sock")
    threading.Thread(target=control.serve, args=(listener, supervisor.answer), daemon=True).start()
    if (lifeline := int(config["lifeline"])) >= 0:
        os.read(lifeline, 1)
        return
    threading.Event().wait()


def main() -> None:
    config = json.loads(sys.argv[1])
    for fd in config["held"]:  # locks: released by the kernel with the last process of ours
        os.set_inheritable(fd, False)
    folder = Path(config["folder"])
    private_mounts(folder / "inside")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(folder / "control.sock.new"))
        listener.listen(64)
        child = os.fork()
        if child == 0:
            supervise(config, listener)
            os._exit(0)
    # PID 1 reaps every orphan of the lab; when the supervisor ends, so does everything.
    with contextlib.suppress(ChildProcessError):
        while os.wait()[0] != child:
            pass


if __name__ == "__main__":
    main()
