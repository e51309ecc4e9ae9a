"""The lab's beginning and end: nothing shared between labs, nothing left of a dead one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import LabError
from service.lab import Lab, image, preflight, state
from service.lab.apt import SUITES
from service.lab.cgroups import PREFIX
from service.lab.preflight import cgroup2_mount
from service.lab.waiting import wait_for

pytestmark = pytest.mark.lab(minutes=1)

KINDS_OF_NAMESPACE = ("net", "mnt", "pid")

CREATOR = """
import sys, time
from service.lab import Lab
lab = Lab.up(sys.argv[1], hosts=["pve1"], wait=False)
print(lab.pid, flush=True)
sys.stdin.read()
"""


def name(what: str) -> str:
    return f"{what}-{os.getpid()}"


def namespaces(pid: int) -> set[str]:
    """The network, mount and pid namespaces of a process, by number; those of a dead one are empty."""
    found = set()
    for kind in KINDS_OF_NAMESPACE:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
        except OSError:
            continue
    return found


def inhabitants(of: set[str]) -> list[int]:
    """All processes of this machine that live in one of these namespaces."""
    pids = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]
    return [pid for pid in pids if namespaces(pid) & of]


def all_namespaces(lab: Lab) -> set[str]:
    """Every namespace that the lab made, its hosts' and guests' too."""
    own: set[str] = set()
    todo = [lab.pid]
    while todo:
        pid = todo.pop()
        own |= namespaces(pid)
        todo += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own - namespaces(os.getpid())


@pytest.fixture
def busy_lab() -> Iterator[Lab]:
    """A lab of the test's own with a host and a running guest, instructed to outlive its creator."""
    running = Lab.up(name("busy"), hosts=["pve1"], outlive=True)
    try:
        host = running.host("pve1")
        host.sh("ip link add vmbr0 type bridge")
        host.guest_add("box", sort="static", address="10.10.10.50/24").wait_for_address()
        yield running
    finally:
        running.down()


def test_a_killed_lab_leaves_no_process_namespace_mount_or_link_and_the_next_call_its_cgroups(busy_lab: Lab) -> None:
    made = all_namespaces(busy_lab)
    folder, cgroup = busy_lab.folder, busy_lab.cgroup
    assert len(inhabitants(made)) > 5
    assert cgroup.is_dir()
    outer = int(Path(f"/proc/{busy_lab.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(outer, signal.SIGKILL)
    wait_for(lambda: not inhabitants(made), "the end of every process in the lab's namespaces", 30)
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    assert PREFIX not in Path("/proc/self/mounts").read_text()
    links = subprocess.run(
        ["ip", "-o", "link"], env={"PATH": preflight.search_path()}, capture_output=True, text=True, check=True
    ).stdout
    assert "vb-pve1" not in links
    state.sweep()
    assert not cgroup.exists()
    assert not folder.exists()


def test_a_lab_dies_with_its_creator_even_by_sigkill() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CREATOR, name("orphan")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as creator:
        assert creator.stdout is not None
        made = namespaces(int(creator.stdout.readline())) - namespaces(os.getpid())
        assert inhabitants(made)
        creator.kill()
    wait_for(lambda: not inhabitants(made), "the end of the lab", 30)
    state.sweep()
    assert name("orphan") not in state.running()


def test_two_labs_have_the_same_addresses_and_do_not_meet() -> None:
    with Lab.up(name("left")) as left, Lab.up(name("right")) as right:
        one, other = left.host("pve1"), right.host("pve1")
        assert one.address == other.address
        assert one.host_key != other.host_key
        one.write("/etc/side", "left")
        other.write("/etc/side", "right")
        assert (one.read("/etc/side"), other.read("/etc/side")) == (b"left", b"right")
        with one.faults.partition():
            assert not one.ssh_answers(timeout_s=0.5)
            assert other.ssh_answers()
        assert {left.name, right.name} <= set(state.running())
    assert not {left.name, right.name} & set(state.running())


def test_a_running_lab_is_found_by_name_and_its_name_is_taken(busy_lab: Lab) -> None:
    found = Lab.attach(busy_lab.name)
    assert found.host("pve1").sh("hostname") == "pve1\n"
    assert found.host("pve1").guest("box").address() == "10.10.10.50"
    with pytest.raises(LabError, match="runs already"):
        Lab.up(busy_lab.name)
    assert found.host("pve1").exec(["true"]).returncode == 0


def test_a_lab_that_does_not_run_is_an_error_that_says_how_to_start_it() -> None:
    with pytest.raises(LabError, match="passerelle lab up --name never"):
        Lab.attach("never")
    with pytest.raises(LabError, match="is not a name for a lab"):
        Lab.attach("../etc")


def test_a_sweep_leaves_living_labs_alone(busy_lab: Lab) -> None:
    state.sweep()
    assert busy_lab.host("pve1").exec(["true"]).returncode == 0
    assert busy_lab.cgroup.is_dir()


def test_a_sweep_removes_cgroups_that_no_lab_owns() -> None:
    left_over = cgroup2_mount() / f"{PREFIX}gone-{os.getpid()}" / "pve1" / "payload"
    left_over.mkdir(parents=True)
    state.sweep()
    assert not left_over.parents[1].exists()


@pytest.mark.parametrize("suite", SUITES)
def test_the_image_comes_from_the_cache_and_names_no_package_source_of_this_machine(suite: str) -> None:
    built = image.ensure(suite)
    assert image.ensure(suite) == built
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
    ).stdout
    sites = {site.split("//")[-1].split("/")[0] for site in shown.split()}
    files = [p for folder in ("etc/apt", "var/lib/apt") for p in (built.root / folder).rglob("*") if p.is_file()]
    assert sites
    assert [f for f in files for site in sites if site.encode() in f.read_bytes() or site in f.name] == []


def test_the_preflight_tells_what_the_kernel_and_its_limits_lack() -> None:
    assert preflight.lacks(1) == []
    assert preflight.missing_link_types(("bridge", "nosuchlink")) == ["nosuchlink"]
    (told,) = preflight.lacks(10_000)
    assert "sysctl fs.inotify.max_user_instances=" in told
