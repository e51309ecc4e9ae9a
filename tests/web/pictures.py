"""The pictures of pages in README and docs: where they are, and what they were made from.

A lab test makes them (`test_pictures_seen.py`). They are stale once a template or the style sheet is another one.
"""

import hashlib
from pathlib import Path

TOP = Path(__file__).parents[2]
FOLDER = TOP / "deploy/docs/pictures"
MADE_FROM = FOLDER / "made-from.txt"
MOST_BYTES = 150_000
COMMAND = "PASSERELLE_ACCEPT=1 .venv/bin/python -m pytest -m lab tests/web/test_pictures_seen.py"

TEMPLATES = {
    "fleet": ("fleet.html", "fleet_row.html", "step.html"),
    "host": ("host.html", "host_tabs.html", "step.html"),
    "topology": ("topology.html", "host_tabs.html"),
    "plan": ("plan.html", "plan_risk.html", "host_tabs.html"),
}
"""Each picture, and the templates that only its page uses."""
SHARED = ("layout.html", "parts.html")


def names() -> list[str]:
    """The files of all pictures."""
    return [f"{name}-{scheme}.png" for name in TEMPLATES for scheme in ("light", "dark")]


def digests() -> str:
    """What each picture is made from now, one line each."""
    lines = []
    for name, own in TEMPLATES.items():
        web = TOP / "service/web"
        used = [*(web / "templates" / one for one in (*SHARED, *own)), web / "static/style.css"]
        content = b"\0".join(path.read_bytes() for path in used)
        lines.append(f"{name} {hashlib.sha256(content).hexdigest()}\n")
    return "".join(lines)
