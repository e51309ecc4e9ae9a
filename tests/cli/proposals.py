"""Answers of the service about a revision that nobody follows."""

from typing import Any

PLAN: dict[str, Any] = {
    "steps": [
        {"fact": "link:vmbr0", "restart": False, "on_confirm": False, "why": "bridges", "risk": "", "before": None,
         "after": {}},
    ],
    "packages": [], "guests": [], "refusals": [], "drifts": [], "files": [], "notes": [],
    "summary": {"steps": 1, "packages": 0, "refusals": 0, "opens": 0, "closes": 0, "cut": []},
}  # fmt: skip
REFUSED = PLAN | {"refusals": [{"rule": "management-path", "what": "it cuts the way of the service", "hint": "do not"}]}


def host(name: str, outcome: str, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """One host of an answer."""
    told: dict[str, Any] = {"host": name, "outcome": outcome, "why": "", "settings": [], "observed_at": None}
    told |= {"digest": "", "body": body}
    return told | more


def answer(*hosts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An answer about pull request 7."""
    commit = {"hash": "b" * 40, "author_name": "Bob", "author_email": "bob@example.org",
              "committed_at": "2026-03-01T12:00:00Z", "subject": "a bridge"}  # fmt: skip
    told: dict[str, Any] = {
        "proposal": {"kind": "pull", "name": "7"}, "commit": commit, "in_force": "c" * 40, "contains_it": True,
        "errors": 0, "warnings": 0, "findings": [], "more_findings": 0, "hosts": [*hosts],
    }  # fmt: skip
    return told | more


def finding(what: str = "unknown key", severity: str = "error", file: str = "hosts/pve1.yaml") -> dict[str, Any]:
    """One finding."""
    return {"file": file, "line": 3, "col": 1, "path": "snyc", "severity": severity, "rule": "r", "what": what,
            "right": "write sync"}  # fmt: skip
