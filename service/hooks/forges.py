"""How each kind of forge calls: where it proves itself, and how it names the event, the delivery, branch and commit.

    FORGES["gitea"].is_signed(secrets, call, now) -> bool      the raw body counts; nothing was parsed before
    FORGES["gitea"].told(call) -> Told                         what it says; a hint, and never what is fetched
    may_be_signed(headers) -> bool                             whether it is worth while to read the body at all

Sources: GitHub "Validating webhook deliveries" and "Webhook events and payloads". GitLab "Webhooks" and its merge
request 230944 (signing tokens). Gitea, Forgejo and Gogs "Webhooks". Bitbucket Cloud "Manage webhooks" and "Event
payloads". Bitbucket Data Center "Event payload". Gitea and Forgejo also send the headers of GitHub and of Gogs.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from service.hooks.signature import Call, Digest, Password, Proof, Standard
from service.model.access import ReceiverType
from service.model.trees import shown

MAX_WORD = 200
MAX_REFS = 50
_COMMIT = re.compile(r"(?!0{40})[0-9a-f]{40}")
"""Only zeros say that the branch is gone."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a call says, made showable. `branches` is None where it names none that can be read; `commit` is the new
    commit of its only branch."""

    event: str = ""
    delivery: str = ""
    branches: tuple[str, ...] | None = None
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Forge:
    """One kind of forge. `event` and `delivery` are its headers, the first one that is there counts. `pushes` are the
    events that are obeyed, everything if empty; `pings` are those by which it tries the address."""

    proofs: tuple[Proof, ...]
    event: tuple[bytes, ...]
    delivery: tuple[bytes, ...]
    pushes: tuple[str, ...]
    pings: tuple[str, ...] = ()

    def is_signed(self, secrets: Sequence[bytes], call: Call, now: datetime) -> bool:
        """Whether it knows one of the secrets. A call that brings the stronger proof has to be right by it."""
        for proof in self.proofs:
            if proof.is_given(call):
                verified = [proof.verify(secret, call, now) for secret in secrets]  # each: the time does not say which
                return any(verified)
        return False

    def told(self, call: Call) -> Told:
        """What the call says. Whatever it holds, this never raises."""
        event, delivery = _first(call, self.event), _first(call, self.delivery)
        branches, commit = _pushed(call)
        return Told(event, delivery, branches, commit)


FORGES: Mapping[ReceiverType, Forge] = {
    "github": Forge(
        (Digest(b"x-hub-signature-256", b"sha256="),),
        (b"x-github-event",), (b"x-github-delivery",), ("push",), ("ping",),
    ),
    "gitlab": Forge(
        (Standard(), Password(b"x-gitlab-token")),
        (b"x-gitlab-event",), (b"webhook-id", b"idempotency-key", b"x-gitlab-event-uuid"), ("Push Hook",),
    ),
    "gitea": Forge((Digest(b"x-gitea-signature"),), (b"x-gitea-event",), (b"x-gitea-delivery",), ("push",)),
    "forgejo": Forge(
        (Digest(b"x-forgejo-signature"), Digest(b"x-gitea-signature")),
        (b"x-forgejo-event", b"x-gitea-event"), (b"x-forgejo-delivery", b"x-gitea-delivery"), ("push",),
    ),
    "gogs": Forge(
        (Digest(b"x-gogs-signature"),), (b"x-gogs-event",), (b"x-gogs-delivery",), ("push",), ("ping",)
    ),
    "bitbucket": Forge(
        (Digest(b"x-hub-signature", b"sha256="),), (b"x-event-key",), (b"x-request-uuid",), ("repo:push",)
    ),
    "bitbucket-server": Forge(
        (Digest(b"x-hub-signature", b"sha256="),),
        (b"x-event-key",), (b"x-request-id",), ("repo:refs_changed",), ("diagnostics:ping",),
    ),
    "generic": Forge(
        (Digest(b"x-signature", b"sha256="),), (b"x-event",), (b"x-delivery-id", b"x-github-delivery"), ()
    ),
}  # fmt: skip
"""By the receiver's type."""

_PROOFS = tuple(dict.fromkeys(proof for forge in FORGES.values() for proof in forge.proofs))


def may_be_signed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a header has the form of any forge's proof."""
    call = Call(tuple(headers))
    return any(proof.is_given(call) for proof in _PROOFS)


def _first(call: Call, names: Sequence[bytes]) -> str:
    for name in names:
        if (value := call.one(name)) is not None:
            return shown(value.decode("latin-1"), MAX_WORD)
    return ""


def _pushed(call: Call) -> tuple[tuple[str, ...] | None, str]:
    """The branches that were pushed, None where that cannot be read, and the commit where it is one branch."""
    try:
        text = call.body.decode()
        kind = (call.one(b"content-type") or b"").split(b";")[0].strip().lower()
        if kind == b"application/x-www-form-urlencoded":
            text = parse_qs(text, strict_parsing=True, max_num_fields=8)["payload"][0]
        said = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        return None, ""
    found = list(itertools.islice(_refs(said), MAX_REFS + 1))
    if len(found) > MAX_REFS:  # so many that not all of them were looked at
        return None, ""
    branches = tuple(shown(ref, MAX_WORD) for ref, _ in found)
    commit = found[0][1] if len(found) == 1 and _COMMIT.fullmatch(found[0][1]) else ""
    return branches or None, commit


def _refs(said: Any) -> Iterable[tuple[str, str]]:
    """(branch or tag, new commit) of each change: `ref` and `after`; Bitbucket's `push.changes` and `changes`. A tag
    keeps its `refs/tags/`, so that it never equals a branch."""
    if isinstance(ref := _at(said, "ref"), str):
        yield _branch(ref), _text(said, "after")
        return
    for key in (("push", "changes"), ("changes",)):
        changes = _at(said, *key)
        for change in changes if isinstance(changes, list) else ():
            new = _at(change, "new") or _at(change, "old")  # a branch that was deleted has no new one
            if isinstance(name := _at(new, "name"), str):
                prefix = "" if _at(new, "type") == "branch" else "refs/tags/"
                yield prefix + name, _text(new, "target", "hash")
            elif isinstance(ref := _at(change, "ref", "id"), str):
                yield _branch(ref), _text(change, "toHash")


def _branch(ref: str) -> str:
    return ref.removeprefix("refs/heads/")


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any, *path: str) -> str:
    found = _at(value, *path)
    return found if isinstance(found, str) else ""
