"""Every case: what Proxmox's reader keeps of a file, how its writer puts it down, and why it would not."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from service.formats.pve_interfaces import WriterRefuses, canonical, parse

CASES = sorted((Path(__file__).parent / "cases").iterdir())
ALL = [pytest.param(case, id=case.name) for case in CASES]
WRITTEN = [pytest.param(case, id=case.name) for case in CASES if (case / "canonical").exists()]
REFUSED = [pytest.param(case, id=case.name) for case in CASES if not (case / "canonical").exists()]
FOREIGN = b"\nauto zz9\niface zz9 inet manual\n\trfkill none\nzz-line of-nothing\n"


def _input(case: Path) -> bytes:
    return (case / "input").read_bytes()


def _parsed(case: Path) -> object:
    return json.loads((case / "parsed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", ALL)
def test_the_reader_keeps_what_proxmox_keeps(case: Path) -> None:
    assert parse(_input(case)).as_json() == _parsed(case)


@pytest.mark.parametrize("case", WRITTEN)
def test_the_writer_writes_what_proxmox_writes(case: Path) -> None:
    assert canonical(parse(_input(case))).text == (case / "canonical").read_bytes()


@pytest.mark.parametrize("case", WRITTEN)
def test_a_second_pass_changes_only_what_proxmox_changes_too(case: Path) -> None:
    second = case / "canonical2"
    again = canonical(parse((case / "canonical").read_bytes())).text
    assert again == (second if second.exists() else case / "canonical").read_bytes()


@pytest.mark.parametrize("case", REFUSED)
def test_the_writer_refuses_for_proxmoxs_reason(case: Path) -> None:
    found = re.search(r"the writer refuses: (.+)", (case / "about.txt").read_text(encoding="utf-8"))
    assert found
    with pytest.raises(WriterRefuses) as refused:
        canonical(parse(_input(case)))
    # which of two bridges is named is chance with Proxmox
    assert re.sub(r"(used on interface 'vmbr)[01]'", r"\1'", refused.value.what) == re.sub(
        r"(used on interface 'vmbr)[01]'", r"\1'", found[1]
    )
    named = _input(case).split(b"\n")[refused.value.line - 1]
    assert named.split()[0] in (b"iface", b"auto")


@pytest.mark.parametrize("case", ALL)
def test_what_is_put_behind_a_file_is_seen_and_kept(case: Path) -> None:
    read = parse(_input(case) + FOREIGN)
    assert read.as_json() != _parsed(case)
    assert read.interfaces["zz9"].inet.options[0] == "rfkill none"
    if (case / "canonical").exists():
        text = canonical(read).text
        assert text != (case / "canonical").read_bytes()
        assert b"auto zz9\niface zz9 inet manual\n\trfkill none\n\tzz-line of-nothing\n\n" in text


@pytest.mark.parametrize("case", WRITTEN)
def test_every_other_line_and_unknown_option_is_written_as_it_stood(case: Path) -> None:
    read = parse(_input(case))
    lines = canonical(read).text.decode("utf-8").split("\n")
    for other in read.other_lines:
        assert other.text in lines
    for interface in read.interfaces.values():
        for option in (*interface.inet.options, *interface.inet6.options):
            assert f"\t{option}" in lines


_KEY = rb"(?m)^(\s+)(bridge|bond)[-_](ports|stp|fd|vids|slaves|mode|miimon)(?=\s)"
REWORDINGS = {
    "dashes": lambda data: re.sub(_KEY, rb"\1\2-\3", data),
    "underscores": lambda data: re.sub(_KEY, rb"\1\2_\3", data),
    "tabs": lambda data: re.sub(rb"(?m)^[ \t]+", b"\t", data),
    "blanks behind": lambda data: re.sub(rb"(?m)(?<=\S)[ \t]*$", b" \t", data),
    "carriage returns": lambda data: data.replace(b"\r", b"").replace(b"\n", b"\r\n"),
    "no last line end": lambda data: data.rstrip(b"\r\n"),
    "words far apart": lambda data: re.sub(rb"(?m)^(\s*(?:auto|iface|address|netmask|mtu)) +", rb"\1 \t ", data),
}


@pytest.mark.parametrize("reword", REWORDINGS.values(), ids=REWORDINGS)
def test_other_words_for_the_same_file_are_written_alike(reword: Callable[[bytes], bytes]) -> None:
    changed = 0
    for case in CASES:
        if not (case / "canonical").exists():
            continue
        data = reword(_input(case))
        changed += data != _input(case)
        # lines outside stanzas keep the blanks in and around them
        assert _words(canonical(parse(data)).text) == _words((case / "canonical").read_bytes())
    assert changed >= 4


def _words(text: bytes) -> list[list[bytes]]:
    return [line.split() for line in text.split(b"\n")]


def test_the_cases_are_there() -> None:
    assert len(WRITTEN) >= 28
    assert len(REFUSED) >= 3
