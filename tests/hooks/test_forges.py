"""How each kind of forge proves itself, and what is read of its calls."""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.hooks.forges import FORGES, Told, may_be_signed
from service.hooks.signature import Call
from service.model.access import RECEIVER_TYPES, ReceiverType
from tests.hooks.forge_calls import AT, COMMIT, Sent, call_of, hexed, push_body

NOW = datetime.fromtimestamp(AT, UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}
SECRET = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="


def call(sent: Sent) -> Call:
    return Call(tuple((name.lower().encode(), value.encode()) for name, value in sent.headers.items()), sent.body)


def is_signed(type_: ReceiverType, sent: Sent, *secrets: str) -> bool:
    return FORGES[type_].is_signed([one.encode() for one in secrets], call(sent), NOW)


def test_every_type_has_a_forge() -> None:
    assert set(FORGES) == set(RECEIVER_TYPES)


@pytest.mark.parametrize("type_", RECEIVER_TYPES)
def test_a_push_is_signed_and_read(type_: ReceiverType) -> None:
    sent = call_of(type_, SECRET)
    assert may_be_signed(call(sent).headers)
    assert is_signed(type_, sent, SECRET)
    assert is_signed(type_, sent, "another secret, 24 long.", SECRET)
    assert not is_signed(type_, sent, "another secret, 24 long.")
    assert not is_signed(type_, sent)
    told = FORGES[type_].told(call(sent))
    assert told == Told(told.event, "d-1", ("main",), COMMIT)
    assert not FORGES[type_].pushes or told.event in FORGES[type_].pushes


@pytest.mark.parametrize("type_", RECEIVER_TYPES)
def test_another_body_is_not_signed(type_: ReceiverType) -> None:
    sent = call_of(type_, SECRET)
    changed = Sent(sent.headers, sent.body + b" ")
    assert not is_signed(type_, changed, SECRET)


@pytest.mark.parametrize("type_", RECEIVER_TYPES)
@pytest.mark.parametrize("other", RECEIVER_TYPES)
def test_a_call_of_one_kind_is_taken_as_another_only_where_the_kinds_are_alike(
    type_: ReceiverType, other: ReceiverType
) -> None:
    alike = {
        ("gitea", "github"), ("gitea", "gogs"), ("gitea", "forgejo"), ("forgejo", "github"), ("forgejo", "gogs"),
        ("forgejo", "gitea"), ("bitbucket", "bitbucket-server"), ("bitbucket-server", "bitbucket"),
    }  # fmt: skip
    assert is_signed(other, call_of(type_, SECRET), SECRET) == (type_ == other or (type_, other) in alike)


def test_gitlab_is_taken_with_its_secret_token_but_a_signature_has_to_be_right() -> None:
    plain = call_of("gitlab", SECRET, signing=False)
    assert is_signed("gitlab", plain, SECRET)
    signed = call_of("gitlab", SECRET)
    both = Sent(signed.headers | plain.headers, signed.body)
    assert is_signed("gitlab", both, SECRET)
    late = call_of("gitlab", SECRET, at=AT - 3600)
    assert not is_signed("gitlab", Sent(late.headers | plain.headers, late.body), SECRET)
    assert not is_signed("gitlab", Sent(signed.headers | plain.headers, signed.body + b" "), SECRET)


@pytest.mark.parametrize(
    ("headers", "body", "branches"),
    [
        ({}, b"", None),
        ({}, b"not JSON", None),
        ({}, b"\xff\xfe", None),
        ({}, b"[]", None),
        ({}, b"null", None),
        ({}, b'{"ref": 7}', None),
        ({}, b'{"ref": ["refs/heads/main"]}', None),
        ({}, b"[" * 100_000, None),
        ({}, b'{"n": ' + b"9" * 10_000 + b"}", None),
        ({}, b'{"push": {"changes": 1}, "changes": "x"}', None),
        ({}, b'{"push": {"changes": [null, 1, {"new": null, "old": null}]}}', None),
        ({}, b'{"ref": "refs/tags/main"}', ("refs/tags/main",)),
        ({}, b'{"ref": "refs/heads/a\\u001b[31m\\nb"}', ("a[31m b",)),
        (FORM, urlencode({"payload": '{"ref": "refs/heads/x"}'}).encode(), ("x",)),
        (FORM, b"payload", None),
        (FORM, urlencode([("a", "b")] * 50).encode(), None),
    ],
)  # fmt: skip
def test_whatever_a_body_holds_is_read_or_left(
    headers: dict[str, str], body: bytes, branches: tuple[str, ...] | None
) -> None:
    for forge in FORGES.values():
        told = forge.told(call(Sent(headers, body)))
        assert (told.branches, told.commit) == (branches, "")


def test_a_branch_that_was_deleted_is_at_no_commit() -> None:
    body = b'{"ref":"refs/heads/x","after":"%b"}' % (b"0" * 40)
    assert FORGES["github"].told(call(call_of("github", SECRET, body=body))) == Told("push", "d-1", ("x",), "")


def test_several_branches_at_once_are_all_read() -> None:
    new = {"type": "branch", "name": "a", "target": {"hash": COMMIT}}
    changes = [{"new": new}, {"new": None, "old": new | {"name": "gone"}}, {"new": new | {"type": "tag", "name": "v1"}}]
    body = json.dumps({"push": {"changes": changes}}).encode()
    told = FORGES["bitbucket"].told(call(Sent({"X-Event-Key": "repo:push"}, body)))
    assert told == Told("repo:push", "", ("a", "gone", "refs/tags/v1"), "")


@given(st.sampled_from(RECEIVER_TYPES), st.binary(), st.binary(max_size=300))
def test_no_call_raises(type_: ReceiverType, body: bytes, value: bytes) -> None:
    names = [*FORGES[type_].event, *FORGES[type_].delivery, b"content-type", b"x-gitlab-token", b"webhook-signature"]
    sent = Call(tuple((name, value) for name in names), body)
    told = FORGES[type_].told(sent)
    assert told.event.isprintable()
    assert told.delivery.isprintable()
    assert not FORGES[type_].is_signed([SECRET.encode()], sent, NOW)


def test_what_gitea_signs_of_a_form_is_not_what_it_sends() -> None:
    said = push_body("gitea")
    form = urlencode({"payload": said.decode()}).encode()
    sent = call_of("gitea", SECRET, body=form)
    as_gitea_does = Sent(sent.headers | {"X-Gitea-Signature": hexed(SECRET, said)}, form)
    assert not is_signed("gitea", as_gitea_does, SECRET)
