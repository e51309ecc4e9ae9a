"""fail2ban's files, jail.conf(5): sections of `key = value` lines, later ones win.

    render(sections) -> bytes          parse(data) -> {section: {key: value}}
    seconds(text) -> int | None        a time as fail2ban reads it: `1w`, `1d 12h`, `1h30m`, `600`

Only numbers, addresses and words from closed lists are ever rendered. A value continues in indented lines.
"""

import re
from collections.abc import Mapping

HEADER = "# written by passerelle\n"
MAX_BYTES = 1 << 20
_SECTION = re.compile(r"\[([A-Za-z0-9_.-]{1,60})\]")
_PAIR = re.compile(r"([A-Za-z0-9_.-]{1,60})\s*[=:]\s*(.*)")


_TIME = re.compile(r"\s*([0-9]{1,9})\s*([a-z]*)")
_UNITS_S = {
    1: ("", "s", "ss", "sec", "secs", "second", "seconds"),
    60: ("m", "mm", "min", "mins", "minute", "minutes"),
    3600: ("h", "hh", "hou", "hour", "hours"),
    86_400: ("d", "dd", "da", "day", "days"),
    604_800: ("w", "ww", "wee", "week", "weeks"),
}
"""To fail2ban, months and years do not have a whole number of days: they are not read here (jail.conf(5))."""


def seconds(text: str) -> int | None:
    """The sum of a time's parts; None for another text, such as -1, which bans permanently."""
    total, position = 0, 0
    units = {word: unit_s for unit_s, words in _UNITS_S.items() for word in words}
    lower = text.strip().lower()
    while position < len(lower):
        match = _TIME.match(lower, position)
        if match is None or match[2] not in units:
            return None
        total += int(match[1]) * units[match[2]]
        position = match.end()
    return total if lower else None


def render(sections: Mapping[str, Mapping[str, str]]) -> bytes:
    """A file of ours."""
    parts = [
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) for name, keys in sections.items()
    ]
    return (HEADER + "\n".join(parts)).encode("ascii")


def parse(data: bytes) -> dict[str, dict[str, str]]:
    """What a file says; what is neither a section nor a pair is passed over, as a comment is."""
    found: dict[str, dict[str, str]] = {}
    section, key = "", ""
    for raw in data[:MAX_BYTES].decode("utf-8", "replace").split("\n"):
        line = raw.split(" ;", 1)[0].rstrip()
        if not line.strip() or line[0] in "#;":
            continue
        if line[0] in " \t" and key:
            found[section][key] = f"{found[section][key]} {line.strip()}".strip()
        elif head := _SECTION.fullmatch(line.strip()):
            section, key = head[1], ""
            found.setdefault(section, {})
        elif section and (pair := _PAIR.fullmatch(line.strip())):
            key = pair[1].lower()
            found[section][key] = pair[2].strip()
    return found
