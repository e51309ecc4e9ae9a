"""The picture in the README, made from what the demo printed: `deploy/demo --once 2>demo.log`, then
`.venv/bin/python deploy/picture.py demo.log >deploy/docs/demo.svg`.

A line of progress (`   … 5 s`) is left out, and a long value is cut. A test reads the lines of the picture back, and
compares them with the story of the demo.
"""

import sys
from html import escape
from pathlib import Path

WIDTH = 108
"""Characters of a line."""
CHAR_W, LINE_H, MARGIN = 7.4, 19, 18
COLOURS = {"stage": "#7dd3fc", "flag": "#86efac", "plain": "#e2e8f0", "prompt": "#fbbf24"}
PROMPT = "# deploy/demo"


def shown(log: str) -> list[tuple[str, str]]:
    """(kind, text) of each line worth showing, in order."""
    lines = [("prompt", PROMPT)]
    for line in log.splitlines():
        if line.startswith("-- "):
            lines.append(("stage", line))
        elif line.startswith("   ") and ": " in line and not line.lstrip().startswith("…"):
            lines.append(("flag", line))
    return [(kind, text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…") for kind, text in lines]


def picture(lines: list[tuple[str, str]]) -> str:
    """The lines as an SVG of a terminal. It needs no font beyond a monospaced one, and nothing from a network."""
    width, height = round(WIDTH * CHAR_W + 2 * MARGIN), len(lines) * LINE_H + 2 * MARGIN
    texts = "".join(
        f'<text x="{MARGIN}" y="{MARGIN + 13 + number * LINE_H}" fill="{COLOURS[kind]}" xml:space="preserve">'
        f"{escape(text)}</text>\n"
        for number, (kind, text) in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="12.3">\n'
        "<title>What the demo prints</title>\n"
        f'<rect width="{width}" height="{height}" rx="8" fill="#0f172a"/>\n'
        f"{texts}</svg>\n"
    )


if __name__ == "__main__":
    sys.stdout.write(picture(shown(Path(sys.argv[1]).read_text(encoding="utf-8"))))
