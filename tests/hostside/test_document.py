"""Transactions that are wrong: refused with the place, and nothing is written."""

import json
import subprocess
from typing import Any

import pytest

from service.lab.waiting import grown_s
from tests.hostside.scratch import CONF, Scratch, fact_of

pytestmark = pytest.mark.host


def test_staged_bytes_that_their_program_refuses_change_nothing_and_leak_nothing(scratch: Scratch) -> None:
    before = scratch.state()
    document = scratch.document()
    content = b"cache-size=1\nwrong\n"
    for step in document["steps"]:
        if step["fact"] == f"file:{CONF}":
            step["after"] = fact_of(content)
    document["blobs"][fact_of(content)["sha256"]] = "Y2FjaGUtc2l6ZT0xCndyb25nCg=="
    answer = scratch.begin(document)
    assert (answer["reason"], answer["program"], answer["line"]) == ("check", "dnsmasq", 2)
    assert "secret" not in json.dumps(answer)
    assert scratch.state() == before
    assert scratch.call("status")["generation"] == 0
    assert list((scratch.root / "var/lib/passerelle/txn").iterdir()) == []


def test_a_check_that_cannot_be_run_refuses_before_anything_is_changed(scratch: Scratch) -> None:
    before = scratch.state()
    (scratch.bin / "dnsmasq").unlink()
    answer = scratch.begin()
    assert (answer["state"], answer["reason"]) == ("refused", "check")
    assert "nothing was changed: dnsmasq is not installed" in json.dumps(answer)
    assert scratch.state() == before
    assert not scratch.armed()
    assert list((scratch.root / "var/lib/passerelle/txn").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"),
        ({"id": "../../etc"}, "id"),
        ({"generation": True}, "generation"),
        ({"confirm_timeout_s": 0}, "confirm_timeout_s"),
        ({"surprise": 1}, "surprise"),
        ({"controller": "a\nb"}, "controller"),
        ({"blobs": {"00": "AA=="}}, "blobs"),
        ({"checks": [["sh", "/etc/x"]]}, "checks"),
        ({"steps": [{"fact": "file:/etc/../x", "before": None, "after": None}]}, "file:/etc/../x"),
        ({"steps": [{"fact": "file:/var/lib/passerelle/armed", "before": None, "after": None}]}, "not a place"),
        ({"steps": [{"fact": "sysctl:kernel.panic", "before": "0", "after": "1"}]}, "sysctl:kernel.panic"),
        ({"steps": [{"fact": "nft:inet filter", "before": None, "after": None}]}, "nft:inet filter"),
        ({"steps": [{"fact": "link:eth0\n", "before": None, "after": None}]}, "link:eth0"),
        ({"steps": [{"fact": "addresses:eth0", "before": [], "after": ["fe80::1%a/64"]}]}, "addresses"),
        ({"steps": [{"fact": "file:/etc/x", "before": None, "after": {"sha256": "0" * 64}}]}, "blobs"),
        ({"steps": [{"fact": "link:eth0", "before": None, "after": {"typo": 1}}]}, "after"),
        ({"steps": [{"fact": "link:eth0", "before": None}]}, "after"),
        ({"keep": [{"fact": "routes:default", "before": [], "after": None}]}, "one value"),
    ],
)
def test_a_document_that_is_wrong_is_refused_with_the_place(
    scratch: Scratch, change: dict[str, Any], said: str
) -> None:
    before = scratch.state()
    answer = scratch.call("begin", give=scratch.document(**change), code=2)
    assert answer["state"] == "invalid"
    assert said in answer["error"]
    assert scratch.state() == before
    assert not (scratch.root / "var/lib/passerelle").exists()


def test_what_is_no_json_is_refused(scratch: Scratch) -> None:
    ran = subprocess.run(
        scratch.command("begin"), input=b"[" * 100_000, capture_output=True, env={}, timeout=grown_s(60)
    )
    assert ran.returncode == 2
    assert json.loads(ran.stdout)["error"] == "stdin: no JSON"


def test_an_unknown_verb_is_refused(scratch: Scratch) -> None:
    assert "no verb" in scratch.call("frobnicate", code=2)["error"]
