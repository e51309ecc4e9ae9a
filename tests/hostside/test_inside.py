"""Commands inside a guest: which container it is, and what a guest may print, leave behind, or never answer."""

import time
from pathlib import Path

import pytest

from service.hostside.errors import BadInput, Trouble
from service.hostside.host import Host
from service.hostside.inside import Guest, find_guest, inside, is_running

ATTACH = """#!/bin/sh
while [ "$1" != -- ]; do printf '%s ' "$1" >>"$0.said"; shift; done
shift
exec "$@"
"""
MAC = "bc:24:11:00:00:02"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host whose lxc-attach and pct run the command on this machine."""
    for name, text in {"lxc-attach": ATTACH, "pct": ATTACH, "lxc-info": "#!/bin/sh\necho RUNNING\n"}.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    return Host(str(tmp_path), str(tmp_path / "bin"))


def settings(host: Host, path: str, text: str) -> None:
    file = Path(host.path(path))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


BOX = Guest("proxy", "lxc", "box")


def test_a_container_is_found_by_its_mac_address_whatever_its_name(host: Host) -> None:
    assert find_guest(host, f"proxy@{MAC}") is None
    settings(host, "/var/lib/lxc/box/config", f"lxc.net.0.type = veth\nlxc.net.0.hwaddr = {MAC.upper()}\n")
    settings(host, "/var/lib/lxc/other/config", f"# lxc.net.0.hwaddr = {MAC}\nlxc.net.0.hwaddr = bc:24:11:00:00:03\n")
    assert find_guest(host, f"proxy@{MAC}") == BOX
    settings(host, "/var/lib/lxc/copy/config", f"lxc.net.0.hwaddr={MAC}\n")
    with pytest.raises(Trouble, match="box, copy all have"):
        find_guest(host, f"proxy@{MAC}")


def test_on_proxmox_a_number_or_the_mac_address_that_counts_now_finds_it(host: Host) -> None:
    settings(host, "/etc/pve/lxc/105.conf", f"net0: name=eth0,bridge=vmbr0,hwaddr={MAC.upper()},ip=dhcp\n")
    settings(host, "/etc/pve/lxc/106.conf", f"hostname: x\n[old]\nnet0: name=eth0,hwaddr={MAC}\n")
    assert find_guest(host, f"proxy@{MAC}") == Guest("proxy", "pct", "105")
    assert find_guest(host, "proxy@106") == Guest("proxy", "pct", "106")
    assert find_guest(host, "proxy@107") is None


@pytest.mark.parametrize(
    "key", ["proxy", "proxy@", "../x@105", f"Proxy@{MAC}", "proxy@105;reboot", f"a b@{MAC}", "-p@105"]
)
def test_another_text_is_no_guest(host: Host, key: str) -> None:
    with pytest.raises(BadInput):
        find_guest(host, key)


def test_a_command_gets_its_input_a_plain_environment_and_its_own_words(host: Host) -> None:
    ran = inside(host, BOX, ["sh", "-c", 'cat; echo "$0 $1"; env; exit 3', "a b", "$(reboot)"], text="given\n")
    assert ran.code == 3
    assert ran.out.splitlines()[:2] == ["given", "a b $(reboot)"]
    environment = {line.partition("=")[0] for line in ran.out.splitlines()[2:]} - {"PWD", "SHLVL", "_"}
    assert environment == {"PATH", "LC_ALL", "DEBIAN_FRONTEND"}
    said = Path(host.bin_dir or "", "lxc-attach.said").read_text().split()
    assert said == ["-n", "box", "--clear-env"]


def test_what_it_prints_is_limited(host: Host) -> None:
    with pytest.raises(Trouble, match="printed more than 1000 bytes"):
        inside(host, BOX, ["sh", "-c", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"], most=1000)


def test_a_guest_that_does_not_answer_costs_the_time_that_was_given(host: Host) -> None:
    with pytest.raises(Trouble, match="did not end within 0 s"):
        inside(host, BOX, ["sleep", "60"], timeout_s=0.2)
    with pytest.raises(Trouble, match="did not end within 0 s"):
        inside(host, BOX, ["sh", "-c", "exec >/dev/null 2>&1; sleep 60"], timeout_s=0.2)


def test_a_process_that_is_left_behind_with_the_output_open_is_not_waited_for(host: Host) -> None:
    began = time.monotonic()
    ran = inside(host, BOX, ["sh", "-c", "setsid sleep 20 & echo done"], timeout_s=15.0)
    assert (ran.code, ran.out) == (0, "done\n")
    assert time.monotonic() - began < 10


def test_a_state_that_is_neither_is_trouble(host: Host) -> None:
    assert is_running(host, BOX)
    Path(host.bin_dir or "", "lxc-info").write_text("#!/bin/sh\necho FROZEN\n")
    with pytest.raises(Trouble, match="FROZEN"):
        is_running(host, BOX)
