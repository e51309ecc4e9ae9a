"""Golden files: what a test made against what is kept. `PASSERELLE_ACCEPT=1` keeps what was made."""

import difflib
import os
from pathlib import Path


def same_as_golden(golden: Path, made: str) -> None:
    """Fail with the difference unless `made` is what the file holds."""
    if os.environ.get("PASSERELLE_ACCEPT") == "1":
        golden.write_text(made, encoding="utf-8")
    kept = golden.read_text(encoding="utf-8") if golden.exists() else ""
    difference = difflib.unified_diff(kept.splitlines(), made.splitlines(), "kept", "made", lineterm="")
    assert made == kept, f"{golden}: set PASSERELLE_ACCEPT=1 to keep what was made\n" + "\n".join(difference)
