#!/bin/sh
# After a write to a cgroup's cgroup.kill, each process that is cloned into that cgroup (clone3, CLONE_INTO_CGROUP) is
# killed at birth, however much later it comes; a process that is forked elsewhere and moved there lives on.
# Seen with Linux 6.18.44. cgroup.kill is meant for the processes that are there when it is written (cgroup-v2 document).
#
# It meets systemd: since 256 `systemctl kill --signal=SIGKILL UNIT` writes to cgroup.kill, and it clones its
# children into the unit's cgroup. With 257 (Debian 13) every later ExecStart= and the ExecStopPost= of the unit end with
# SIGKILL in the same instant, though each has a "-" before it; with 252 (Debian 12) they run. So a further ExecStart= is no
# second try after such a kill. A crash, `kill`, the OOM killer and --kill-whom=main are not concerned.
#
# Alone: one new cgroup of cgroup2 for a second, removed at the end. As root. Ends with 0 while Linux behaves so, with 1
# where it does not any more, with 2 where it cannot be seen (no cgroup2 that may be written).
set -eu
export LC_ALL=C
tree=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$tree" ] || { echo "no cgroup2 is mounted here"; exit 2; }
group=$(mktemp -d "$tree/probe.XXXXXX") || exit 2
trap 'rmdir "$group"' EXIT
uname -sr
said=$(python3 -I -S - "$group" <<'END'
import ctypes, os, sys, time

group, libc = sys.argv[1], ctypes.CDLL(None, use_errno=True)
folder = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
CLONE3, CLONE_INTO_CGROUP, SIGCHLD = 435, 0x200000000, 17


def ending(pid):
    status = os.waitpid(pid, 0)[1]
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"


def cloned():
    arguments = (ctypes.c_uint64 * 11)(CLONE_INTO_CGROUP, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, folder)
    pid = libc.syscall(CLONE3, arguments, ctypes.sizeof(arguments))
    if pid < 0:
        sys.exit(f"clone3: {os.strerror(ctypes.get_errno())}")
    if pid == 0:
        time.sleep(0.1)
        os._exit(7)
    return ending(pid)


def moved():
    pid = os.fork()
    if pid == 0:
        with open(f"{group}/cgroup.procs", "w") as procs:
            procs.write("0")
        time.sleep(0.1)
        os._exit(7)
    return ending(pid)


print(f"before: cloned {cloned()}, moved {moved()}")
with open(f"{group}/cgroup.kill", "w") as kill:
    kill.write("1")
time.sleep(0.5)
print(f"later: cloned {cloned()}, moved {moved()}")
END
) || { echo "$said"; exit 2; }
echo "$said"
[ "$said" = "before: cloned exit 7, moved exit 7
later: cloned signal 9, moved exit 7" ] || { echo "the behaviour changed"; exit 1; }
