"""An answer that was kept is read again as a fresh one is, and holds no secret."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.clock import SystemClock
from service.model.observed import Watch
from service.model.secret import Secret
from service.model.sightings import Sighting
from service.model.states import Seen
from service.observe.collect import Collector
from service.observe.kept import as_kept, form
from service.work import InPlace
from tests.observe.samples import AT, CASES, NONCE, WATCH, answer, read


def sighting_of(data: bytes) -> Sighting:
    return Sighting("pve1", AT, form(), NONCE, WATCH, data)


@pytest.mark.parametrize("case", CASES)
async def test_a_kept_answer_tells_what_the_fresh_one_told(case: str) -> None:
    collector = Collector(SystemClock(), InPlace())
    assert await collector.recall(as_kept(sighting_of(answer(case)))) == read(answer(case))


async def test_an_answer_to_another_question_is_not_read() -> None:
    collector = Collector(SystemClock(), InPlace())
    assert await collector.recall(replace(sighting_of(answer(CASES[0])), form="sha256:another")) is None


SECRETS: Mapping[bytes, bytes] = {
    b"cipassword: geheim": b"cipassword: ******",
    b"  wpa-psk a b c": b"  wpa-psk *****",
    b"PrivateKey = aGV5=": b"PrivateKey = *****",
    b"\twireless-key s:x": b"\twireless-key ***",
    b"ciuser: ann": b"ciuser: ann",
    b"# the password is elsewhere": b"# the password is elsewhere",
    b"net0: virtio=BC:24:11:00:00:01,bridge=vmbr0": b"net0: virtio=BC:24:11:00:00:01,bridge=vmbr0",
}


@pytest.mark.parametrize(("line", "kept"), SECRETS.items(), ids=[line.decode().strip() for line in SECRETS])
def test_secrets_in_files_are_crossed_out_in_their_own_length(line: bytes, kept: bytes) -> None:
    found = as_kept(sighting_of(b"before\n" + line + b"\nafter\n")).answer
    assert found == b"before\n" + kept + b"\nafter\n"


def test_a_file_with_a_secret_is_still_read_as_a_whole() -> None:
    data = answer("gateway")
    path = "/etc/network/interfaces"
    seen = read(data).text(path)
    assert isinstance(seen, Seen)
    line = next(one for one in seen.value.splitlines() if len(one) > 20)
    secret = b"wpa-psk " + b"x" * (len(line) - 8)
    observed = read(as_kept(sighting_of(data.replace(line, secret))).answer)
    text = observed.text(path)
    assert isinstance(text, Seen)
    assert secret not in text.value
    assert b"wpa-psk " + b"*" * (len(line) - 8) in text.value
    assert len(text.value) == len(seen.value)


INTERFACES = "/etc/network/interfaces"
SECRET_TOO = replace(WATCH, secrets=frozenset({INTERFACES}))


def kept_of(data: bytes) -> bytes:
    return as_kept(replace(sighting_of(data), watch=SECRET_TOO)).answer


def test_a_file_that_nobody_may_see_is_crossed_out_and_all_else_stays() -> None:
    whole = answer("gateway")
    text, fresh = read(whole).text(INTERFACES), read(whole, SECRET_TOO)
    assert isinstance(text, Seen)
    kept = kept_of(whole)
    assert text.value in whole
    assert text.value not in kept
    assert len(kept) == len(whole)
    again = read(kept, SECRET_TOO)
    assert again.secret(INTERFACES) == Seen(Secret(b"*" * len(text.value)))
    assert replace(again, secrets={}) == replace(fresh, secrets={})


@pytest.mark.parametrize("damage", [b"\n@@%b end body 0\n", b"\n@@%b words\n", b"@@%b begin stat\n"])
def test_where_nobody_can_tell_where_it_stands_nothing_of_any_file_is_kept(damage: bytes) -> None:
    whole = answer("gateway")
    mark = damage % NONCE.encode()
    assert mark in whole
    for broken in (whole.replace(mark, b""), whole[: whole.index(b"begin body") + 400]):
        text = read(whole).text(INTERFACES)
        assert isinstance(text, Seen)
        assert text.value[:200] in broken
        assert text.value[:200] not in kept_of(broken)


def test_what_moved_while_it_was_sent_is_not_kept() -> None:
    whole = answer("gateway")
    text = read(whole).text(INTERFACES)
    assert isinstance(text, Seen)
    longer = whole.replace(text.value, text.value + b"# one more line\n")
    assert b"# one more line" not in kept_of(longer)
    assert text.value[:100] not in kept_of(longer)


def test_the_question_is_the_same_text_in_one_release() -> None:
    assert form() == form()
    assert len(set(Watch.__dataclass_fields__)) == 9, "a new field is asked for: see _EVERYTHING"
