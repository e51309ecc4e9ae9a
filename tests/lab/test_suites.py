"""Hosts of several Debian releases in one lab."""

import pytest

from service.lab import Lab, archive, image
from service.lab.apt import SUITES, lists
from service.lab.progress import silent

pytestmark = pytest.mark.lab
VERSIONS = {"bookworm": "12", "trixie": "13"}


@pytest.mark.parametrize("suite", SUITES)
def test_a_host_is_of_the_release_that_was_asked_for_and_installs_its_packages(lab: Lab, suite: str) -> None:
    name = f"of-{suite}"
    host = lab.add_host(name, suite=suite)
    assert host.suite == suite
    assert host.read("/etc/debian_version").decode().split(".")[0] == VERSIONS[suite]
    assert host.failed_units() == []
    host.sh("apt-get update && apt-get install --yes dnsmasq", timeout_s=120)
    assert host.sh("dpkg-query -W -f '${db:Status-Status}' dnsmasq") == "installed"


def test_a_host_starts_over_as_another_release_under_its_address_and_key(lab: Lab) -> None:
    host = lab.add_host("turns", suite="bookworm")
    host.fresh(suite="trixie")
    assert (host.suite, host.read("/etc/debian_version")[:2]) == ("trixie", b"13")
    host.fresh()
    assert host.suite == "trixie"
    assert [known.host_key for known in lab.hosts() if known.name == "turns"] == [host.host_key]


def test_lists_of_another_release_are_verified_and_read_once() -> None:
    other = next(suite for suite in SUITES if suite != archive.apt.codename())
    first = archive.of(other, image.cache_folder(), silent)
    before = {path: path.stat().st_mtime_ns for path in lists(first.lists)}
    again = archive.of(other, image.cache_folder(), silent)
    assert again == first
    assert before == {path: path.stat().st_mtime_ns for path in lists(again.lists)} != {}
