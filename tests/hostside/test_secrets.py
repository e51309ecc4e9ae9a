"""Bytes that nobody may see, on their host: root alone can read what is kept of them, and no answer repeats them."""

import base64
import json
import subprocess

import pytest

from tests.hostside.scratch import ID, Scratch, fact_of

OLD, NEW = b"OldPlantedSecret-4711\n", b"NewPlantedSecret-0815\n"
KEY = "/etc/passerelle/site.key"


@pytest.mark.host
def test_what_is_kept_of_a_transaction_is_for_root_alone_and_no_answer_has_the_bytes(scratch: Scratch) -> None:
    (scratch.root / KEY[1:]).write_bytes(OLD)
    (scratch.root / KEY[1:]).chmod(0o600)
    step = scratch.step(f"file:{KEY}", fact_of(OLD, "0600"), fact_of(NEW, "0600"))
    blobs = {fact_of(NEW)["sha256"]: base64.b64encode(NEW).decode()}
    document = scratch.document(steps=[step], checks=[], blobs=blobs)
    said = b""
    for words, give in ((["begin"], document), (["status", ID, "--verify"], None), (["rollback", ID, "asked"], None)):
        ran = subprocess.run(
            scratch.command(*words), input=json.dumps(give).encode(), capture_output=True, check=True, env={}
        )
        said += ran.stdout + ran.stderr
        if words == ["begin"]:
            assert (scratch.root / KEY[1:]).read_bytes() == NEW
    assert (scratch.root / KEY[1:]).read_bytes() == OLD
    assert b"rolled_back" in said
    assert not any(secret in said for content in (OLD, NEW) for secret in (content.strip(), base64.b64encode(content)))
    state = scratch.root / "var/lib/passerelle"
    kept = [file for file in state.rglob("*") if file.is_file() and {OLD, NEW} & {file.read_bytes()}]
    assert {file.parent.name for file in kept} == {"new", "old"}
    guards = [state, state / "txn" / ID, *kept, *{file.parent for file in kept}]
    assert [str(one) for one in guards if one.stat().st_mode & 0o077] == []
