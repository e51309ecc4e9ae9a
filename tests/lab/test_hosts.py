import json
import subprocess

import pytest

from service.errors import LabError
from service.lab import Host, Lab
from tests.lab_fixtures import FreshHost

pytestmark = pytest.mark.lab(minutes=1)


def ssh(host: Host, *command: str, key: str = "") -> subprocess.CompletedProcess[str]:
    """A real ssh(1) from the controller's network that trusts nothing but the key the lab reported."""
    known = host.lab.folder / "known_hosts"
    known.write_text(f"{host.address} {key or host.host_key}\n")
    options = ["StrictHostKeyChecking=yes", f"UserKnownHostsFile={known}", "BatchMode=yes", "ConnectTimeout=10"]
    argv = ["ssh", "-F", "none", "-i", str(host.lab.key), *(f"-o{option}" for option in options)]
    return host.lab.run_in("ctl", [*argv, f"root@{host.address}", *command])


def test_a_host_boots_with_every_unit_started(shared_host: Host) -> None:
    assert shared_host.wait_until_up() == "running"
    assert shared_host.failed_units() == []
    assert shared_host.sh("cat /proc/1/comm") == "systemd\n"


def test_root_logs_in_over_ssh_with_the_labs_key_and_the_host_key_that_the_lab_told(shared_host: Host) -> None:
    assert ssh(shared_host, "hostname").stdout == "shared\n"


def test_ssh_refuses_a_host_key_that_is_not_the_labs(shared_host: Host) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    refused = ssh(shared_host, "hostname", key=other)
    assert refused.returncode == 255
    assert refused.stdout == ""


def test_the_uplink_has_its_real_name_a_static_address_and_one_default_route(shared_host: Host) -> None:
    (link,) = json.loads(shared_host.sh("ip -j -4 addr show dev enp1s0"))
    addresses = [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]]
    routes = json.loads(shared_host.sh("ip -j route show default"))
    assert addresses == [f"{shared_host.address}/24"]
    assert [(r["gateway"], r["dev"]) for r in routes] == [("198.51.100.1", "enp1s0")]


def test_bind_serves_port_53_and_dnsmasq_is_not_installed(shared_host: Host) -> None:
    assert '"named"' in shared_host.sh("ss -H -lnup sport = :53")
    assert shared_host.exec(["systemctl", "is-enabled", "named"]).stdout == "enabled\n"
    assert shared_host.exec(["dpkg-query", "-W", "dnsmasq"]).returncode == 1


def test_link_settings_are_writable_and_the_machines_kernel_is_not(host: Host) -> None:
    host.sh("ip link add vmbr0 type bridge; echo 1400 > /sys/class/net/vmbr0/mtu")
    assert host.sh("cat /sys/class/net/vmbr0/mtu") == "1400\n"
    assert host.exec(["sh", "-c", "echo 1 > /sys/kernel/profiling"]).returncode != 0
    assert host.exec(["sh", "-c", "echo 99 > /proc/sys/vm/swappiness"]).returncode != 0


def test_the_console_carries_input_output_and_exit_code_while_ssh_is_locked_out(host: Host) -> None:
    host.sh("nft add table inet shut; nft add chain inet shut in '{type filter hook input priority 0; policy drop;}'")
    assert not host.ssh_answers(timeout_s=0.5)
    done = host.exec(["sh", "-c", "cat; echo oops >&2; exit 7"], input="l'entrée\n")
    assert (done.stdout, done.stderr, done.returncode) == ("l'entrée\n", "oops\n", 7)
    host.sh("nft delete table inet shut")
    assert host.ssh_answers()


def test_a_console_command_that_takes_too_long_is_an_error(shared_host: Host) -> None:
    with pytest.raises(LabError, match=r"`sleep 60` on shared took more than 0\.2 s"):
        shared_host.exec(["sleep", "60"], timeout_s=0.2)


