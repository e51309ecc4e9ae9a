import contextlib

import pytest

from service.lab import Host

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("direction", ["both", "to_host", "from_host"])
def test_a_partition_silences_ssh_and_ends_with_its_block(shared_host: Host, direction: str) -> None:
    with shared_host.faults.partition(direction):  # type: ignore[arg-type]  # one of the three, from the line above
        assert not shared_host.ssh_answers(timeout_s=0.5)
    assert shared_host.ssh_answers()


def test_faults_nest_and_each_undoes_only_itself(shared_host: Host) -> None:
    with shared_host.faults.partition("to_host"):
        with shared_host.faults.loss(50), shared_host.faults.slow_line(20):
            pass
        assert not shared_host.ssh_answers(timeout_s=0.5)
    assert shared_host.ssh_answers()
    assert "fault" not in shared_host.lab.run_in("provider", ["nft", "list", "tables"], check=True).stdout


def test_loss_drops_some_packets_and_lets_some_through(shared_host: Host) -> None:
    flood = ["ping", "-q", "-c", "200", "-i", "0.005", "-W", "1", "198.18.0.10"]
    with shared_host.faults.loss(50, "from_host"):
        report = shared_host.exec(flood).stdout
    received = int(report.split(" received")[0].split()[-1])
    assert 40 < received < 160


def test_an_mtu_black_hole_passes_small_packets_and_swallows_large_ones(shared_host: Host) -> None:
    ping = ["ping", "-c1", "-W1", "198.18.0.10"]
    with shared_host.faults.mtu_black_hole(1200):
        assert shared_host.exec([*ping, "-s", "100"]).returncode == 0
        assert shared_host.exec([*ping, "-s", "1300"]).returncode == 1
    assert shared_host.exec([*ping, "-s", "1300"]).returncode == 0


def test_a_reset_refuses_ssh_at_once(shared_host: Host) -> None:
    with shared_host.faults.tcp_reset(22), pytest.raises(ConnectionRefusedError):
        shared_host.dial(timeout_s=10)


def test_a_cut_connection_is_dead_at_the_controllers_end(shared_host: Host) -> None:
    with shared_host.dial() as connection:
        assert connection.recv(8) == b"SSH-2.0-"
        shared_host.faults.cut_connections()
        with pytest.raises(ConnectionError):
            while connection.recv(4096):
                pass


def test_a_pulled_cable_takes_the_hosts_carrier(shared_host: Host) -> None:
    with shared_host.faults.cable_down():
        assert shared_host.sh("cat /sys/class/net/enp1s0/carrier") == "0\n"
        assert not shared_host.ssh_answers(timeout_s=0.5)
    shared_host.wait_for_ssh(20)


def test_a_hanging_host_accepts_connections_and_says_nothing(shared_host: Host) -> None:
    with shared_host.faults.hang(), shared_host.dial() as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert shared_host.ssh_answers()


def test_a_stopped_sshd_accepts_connections_and_says_nothing(shared_host: Host) -> None:
    with shared_host.faults.sshd_stopped(), shared_host.dial() as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert shared_host.ssh_answers()


def test_a_read_only_disk_refuses_every_write_and_ends_with_its_block(shared_host: Host) -> None:
    with shared_host.faults.read_only_disk():
        for folder in ("/etc", "/var/lib", "/usr/local", "/root"):
            refused = shared_host.exec(["touch", f"{folder}/probe"])
            assert "Read-only file system" in refused.stderr
    shared_host.sh("touch /etc/probe && rm /etc/probe")


def test_a_read_only_disk_is_writable_again_after_a_power_cut(host: Host) -> None:
    with contextlib.ExitStack() as faults:
        faults.enter_context(host.faults.read_only_disk())
        host.power_cut()
        host.sh("touch /etc/probe")
    host.sh("touch /etc/probe")


def test_a_full_disk_truncates_what_is_written_without_care(shared_host: Host) -> None:
    shared_host.sh("echo before > /etc/careless")
    with shared_host.faults.full_disk():
        shared_host.sh("yes | head -c 200000 > /etc/careless", check=False)
        assert len(shared_host.read("/etc/careless")) < 200000
        assert "No space left" in shared_host.exec(["sh", "-c", "yes | head -c 200000 > /etc/careless"]).stderr
    shared_host.sh("yes | head -c 200000 > /etc/careless; rm /etc/careless")


def test_a_disk_without_inodes_refuses_new_files_only(shared_host: Host) -> None:
    shared_host.sh("echo old > /etc/old")
    with shared_host.faults.no_inodes():
        assert "No space left" in shared_host.exec(["sh", "-c", "echo new > /etc/new"]).stderr
        shared_host.sh("echo longer >> /etc/old")
    shared_host.sh("echo new > /etc/new; rm /etc/old /etc/new")


def test_a_locked_apt_says_who_holds_the_lock(shared_host: Host) -> None:
    with shared_host.faults.apt_locked():
        refused = shared_host.exec(["apt-get", "remove", "--yes", "tcpdump"])
        assert refused.returncode == 100
        assert "/var/lib/dpkg/lock-frontend" in refused.stderr
    assert shared_host.exec(["apt-get", "--simulate", "remove", "tcpdump"]).returncode == 0
