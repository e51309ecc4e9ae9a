"""The machine's package sources, requested another Debian release."""

from pathlib import Path

import pytest

from service.errors import LabError
from service.lab import apt, archive

NAMES = {"stable": "trixie", "bookworm-updates": "trixie-updates", "bookworm-security": "trixie-security"}
DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
  http://other.example/debian
Suites: stable bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://mirror.example/debian
Suites: bookworm-backports
Components: main

Types: deb
# in the middle
URIs: http://vendor.example/packages
Suites: nodistro
Components: main
"""


def moved(path: Path, absent: tuple[str, ...] = ()) -> list[dict[str, str]]:
    found = [source.of_suite(NAMES, absent) for source in archive.read(path)]
    return [source.fields for source in found if source is not None]


def test_stanzas_keep_their_mirrors_and_keys_and_get_the_other_suites(tmp_path: Path) -> None:
    path = tmp_path / "debian.sources"
    path.write_text(DEB822)
    (only,) = moved(path)
    assert only == {
        "types": "deb",
        "uris": "http://mirror.example/debian http://other.example/debian",
        "suites": "trixie trixie-updates",
        "components": "main contrib",
        "signed-by": "/usr/share/keyrings/debian-archive-keyring.gpg",
        "targets": "Packages",
    }


def test_a_suite_that_the_archive_does_not_have_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "debian.sources"
    path.write_text(DEB822)
    assert [fields["suites"] for fields in moved(path, ("trixie-updates",))] == ["trixie"]
    assert moved(path, ("trixie-updates", "trixie")) == []


def test_one_line_sources_become_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sources.list"
    path.write_text(
        "# deb http://old.example/debian bookworm-updates main\n"
        "deb [arch=amd64,arm64 signed-by=/k.gpg] http://mirror.example/debian bookworm-security main contrib #\n"
        "deb-src http://mirror.example/debian stable main\n"
        "deb http://vendor.example/packages ./\n"
    )
    (only,) = moved(path)
    assert only == {
        "types": "deb",
        "uris": "http://mirror.example/debian",
        "suites": "trixie-security",
        "components": "main contrib",
        "architectures": "amd64 arm64",
        "signed-by": "/k.gpg",
        "targets": "Packages",
    }


def test_a_key_that_is_written_out_stays_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "debian.sources"
    path.write_text(
        "Types: deb\nURIs: http://m.example/\nSuites: stable\nSigned-By:\n -----BEGIN\n .\n mDME\n -----END\n"
    )
    text = archive.read(path)[0].text()
    assert "Signed-By: \n -----BEGIN\n .\n mDME\n -----END\n" in text


@pytest.mark.parametrize(
    ("said", "absent"),
    [
        ("E: The repository 'http://m.example/debian trixie-proposed Release' does not have a Release file.", True),
        ("W: GPG error: http://m.example/debian trixie InRelease: NO_PUBKEY 6ED0E7B82643E131", False),
    ],
)
def test_what_apt_says_tells_a_suite_that_is_missing_from_a_key_that_is(said: str, absent: bool) -> None:
    assert archive.NO_RELEASE_FILE.findall(said) == (["trixie-proposed"] if absent else [])
    assert bool(archive.UNKNOWN_KEY.search(said)) is not absent


def test_only_releases_that_the_lab_knows_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSERELLE_LAB_SUITE", "trixie")
    assert apt.suite_of("") == "trixie"
    assert apt.suite_of("bookworm") == "bookworm"
    with pytest.raises(LabError, match="no hosts of 'sarge'"):
        apt.suite_of("sarge")
