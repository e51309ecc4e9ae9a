"""The archive that is shipped: the same bytes from the same rooms, all of it or nothing."""

import marshal
import os
import subprocess
import sys
import zipfile
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import pytest

from service.apply.host_file import archive, host_file, rooms, zipped
from service.lab.waiting import grown_s
from tests.hostside.rooms import PYTHON, put, shipped

SAID: dict[str, Any] = {"capture_output": True, "text": True, "check": True}


def run(file: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run([*PYTHON, str(file), *words], capture_output=True, timeout=grown_s(60), env={})


def test_the_same_rooms_give_the_same_bytes_in_any_order_and_process() -> None:
    texts = rooms()
    again = dict(sorted(texts.items(), reverse=True))
    assert archive(texts) == archive(again) == host_file().content
    code = "from service.apply.host_file import host_file; print(host_file().digest)"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        said = subprocess.run([sys.executable, "-c", code], **SAID, env=environment, timeout=grown_s(60))
        assert said.stdout.strip() == host_file().digest
    assert archive({**texts, "verify.py": texts["verify.py"] + "\n"}) != host_file().content


def test_it_holds_every_room_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(put(host_file().content, tmp_path)) as made:
        assert made.testzip() is None
        names = made.namelist()
        assert {made.getinfo(name).date_time for name in names} == {(1980, 1, 1, 0, 0, 0)}
    wanted = {f"service/hostside/{name}" for name in rooms() if name != "__main__.py"}
    assert set(names) == {"__main__.py", "service/__init__.py", *wanted, *(f"{name}c" for name in wanted)}


LOADED = """\
import sys
sys.path.insert(0, sys.argv[1])
import service.hostside.main
print(*sorted({str(one.__file__) for name, one in sys.modules.items() if name.startswith("service.host")}))
"""


def loaded(archive: Path) -> set[str]:
    """The endings of the files that Python took the rooms from."""
    said = subprocess.run([sys.executable, "-I", "-S", "-c", LOADED, str(archive)], **SAID, timeout=grown_s(60))
    return {name.rpartition(".")[2] for name in said.stdout.split()}


def test_the_services_own_python_takes_the_bytecode_and_any_other_the_sources(tmp_path: Path) -> None:
    whole = put(host_file().content, tmp_path)
    assert loaded(whole) == {"pyc"}
    other = bytes([MAGIC_NUMBER[0] ^ 1]) + MAGIC_NUMBER[1:]
    with zipfile.ZipFile(whole) as made:
        texts = {name: made.read(name) for name in made.namelist()}
    changed = {name: other + text[4:] if name.endswith("c") else text for name, text in texts.items()}
    assert loaded(put(zipped(changed), tmp_path / "other")) == {"py"}


def test_the_bytecode_is_that_of_the_room_beside_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(put(host_file().content, tmp_path)) as made:
        for name in (one for one in made.namelist() if one.endswith(".pyc")):
            text = made.read(name.removesuffix("c"))
            assert marshal.loads(made.read(name)[16:]) == compile(text, name[:-1], "exec", dont_inherit=True), name


def test_no_room_imports_more_than_pythons_own_library() -> None:
    """What it says on its own when it has run: every module is of the standard library or in the archive."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import service.hostside.main; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    argv = [*PYTHON, "-c", code, str(shipped())]
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=grown_s(60))
    assert set(said.stdout.split()) - set(sys.stdlib_module_names) <= {"__main__", "service", "zipimport"}


@pytest.mark.host
def test_a_part_of_it_does_nothing(tmp_path: Path) -> None:
    """Cut anywhere, python finds no archive: no verb runs, and nothing says that one has."""
    whole = host_file().content
    root = tmp_path / "root"
    root.mkdir()
    for length in (0, 1, 22, 1000, len(whole) // 2, len(whole) - 23, len(whole) - 22, len(whole) - 1):
        ran = run(put(whole[:length], tmp_path / "part"), "--root", str(root), "boot")
        assert b'"event": "result"' not in ran.stdout, length
        assert list(root.iterdir()) == [], length
    assert b'"event": "result"' in run(put(whole, tmp_path / "whole"), "--root", str(root), "status").stdout
