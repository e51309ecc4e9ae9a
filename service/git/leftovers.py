"""What a killed git leaves behind in a bare repository: locks, and half of a pack.

Nobody else removes it, because git's own upkeep is off. A lock that is left stops every later fetch.
"""

import shutil
from pathlib import Path


def sweep(directory: Path) -> None:
    """Remove it. Whoever calls holds the lock on the folder, so no git of ours is using it."""
    objects = directory / "objects"
    for left in (*directory.glob("*.lock"), *(directory / "refs").rglob("*.lock")):
        left.unlink(missing_ok=True)
    for left in (*(objects / "pack").glob("tmp_*"), *(objects / "pack").glob(".tmp-*")):
        left.unlink(missing_ok=True)
    for left in (*objects.glob("tmp_objdir-*"), *objects.glob("incoming-*")):
        shutil.rmtree(left, ignore_errors=True)
