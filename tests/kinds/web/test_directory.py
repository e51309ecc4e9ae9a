"""The URL of a certificate authority: what no program can take apart is a finding, never a fault of lint."""

import pytest

from tests.laws.specs import FOLDER, fleet_of, whole

TEXT = whole((FOLDER / "web.yaml").read_text())


def directory(url: str) -> str:
    """The host with this authority."""
    assert TEXT.count("directory: letsencrypt") == 1
    return TEXT.replace("directory: letsencrypt", f'directory: "{url}"')


@pytest.mark.parametrize("url", ["https://[00]/", "https://[1::2::3]/dir", "https://[10.0.0.1]/", "https://[::1/"])
def test_brackets_around_no_address_are_a_finding(url: str) -> None:
    [found] = [one for one in fleet_of(directory(url)).findings if one.severity == "error"]
    assert (found.dotted, found.rule) == ("web.acme.directory", "value")


@pytest.mark.parametrize("url", ["https://[2001:db8::1]:14000/dir", "https://ca.example.org/acme/directory"])
def test_brackets_around_an_address_are_good(url: str) -> None:
    assert not fleet_of(directory(url)).has_errors
