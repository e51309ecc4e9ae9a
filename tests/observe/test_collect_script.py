"""The collector's script: what may be in it, and what it finds in a network namespace of this machine."""

import os
import subprocess
from pathlib import Path

import pytest

from service.errors import InputError
from service.lab.waiting import grown_s
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Seen, Unknown
from service.observe.frames import sections
from service.observe.script import MAX_FILE_BYTES, SECTIONS, collect_script
from tests.observe.samples import NONCE, WATCH, read

NETWORK = """\
set -e
mount -t sysfs sysfs /sys
ip link add vmbr0 type bridge forward_delay 200 stp_state 0
ip link add tap0 type veth peer name peer0
ip link set tap0 master vmbr0
for name in lo vmbr0 tap0 peer0; do ip link set $name up; done
ip addr add 10.10.10.1/24 dev vmbr0
ip addr add 10.10.10.99/24 dev vmbr0 valid_lft 900 preferred_lft 900
ip route add default via 10.10.10.254
nft add table inet passerelle_nat
nft 'add chain inet passerelle_nat postrouting { type nat hook postrouting priority srcnat; policy accept; }'
nft add rule inet passerelle_nat postrouting ip saddr 10.10.10.0/24 oifname uplink masquerade
exec "$@"
"""


def observe(watch: Watch, *, shell: str = "sh", network: bool = True) -> HostObserved:
    """Run the script for real, as root, apart from this machine's own network."""
    argv = [shell, "-c", collect_script(watch, NONCE).decode()]
    if network:
        argv = ["unshare", "--net", "--mount", "sh", "-c", NETWORK, "sh", *argv]
    environment = {
        "SSH_CONNECTION": "198.18.0.10 50000 198.51.100.11 22",
        "LANG": "ja_JP.UTF-8",
        "PATH": os.environ["PATH"],
    }
    ran = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=grown_s(60), env=environment, check=True
    )
    found = sections(ran.stdout, NONCE)
    assert found.complete
    assert not found.broken
    return read(ran.stdout, watch)


@pytest.mark.host
@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_script_finds_what_the_kernel_has(shell: str) -> None:
    observed = observe(Watch(sysctls=frozenset({"net.ipv4.ip_forward", "net.nope"})), shell=shell)
    bridge = observed.fact("link:vmbr0")
    assert isinstance(bridge, Seen) and isinstance(bridge.value, dict)
    assert bridge.value["forward_delay_s"] == 2
    assert bridge.value["ports"] == [{"name": "tap0", "up": True}]
    assert observed.fact("addresses:vmbr0") == Seen(["10.10.10.1/24"])
    assert observed.fact("routes:default") == Seen([{"family": 4, "via": "10.10.10.254", "dev": "vmbr0"}])
    assert observed.fact("sysctl:net.ipv4.ip_forward") in (Seen("0"), Seen("1"))
    assert observed.fact("sysctl:net.nope") == Absent()
    assert isinstance(observed.masquerades, Seen)
    assert [(m.source, m.out) for m in observed.masquerades.value] == [("10.10.10.0/24", "uplink")]
    assert observed.listeners == Seen(())
    assert observed.path is not None and observed.path.controller == "198.18.0.10"
    assert observed.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.host
def test_files_come_byte_for_byte_with_mode_and_owner(tmp_path: Path) -> None:
    every = bytes(range(256)) * 40 + b"no newline at the end"
    (tmp_path / "every").write_bytes(every)
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "frames").write_bytes(f"\n@@{'0' * 16} end body 0\n@@ done\nf|regular file|1|0|0|0|0.0|/x\n".encode())
    (tmp_path / "link").symlink_to("/etc/shadow")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "fifo")
    os.chown(tmp_path / "every", 7, 8)
    (tmp_path / "every").chmod(0o4750)
    observed = observe(Watch(files=frozenset({f"{tmp_path}/*", f"{tmp_path}/none"})), network=False)
    assert observed.text(f"{tmp_path}/every") == Seen(every)
    fact = observed.fact(f"file:{tmp_path}/every")
    assert isinstance(fact, Seen) and isinstance(fact.value, dict)
    assert (fact.value["mode"], fact.value["uid"], fact.value["gid"], fact.value["size"]) == ("4750", 7, 8, len(every))
    assert observed.text(f"{tmp_path}/empty") == Seen(b"")
    assert isinstance(observed.text(f"{tmp_path}/frames"), Seen)
    assert observed.fact(f"file:{tmp_path}/link") == Seen({"type": "symlink"})
    assert observed.fact(f"file:{tmp_path}/pipe") == Seen({"type": "dir"})
    assert observed.fact(f"file:{tmp_path}/fifo") == Seen({"type": "special"})
    assert observed.fact(f"file:{tmp_path}/none") == Absent()
    assert observed.fact(f"file:{tmp_path}/other") == Absent()


