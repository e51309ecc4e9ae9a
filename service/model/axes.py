"""The words of each axis of a state, of hosts, applies and sites. `runs.py` and `sites/states.py` say what follows."""

from typing import Literal

SyncState = Literal["Synced", "OutOfSync", "Unknown"]
Health = Literal["Healthy", "Progressing", "Degraded", "Unknown"]
Reachability = Literal["Reachable", "Unreachable", "AuthFailed", "HostKeyChanged", "Unknown"]
Phase = Literal[
    "Idle",
    "Pending",
    "WaitingForApproval",
    "WaitingForWindow",
    "Running",
    "AwaitingConfirmation",
    "Succeeded",
    "Failed",
    "RolledBack",
    "RollbackFailed",
    "Refused",
]
SiteWord = Literal[
    "not-seen", "guest-down", "proxy-down", "expired", "unreachable", "other-answers", "program-failed",
    "renewal-failed", "upstream-off", "back-off", "waits-for-permit", "self-signed", "staging", "renewing", "published",
]  # fmt: skip
Weight = Literal["well", "waits", "trouble", "unknown"]
"""`waits`: passerelle or the CA has the next move. `trouble`: a person has to act. `unknown`: nobody has looked."""
