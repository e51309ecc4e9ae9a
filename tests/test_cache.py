"""What is kept in a folder and can be made again: it is there again, or it is nothing."""

import os
from pathlib import Path

import pytest

from service import cache
from service.cache import Cache, code_version


def only(folder: Path) -> Path:
    """The one file in a folder."""
    [path] = folder.iterdir()
    return path


def test_what_was_put_is_there_in_the_next_process(tmp_path: Path) -> None:
    Cache(tmp_path / "kept").put("a", b"one\ntwo\x00")
    again = Cache(tmp_path / "kept")
    assert again.get("a") == b"one\ntwo\x00"
    assert again.get("b") is None
    again.put("a", b"")
    assert again.get("a") == b""


@pytest.mark.parametrize("damage", [b"", b"\n", b"no digest", b"0" * 64 + b"\nfull"])
def test_what_is_damaged_is_nothing(tmp_path: Path, damage: bytes) -> None:
    kept = Cache(tmp_path)
    kept.put("a", b"full")
    only(tmp_path).write_bytes(damage)
    assert kept.get("a") is None


def test_one_changed_byte_is_noticed(tmp_path: Path) -> None:
    kept = Cache(tmp_path)
    kept.put("a", b"full")
    path = only(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"full", b"fuel"))
    assert kept.get("a") is None


def test_a_link_or_a_pipe_is_not_read(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "kept")
    kept.put("a", b"full")
    path = only(tmp_path / "kept")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert kept.get("a") is None
    path.unlink()
    os.mkfifo(path)
    assert kept.get("a") is None


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    Cache(folder).put("a", b"full")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only(folder).stat().st_mode & 0o777 == 0o600
    folder.chmod(0o777)
    other = Cache(folder)
    assert other.get("a") is None
    other.put("b", b"more")
    assert only(folder)


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Cache(tmp_path / "file" / "kept")
    kept.put("a", b"full")
    assert kept.get("a") is None


def test_other_code_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cache(tmp_path).put("a", b"full")
    monkeypatch.setattr(cache, "code_version", lambda: "another")
    assert Cache(tmp_path).get("a") is None


def test_the_version_changes_with_any_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    source = tmp_path / "room" / "part.py"
    source.write_text("A = 1\n")
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    code_version.cache_clear()
    before = code_version()
    source.write_text("A = 10\n")
    code_version.cache_clear()
    assert code_version() != before
    code_version.cache_clear()


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    kept = Cache(tmp_path, most_files=8)
    for number in range(8):
        kept.put(str(number), b"full")
        new = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(new, (1_000_000 + number, 1_000_000 + number))
    assert kept.get("0") == b"full"  # used again: it is the newest now
    kept.put("8", b"full")
    assert {key for key in map(str, range(9)) if kept.get(key)} == {"0", "8", "7", "6", "5", "4"}


def test_a_large_one_makes_room_and_a_huge_one_is_not_kept(tmp_path: Path) -> None:
    kept = Cache(tmp_path, most_bytes=4096)
    kept.put("a", b"x" * 2000)
    os.utime(only(tmp_path), (1_000_000, 1_000_000))
    kept.put("b", b"y" * 2500)
    assert (kept.get("a"), kept.get("b")) == (None, b"y" * 2500)
    kept.put("c", b"z" * cache.MOST_OF_ONE)
    assert kept.get("c") is None
