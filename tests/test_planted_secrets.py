"""Harnesses that start a real service, in small: planted secrets never appear, many requests keep their bounds."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.safety.planted import files_of, forms, found_in

SAFETY = Path(__file__).parent / "safety"
SECRET = b"planted0123456789abcdef0123456789abcdef"


def run(*words: str) -> dict[str, Any]:
    """What a harness found, from its last line."""
    done = subprocess.run([sys.executable, SAFETY / words[0], *words[1:]], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-5_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "git:"])
def test_a_secret_is_found_however_it_is_written(before: str) -> None:
    written = {
        "base64": base64.b64encode(before.encode() + SECRET), "hex": before.encode() + SECRET.hex().encode(),
        "plain": before.encode() + SECRET + b"!",
    }  # fmt: skip
    assert found_in({"one": SECRET}, written) == {"one": sorted(written)}
    assert found_in({"one": SECRET[::-1]}, written) == {}
    assert all(len(one) >= 12 for one in forms(SECRET))


def test_the_key_of_a_signing_token_is_searched_for_too(tmp_path: Path) -> None:
    key = bytes(range(32))
    (tmp_path / "database").write_bytes(b"\0\1" + key + b"\2")
    (tmp_path / "ssh_key").write_bytes(key)
    secret = b"whsec_" + base64.b64encode(key)
    assert found_in({"one": secret}, files_of(tmp_path, but=frozenset({"ssh_key"}))) == {"one": ["file database"]}


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_planted_secrets_appear_nowhere(database: str) -> None:
    found = run("secrets", "--database", database)
    assert found["failed"] == [], found
    assert found["secrets"] >= (16 if database == "postgresql" else 15)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_many_requests_keep_memory_health_and_fetches_within_their_bounds() -> None:
    found = run("requests", "--requests", "4000")
    assert found["failed"] == [], found
