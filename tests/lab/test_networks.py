import socket
import subprocess
from pathlib import Path

import pytest

from service.errors import LabError
from service.lab import Host, Lab
from service.lab.preflight import search_path
from service.lab.waiting import wait_for

pytestmark = pytest.mark.lab


def test_a_connection_dialled_from_the_controllers_network_reaches_sshd(shared_host: Host) -> None:
    with shared_host.dial() as connection:
        assert connection.recv(8) == b"SSH-2.0-"
        assert connection.getsockname()[0] == "198.18.0.10"


def test_the_router_has_the_hosts_cable_and_this_machine_shows_no_link_of_the_lab(shared_host: Host) -> None:
    router = shared_host.lab.run_in("provider", ["ip", "-o", "link"], check=True).stdout
    machine = subprocess.run(["ip", "-o", "link"], env={"PATH": search_path()}, capture_output=True, text=True).stdout
    assert "vb-shared" in router
    assert "vb-shared" not in machine
    assert "prov0" not in machine


def test_a_program_of_this_machine_runs_in_the_controllers_network(lab: Lab) -> None:
    assert "198.18.0.10/24" in lab.run_in("ctl", ["ip", "-br", "addr"], check=True).stdout
    assert lab.run_in("ctl", ["cat"], input="given").stdout == "given"


def test_the_internet_answers_with_the_address_it_was_asked_from(shared_host: Host) -> None:
    assert shared_host.sh("curl -s --max-time 10 http://www.inet.example/") == f"{shared_host.address}\n"


def test_the_internet_knows_no_way_to_a_network_behind_a_host(lab: Lab) -> None:
    routes = lab.run_in("inet", ["ip", "route"], check=True).stdout
    assert "198.51.100.0/24 via 198.18.0.1" in routes
    assert "default" not in routes
    assert lab.run_in("inet", ["ip", "route", "get", "10.10.10.1"]).returncode != 0


def test_the_name_server_answers_its_names_and_denies_others(shared_host: Host) -> None:
    assert shared_host.sh("dig +short @198.18.0.80 www.inet.example") == "198.18.0.80\n"
    assert "status: NXDOMAIN" in shared_host.sh("dig @198.18.0.80 nobody.example")
    assert "status: NOERROR" in shared_host.sh("dig @198.18.0.80 AAAA www.inet.example")


def test_a_forwarded_port_of_this_machine_leads_into_the_controllers_network(lab: Lab) -> None:
    server = ["nsenter", f"--net={lab.netns('ctl')}", "--", "python3", "-m", "http.server", "--bind", "127.0.0.1"]
    with subprocess.Popen([*server, "-d", "/etc", "8099"], stderr=subprocess.DEVNULL) as process:
        try:
            port = lab.forward(0, "ctl", 8099)
            body = wait_for(lambda: fetched(port, "/debian_version"), "the forwarded port to answer", 20)
        finally:
            process.kill()
    assert body.endswith(b"\r\n\r\n" + Path("/etc/debian_version").read_bytes())


def fetched(port: int, path: str) -> bytes:
    """The whole answer of a web server on this machine's loopback; empty when there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        parts = b""
        try:
            while part := connection.recv(65536):
                parts += part
        except ConnectionError:
            return b""
        return parts


def test_an_unknown_network_is_an_error_that_names_those_there_are(lab: Lab) -> None:
    with pytest.raises(LabError, match="it has ctl, inet, provider"):
        lab.run_in("moon", ["true"])
    with pytest.raises(LabError, match="it has ctl and inet"):
        lab.socket_in("moon")
