"""The host-side file for tests that run it a thousand times: the same file, compiled once, its patience shortened.

How long it waits before it looks again is not part of what those tests prove; that it looks again is. The file as it is
runs on the lab's hosts, against a real kernel (test_kernel.py) and behind a real sshd (tests/apply).
"""

import re
from pathlib import Path

from service.apply.host_file import rooms
from tests.hostside.rooms import compiled, with_cuts

SHORTER = {
    "PAUSES_S": "(0.0, 0.01, 0.02, 0.05, 0.1, 0.2)",
    "PROOF_PAUSES_S": "(0.0, 0.05)",
    "STILL_THERE_S": "0.3",
    "RESCUE_PATIENCE_S": "0.3",
}


def quick_file(folder: Path) -> Path:
    """Made in a folder."""
    texts = rooms()
    for name, value in SHORTER.items():
        found = [line for text in texts.values() for line in re.findall(rf"^{name} = .*\n", text, re.MULTILINE)]
        assert len(found) == 1, f"the rooms have {len(found)} constants {name}"
        texts = with_cuts(name, [(f"\n{found[0]}", f"\n{name} = {value}\n")], texts)
    return compiled(texts, folder)