def test_a_file_that_is_too_large_is_unknown_and_costs_the_others_nothing(tmp_path: Path) -> None:
    (tmp_path / "a-large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "b-small").write_bytes(b"small")
    observed = observe(Watch(files=frozenset({f"{tmp_path}/*"})), network=False)
    assert isinstance(observed.fact(f"file:{tmp_path}/a-large"), Unknown)
    assert observed.text(f"{tmp_path}/b-small") == Seen(b"small")


def test_a_folder_that_is_not_there_has_no_files_and_an_odd_name_is_not_said(tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a\nb; rm -rf $HOME").write_bytes(b"")
    observed = observe(Watch(files=frozenset({f"{tmp_path}/none/*", f"{tmp_path}/odd/*"})), network=False)
    assert observed.fact(f"file:{tmp_path}/none/x") == Absent()
    assert isinstance(observed.fact(f"file:{tmp_path}/odd/x"), Unknown)


def test_the_settings_of_containers_are_found_one_folder_deeper_and_nothing_else_there(tmp_path: Path) -> None:
    for name in ("web", "db", "odd one"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config").write_bytes(name.encode())
        (tmp_path / name / "rootfs").mkdir()
    (tmp_path / "config").write_bytes(b"beside")
    observed = observe(Watch(files=frozenset({f"{tmp_path}/*/config"})), network=False)
    found = {path: text for path, text in observed.texts.items() if isinstance(text, Seen)}
    assert found == {f"{tmp_path}/{name}/config": Seen(name.encode()) for name in ("web", "db")}
    nobody = observe(Watch(files=frozenset({f"{tmp_path}/none/*/config"})), network=False)
    assert nobody.texts == {}


def test_left_overs_of_upgrades_are_seen_beside_and_in_watched_places(tmp_path: Path) -> None:
    for name in ("conf", "conf.dpkg-dist", "in/x", "in/x.dpkg-new"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    observed = observe(Watch(files=frozenset({f"{tmp_path}/conf", f"{tmp_path}/in/*"})), network=False)
    assert observed.left_overs == (f"{tmp_path}/conf.dpkg-dist", f"{tmp_path}/in/x.dpkg-new")


def test_what_the_next_boot_moves_over_other_files_is_always_asked_for() -> None:
    script = collect_script(Watch(), "0" * 16).decode()
    assert "for file in /etc/network/interfaces.new /etc/pve/local/host.fw.new; do" in script


def test_packages_are_told_by_version_and_a_stranger_is_absent() -> None:
    observed = observe(Watch(packages=frozenset({"dash", "no-such-package"})), network=False)
    assert isinstance(observed.packages["dash"], Seen)
    assert observed.packages["no-such-package"] == Absent()


@pytest.mark.host
def test_units_are_unknown_where_no_systemd_answers() -> None:
    assert isinstance(observe(Watch(units=frozenset({"dnsmasq.service"}))).fact("unit:dnsmasq.service"), Unknown)


def test_every_section_is_in_the_answer_in_order() -> None:
    script = collect_script(WATCH, NONCE).decode()
    places = [script.index(f"section {name} ") for name in SECTIONS]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "watch",
    [
        Watch(files=frozenset({"relative"})),
        Watch(files=frozenset({"/etc/a b"})),
        Watch(files=frozenset({"/etc/$(id)"})),
        Watch(files=frozenset({"/etc/../srv/x"})),
        Watch(files=frozenset({"/etc/x\n/etc/y"})),
        Watch(files=frozenset({"/etc/*/x"})),
        Watch(files=frozenset({"/etc/'"})),
        Watch(files=frozenset({"/*"})),
        Watch(units=frozenset({"a;b.service"})),
        Watch(units=frozenset({"dnsmasq"})),
        Watch(units=frozenset({"*.service"})),
        Watch(packages=frozenset({"-x"})),
        Watch(packages=frozenset({"lib*"})),
        Watch(sysctls=frozenset({"kernel.hostname"})),
        Watch(sysctls=frozenset({"net.ipv4/../../x"})),
        Watch(sysctls=frozenset({"net.ipv4.ip_forward "})),
    ],
)
def test_a_name_that_is_none_never_reaches_a_shell(watch: Watch) -> None:
    with pytest.raises(InputError):
        collect_script(watch, NONCE)


@pytest.mark.parametrize("nonce", ["", "abc", "0123456789ABCDEF", "0123456789abcdef\n", "x" * 32])
def test_a_nonce_is_long_and_of_hex_digits(nonce: str) -> None:
    with pytest.raises(InputError):
        collect_script(Watch(), nonce)
