"""How a plan is named: by its digest, or by the beginning of it.

digest_prefix("0123456789ab") -> "sha256:0123456789ab"        ValueError for what is too short or no digest
"""

import re

SHORTEST = 12
"""Hex digits, 48 bits: no two plans of a host share them by chance. Where somebody made two that do, neither is meant
until more digits are given."""
PATTERN = rf"^(sha256:)?[0-9a-f]{{{SHORTEST},64}}$"
FULL = len("sha256:") + 64
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


def digest_prefix(text: str) -> str:
    """The digest, or its beginning, with the algorithm before it. ValueError says what is wrong with it."""
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise ValueError("this is not the digest of a plan: `passerelle plan HOST` shows it")
    if len(found[1]) < SHORTEST:
        raise ValueError(f"the digest is too short: {len(found[1])} digits. Give its first {SHORTEST} digits or more")
    return f"sha256:{found[1]}"