def test_a_reboot_is_a_new_boot_with_the_old_disk_and_an_empty_kernel(host: Host) -> None:
    host.write("/etc/kept", "yes\n")
    host.sh("touch /run/lost; nft add table inet lost")
    before = host.boot_id()
    host.reboot()
    assert host.boot_id() not in ("", before)
    assert host.read("/etc/kept") == b"yes\n"
    assert host.exec(["test", "-e", "/run/lost"]).returncode == 1
    assert "lost" not in host.sh("nft list tables")


def test_a_power_cut_gives_no_process_a_say_and_boots_again(host: Host) -> None:
    host.sh("systemd-run --unit=witness --property=ExecStop='/bin/touch /etc/stopped' sleep infinity")
    before = host.boot_id()
    host.power_cut()
    assert host.boot_id() not in ("", before)
    assert host.exec(["test", "-e", "/etc/stopped"]).returncode == 1


def test_a_host_that_is_off_answers_nobody_until_it_is_switched_on(host: Host) -> None:
    host.power_off()
    assert host.boot_id() == ""
    assert not host.ssh_answers(timeout_s=0.5)
    with pytest.raises(LabError, match="pve1 is not running"):
        host.exec(["true"])
    host.power_on()
    assert host.ssh_answers()


def test_a_fresh_host_has_a_new_disk_with_the_files_given_and_its_old_identity(fresh_host: FreshHost) -> None:
    host = fresh_host("pve1")
    host.write("/etc/changed", "by a test")
    host.sh("rm /etc/hosts.allow /usr/bin/curl -f")
    given = {"/etc/marked": b"\x00\xff", "/usr/local/bin/hello": "#!/bin/sh\necho hello\n"}
    again = fresh_host("pve1", files=given)
    assert again.exec(["test", "-e", "/etc/changed"]).returncode == 1
    assert again.exec(["test", "-x", "/usr/bin/curl"]).returncode == 0
    assert again.read("/etc/marked") == b"\x00\xff"
    assert again.sh("hello") == "hello\n"
    assert ssh(again, "hostname").stdout == "pve1\n"


def test_packages_come_through_the_uplink_and_not_without_it(host: Host) -> None:
    host.sh("apt-get update")
    install = ["apt-get", "-o", "Acquire::http::Timeout=1", "install", "--yes", "dnsmasq"]
    with host.faults.partition():
        assert host.exec(install, timeout_s=60).returncode == 100
    host.exec(install, timeout_s=60, check=True)
    assert host.sh("dpkg-query -W -f '${db:Status-Abbrev}' dnsmasq") == "ii "


def test_another_host_gets_the_next_address_and_reaches_the_first(lab: Lab, fresh_host: FreshHost) -> None:
    first, second = fresh_host("pve1"), fresh_host("pve2")
    assert first.address != second.address
    assert second.exec(["ping", "-c1", "-W5", first.address]).returncode == 0
    assert {h.name for h in lab.hosts()} >= {"pve1", "pve2"}


def test_unusable_names_and_unknown_hosts_are_errors_that_say_what_would_be_right(lab: Lab) -> None:
    with pytest.raises(LabError, match="is not a name for a host"):
        lab.add_host("Not_A_Name")
    with pytest.raises(LabError, match="has no host nowhere"):
        lab.host("nowhere")


def test_a_kept_disk_is_where_hosts_can_start_over(host: Host, fresh_host: FreshHost) -> None:
    host.sh("rm /etc/issue; echo kept > /etc/kept; chown 3:4 /etc/kept; chmod 640 /etc/kept")
    host.keep_disk("kept")
    host.fresh(disk="kept", files={"/etc/more": "more\n"})
    assert host.sh("cat /etc/kept /etc/more; stat -c '%u:%g %a' /etc/kept") == "kept\nmore\n3:4 640\n"
    assert host.exec(["test", "-e", "/etc/issue"]).returncode == 1
    assert host.ssh_answers()
    with pytest.raises(LabError, match="keeps no disk 'other'"):
        host.fresh(disk="other")
    other = fresh_host("pve2")
    other.fresh(disk="kept")
    assert other.sh("cat /etc/kept") == "kept\n"
    assert ssh(other, "hostname").stdout == "pve2\n"
    host.fresh()
    assert host.exec(["test", "-e", "/etc/kept"]).returncode == 1
