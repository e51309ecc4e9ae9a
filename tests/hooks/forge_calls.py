"""How each kind of forge calls, as its documentation says and not by our code."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from service.model.access import ReceiverType

COMMIT = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
AT = 1_790_000_000


@dataclass(frozen=True)
class Sent:
    """A call as the forge sends it."""

    headers: dict[str, str]
    body: bytes


def hexed(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def push_body(type_: ReceiverType, branch: str = "main", commit: str = COMMIT) -> bytes:
    """The body of a push, cut down to what matters and some of what does not."""
    said: dict[str, Any] = {"ref": f"refs/heads/{branch}", "before": "0" * 40, "after": commit, "commits": []}
    if type_ == "gitlab":
        said |= {"object_kind": "push", "event_name": "push", "checkout_sha": commit, "project_id": 15}
    if type_ == "bitbucket":
        new = {"type": "branch", "name": branch, "target": {"type": "commit", "hash": commit}}
        said = {"actor": {}, "repository": {}, "push": {"changes": [{"forced": False, "old": None, "new": new}]}}
    if type_ == "bitbucket-server":
        ref = {"id": f"refs/heads/{branch}", "displayId": branch, "type": "BRANCH"}
        change = {"ref": ref, "refId": ref["id"], "fromHash": "0" * 40, "toHash": commit, "type": "UPDATE"}
        said = {"eventKey": "repo:refs_changed", "actor": {}, "repository": {}, "changes": [change]}
    return json.dumps(said).encode()


def call_of(
    type_: ReceiverType, secret: str, *, body: bytes | None = None, delivery: str = "d-1", branch: str = "main",
    event: str | None = None, at: int = AT, signing: bool = True,
) -> Sent:  # fmt: skip
    """A push to a branch. `signing`: GitLab with its signing token, otherwise with its secret token."""
    sent = push_body(type_, branch) if body is None else body
    digest = hexed(secret, sent)
    sha1 = "sha1=" + hmac.new(secret.encode(), sent, hashlib.sha1).hexdigest()
    as_github = {"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery, "X-Hub-Signature": sha1}
    as_gogs = as_github | {"X-Gogs-Event": event or "push", "X-Gogs-Delivery": delivery, "X-Gogs-Signature": digest}
    as_gitea = as_gogs | {
        "X-Gitea-Event": event or "push", "X-Gitea-Event-Type": "push", "X-Gitea-Delivery": delivery,
        "X-Gitea-Signature": digest, "X-Hub-Signature-256": f"sha256={digest}",
    }  # fmt: skip
    by_type: dict[ReceiverType, dict[str, str]] = {
        "github": as_github | {"X-GitHub-Event": event or "push", "X-Hub-Signature-256": f"sha256={digest}"},
        "gogs": as_gogs,
        "gitea": as_gitea,
        "forgejo": as_gitea
        | {"X-Forgejo-Event": event or "push", "X-Forgejo-Delivery": delivery, "X-Forgejo-Signature": digest},
        "gitlab": {"X-Gitlab-Event": event or "Push Hook", "Idempotency-Key": delivery}
        | (_standard(secret, delivery, at, sent) if signing else {"X-Gitlab-Token": secret}),
        "bitbucket": {
            "X-Event-Key": event or "repo:push", "X-Request-UUID": delivery, "X-Hub-Signature": f"sha256={digest}",
        },
        "bitbucket-server": {
            "X-Event-Key": event or "repo:refs_changed", "X-Request-Id": delivery, "X-Hub-Signature": f"sha256={digest}"
        },
        "generic": {"X-Delivery-Id": delivery, "X-Signature": f"sha256={digest}"},
    }  # fmt: skip
    return Sent({"Content-Type": "application/json", **by_type[type_]}, sent)


def _standard(secret: str, delivery: str, at: int, body: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{delivery}.{at}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": delivery, "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}
