"""What this program reports."""

from __future__ import annotations


class Trouble(Exception):  # noqa: N818
    """Something that a person should read: what happened, where, and what to do."""
