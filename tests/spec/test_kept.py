"""What was read of a host's file and kept says the same as the file; what does not fit is read from the file again."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.kinds import KINDS
from service.spec import kept as module
from service.spec.fleet import Fleet, read_fleet
from service.spec.reading import read_file
from tests.laws.specs import FOLDER, whole
from tests.spec.conftest import FLEET, HOST, tree_of

GOLDENS = sorted((Path(__file__).parents[1] / "kinds").glob("*/*/spec.yaml"))


class Shelf(dict[str, bytes]):
    """Kept in memory."""

    def put(self, key: str, content: bytes) -> None:
        self[key] = content


def read(files: Mapping[str, str | bytes], shelf: Shelf | None) -> Fleet:
    return read_fleet(tree_of({"fleet.yaml": FLEET, **files}), KINDS, kept=shelf)


def never(*_: object) -> None:
    raise AssertionError("a file was read")


def same_twice(files: Mapping[str, str | bytes], monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The fleet of these files, which is the same without what is kept, as it is kept, and as it is read back."""
    shelf = Shelf()
    plain, first = read(files, None), read(files, shelf)
    with monkeypatch.context() as patch:
        patch.setattr(module, "read_file", never)
        second = read(files, shelf)
    for found in (first, second):
        assert found == plain
        for name, spec in plain.hosts.items():
            assert dict(found.hosts[name].places) == spec.places
            assert found.hosts[name].sources == spec.sources
    return second


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_host_of_the_laws_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert same_twice({"hosts/pve1.yaml": whole(path.read_text())}, monkeypatch).hosts


def test_every_finding_of_the_goldens_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [same_twice({"hosts/pve1.yaml": path.read_bytes()}, monkeypatch).findings for path in GOLDENS]
    assert sum(map(bool, found)) > 50


def test_values_of_groups_and_comments_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "group: west\nhosts: [pve1, pve2]\nvalues:\n  services: {named: enabled}\n  dnsmasq: {domain: a.lan}\n"
    second = HOST.replace("host: pve1", "host: pve2").replace("198.51.100.11", "198.51.100.12")
    ignoring = HOST.replace("  console: https://console.example.net/pve1\n", "").replace(
        "connection:", "connection: # passerelle: ignore connection.no-console because it is in a lab"
    )
    files = {"groups/west.yaml": group, "hosts/pve1.yaml": ignoring, "hosts/pve2.yaml": second}
    found = same_twice(files, monkeypatch)
    assert found.ignored
    assert any(one.file == "groups/west.yaml" for one in found.findings)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"value": 1}'])
def test_what_does_not_fit_is_read_from_the_file(content: bytes) -> None:
    files, shelf = {"hosts/pve1.yaml": HOST}, Shelf()
    plain = read(files, shelf)
    [key] = shelf
    shelf[key] = content
    assert read(files, shelf) == plain
    assert shelf[key] != content


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("value", {"host": "pve1"}),
        ("value", {"host": "pve1", "connection": {"address": "198.51.100.11; reboot", "host_keys": []}}),
        ("findings", [["hosts/pve1.yaml", "1", 1, [], "error", "a", "b", "c"]]),
        ("findings", [["hosts/pve1.yaml", 1, 1, [], "fatal", "a", "b", "c"]]),
        ("sources", [[4, ["sync"]]]),
        ("more", 1),
    ],
)
def test_values_that_no_model_takes_are_read_from_the_file(key: str, value: object) -> None:
    files, shelf = {"hosts/pve1.yaml": HOST}, Shelf()
    plain = read(files, shelf)
    [name] = shelf
    shelf[name] = json.dumps({**json.loads(shelf[name]), key: value}).encode()
    assert read(files, shelf) == plain


def test_places_that_cannot_be_read_are_none() -> None:
    assert dict(module.Places("[[1]]")) == {}
    assert dict(module.Places("{")) == {}
    assert dict(module.Places('[[1, 2, "a", 0]]')) == {("a", 0): (1, 2)}


def test_only_what_changed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, seen = Shelf(), list[str]()
    second = HOST.replace("host: pve1", "host: pve2").replace("198.51.100.11", "198.51.100.12")

    def noted(entry: object, *rest: object) -> object:
        seen.append(entry.path)  # type: ignore[attr-defined]
        return read_file(entry, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_file", noted)
    read({"hosts/pve1.yaml": HOST, "hosts/pve2.yaml": second}, shelf)
    read({"hosts/pve1.yaml": HOST, "hosts/pve2.yaml": second + "# more\n"}, shelf)
    assert seen == ["hosts/pve1.yaml", "hosts/pve2.yaml", "hosts/pve2.yaml"]
    read({"fleet.yaml": FLEET + "defaults: {sync: observe}\n", "hosts/pve1.yaml": HOST}, shelf)
    assert seen[3:] == ["hosts/pve1.yaml"]
