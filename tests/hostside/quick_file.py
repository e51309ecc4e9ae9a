"""The host-side file for tests that run it a thousand times: the same file, compiled once, its patience shortened.

How long it waits before it looks again is no part of what those tests prove; that it looks again is. The file as it is
runs on the lab's hosts, against a real kernel (test_kernel.py) and behind a real sshd (tests/apply).
"""

import re
import subprocess
from pathlib import Path

from tests.hostside.scratch import FILE, PYTHON

SHORTER = {
    "PAUSES_S": "(0.0, 0.01, 0.02, 0.05, 0.1, 0.2)",
    "PROOF_PAUSES_S": "(0.0, 0.05)",
    "STILL_THERE_S": "0.3",
    "RESCUE_PATIENCE_S": "0.3",
}
COMPILE = "import py_compile, sys; py_compile.compile(sys.argv[1], sys.argv[2], doraise=True)"


def quick_file(folder: Path) -> Path:
    """Made in a folder. Bytecode under the name of a source file: python knows it by its first bytes, also copied."""
    text = FILE.read_text(encoding="utf-8")
    for name, value in SHORTER.items():
        text, count = re.subn(rf"^{name} = [^#\n]*", f"{name} = {value}  ", text, flags=re.MULTILINE)
        assert count == 1, f"{FILE.name} has {count} constants {name}"
    (folder / "source.py").write_text(text, encoding="utf-8")
    quick = folder / FILE.name
    subprocess.run([*PYTHON, "-c", COMPILE, str(folder / "source.py"), str(quick)], check=True, timeout=60)
    return quick
