"""The words, shapes and tones of states, and times as people say them. A colour never stands alone."""

from collections.abc import Mapping
from datetime import datetime, timedelta

STATES: Mapping[str, tuple[str, str, str]] = {
    "Synced": ("good", "✓", "In sync"),
    "OutOfSync": ("warn", "≠", "Out of sync"),
    "Unknown": ("plain", "?", "Unknown"),
    "Healthy": ("good", "✓", "Healthy"),
    "Progressing": ("busy", "◐", "Progressing"),
    "Degraded": ("bad", "✕", "Degraded"),
    "Reachable": ("good", "✓", "Reachable"),
    "Unreachable": ("bad", "✕", "Unreachable"),
    "AuthFailed": ("bad", "✕", "Login refused"),
    "HostKeyChanged": ("bad", "✕", "Host key changed"),
    "Idle": ("plain", "–", "Idle"),
    "Pending": ("busy", "○", "Pending"),
    "WaitingForApproval": ("warn", "◇", "Waits for approval"),
    "WaitingForWindow": ("plain", "◷", "Waits for its window"),
    "Running": ("busy", "◐", "Running"),
    "AwaitingConfirmation": ("busy", "◑", "Waits for confirmation"),
    "Succeeded": ("good", "✓", "Succeeded"),
    "Failed": ("bad", "✕", "Failed"),
    "RolledBack": ("warn", "↶", "Rolled back"),
    "RollbackFailed": ("bad", "■", "Rollback failed"),
    "Refused": ("bad", "✕", "Refused"),
    "stale": ("warn", "◷", "Stale"),
    "suspended": ("plain", "‖", "Suspended"),
    "quarantined": ("bad", "■", "Quarantined"),
    "current": ("busy", "○", "Current"),
    "superseded": ("plain", "–", "Superseded"),
    "accepted": ("good", "✓", "Accepted"),
    "refused": ("bad", "✕", "Refused"),
    "rollback-failed": ("bad", "■", "Rollback failed"),
    "host-key": ("bad", "✕", "Host key changed"),
    "login": ("bad", "✕", "Login refused"),
    "unreachable": ("bad", "✕", "Unreachable"),
    "waits-for-approval": ("warn", "◇", "Waits for approval"),
    "rolled-back": ("warn", "↶", "Rolled back"),
    "failed": ("bad", "✕", "Failed"),
    "drifted": ("warn", "≠", "Drifted"),
    "not-compared": ("plain", "?", "Not compared"),
    "left-git": ("plain", "∅", "Left Git"),
    "degraded": ("bad", "✕", "Degraded"),
    "pending": ("plain", "○", "Pending"),
    "doing": ("busy", "◐", "Doing"),
    "done": ("good", "✓", "Done"),
    "undone": ("warn", "↶", "Undone"),
    "running": ("busy", "◐", "Running"),
    "applying": ("busy", "◐", "Applying"),
    "halted": ("warn", "‖", "Halted"),
    "aborted": ("bad", "✕", "Aborted"),
    "followed": ("good", "✓", "Followed"),
    "unread": ("plain", "?", "Not read yet"),
    "unverified": ("bad", "✕", "Not trusted"),
    "rewound": ("bad", "↶", "History rewritten"),
    "missing": ("bad", "✕", "Branch is missing"),
    "empty": ("plain", "∅", "Empty"),
    "unreadable": ("bad", "✕", "Cannot be read"),
    "git": ("busy", "⎇", "Git moved"),
    "host": ("warn", "⌂", "Host moved"),
    "both": ("warn", "≠", "Both moved"),
    "ACCEPT": ("good", "✓", "Accept"),
    "DROP": ("bad", "✕", "Drop"),
    "REJECT": ("bad", "↩", "Reject"),
    "decides": ("busy", "→", "decides"),
    "never decides": ("warn", "∅", "never decides"),
    "off": ("plain", "○", "off"),
    "not judged": ("plain", "?", "not judged"),
    "fixed": ("good", "■", "Fixed"),
    "dynamic": ("good", "○", "Dynamic"),
    "foreign": ("warn", "?", "Foreign"),
    "waiting": ("plain", "◌", "No lease now"),
    "expired": ("plain", "–", "Expired"),
    "unknown": ("plain", "?", "Unknown"),
    "conflict": ("bad", "✕", "Conflict"),
    "past": ("busy", "◷", "Past"),
}
"""State → tone (a class of the style sheet), shape, word."""

NAVIGATION = (
    ("/", "Fleet"),
    ("/applies", "Applies"),
    ("/leases", "Leases"),
    ("/history", "History"),
    ("/topology", "Topology"),
    ("/settings", "Settings"),
)
"""The pages that each page leads to."""

HOST_PAGES = (
    ("", "State and drift"),
    ("/plan", "Plan"),
    ("/firewall", "Firewall"),
    ("/topology", "Topology"),
    ("/leases", "Leases and guests"),
    ("/history", "History"),
)
"""The pages of one host: the end of each address, and its word."""

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def span(length: timedelta) -> str:
    """A length of time in its largest unit: `3 minutes`."""
    seconds = max(0, round(abs(length.total_seconds())))
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' * (count != 1)}"
    return "0 seconds"


def ago(at: datetime, now: datetime) -> str:
    """How long ago, or in how long."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"{span(now - at)} ago" if seconds > 0 else f"in {span(at - now)}"
