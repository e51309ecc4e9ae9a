"""What is shipped of others is what they published, with its licence next to it."""

import hashlib
from importlib.resources import files

STATIC = files("service.web") / "static"


def test_htmx_is_the_file_that_was_published() -> None:
    """dist/htmx.min.js of the package htmx.org 4.0.1."""
    digest, name = (STATIC / "htmx-4.0.1.sha256").read_text().split()
    assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest


def test_each_script_of_others_has_its_licence() -> None:
    ours = {"keys.js", "live.js"}
    others = [one.name for one in STATIC.iterdir() if one.name.endswith(".js") and one.name not in ours]
    assert others == ["htmx-4.0.1.min.js"]
    assert "BSD" in (STATIC / "htmx-4.0.1.LICENSE").read_text()
