"""`renamed_from`: the name that a host had before."""

from collections.abc import Callable, Mapping

import pytest

from service.spec.fleet import Fleet

Read = Callable[[Mapping[str, str]], Fleet]


def called(host: str, name: str, number: int, was: str = "") -> str:
    """A host of this name, which says that it had another one before."""
    renamed = f"host: {name}\nrenamed_from: {was}" if was else f"host: {name}"
    text = host.replace("host: pve1", renamed).replace("BC:24:11:00:00", f"BC:24:11:00:{number:02}")
    return text.replace("198.51.100.11", f"198.51.100.{number}")


def test_a_host_says_what_it_was_called_before(read: Read, host: str) -> None:
    fleet = read({"hosts/pve9.yaml": called(host, "pve9", 20, "pve1"), "hosts/pve2.yaml": called(host, "pve2", 21)})
    assert not fleet.has_errors, fleet.findings
    assert {name: spec.renamed_from for name, spec in fleet.hosts.items()} == {"pve2": "", "pve9": "pve1"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"pve9": "pve1", "pve1": ""},
            "pve9.yaml:2:15: renamed_from: pve1 is still a host of this repository (hosts/pve1.yaml). Fix: remove "
            "hosts/pve1.yaml, or remove the key",
        ),
        (
            {"pve8": "pve1", "pve9": "pve1"},
            "pve9.yaml:2:15: renamed_from: pve8 (hosts/pve8.yaml) says that it was called pve1, too. Fix: keep the key "
            "only in the file of the host that was called pve1",
        ),
        (
            {"pve9": "pve9"},
            "pve9.yaml:2:15: renamed_from: pve9 is the name that the host has now. Fix: remove the key",
        ),
    ],
    ids=["still-there", "claimed-twice", "itself"],
)
def test_a_name_that_cannot_have_been_the_host_s_is_an_error(
    read: Read, host: str, files: dict[str, str], said: str
) -> None:
    texts = {
        f"hosts/{name}.yaml": called(host, name, 20 + number, was)
        for number, (name, was) in enumerate(files.items())
    }  # fmt: skip
    errors = [found for found in read(texts).findings if found.severity == "error"]
    assert [(found.rule, str(found)) for found in errors] == [("host.renamed-from", f"hosts/{said}")]
