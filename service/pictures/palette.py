"""The colours of every picture, for light and dark.

Each shape has a class of this table, and the attributes of its light form. So a viewer that knows no style sheet shows
it right on its own paper. `dark()` is the sheet for a picture that is a file, `web_rules()` the one for a page.
"""

from collections.abc import Mapping

LIGHT: Mapping[str, Mapping[str, str]] = {
    "paper": {"fill": "#ffffff"},
    "ink": {"fill": "#1b1f24"},
    "faint": {"fill": "#57606a"},
    "warn": {"fill": "#9a3412"},
    "box": {"fill": "#f6f8fa", "stroke": "#6e7781"},
    "frame": {"fill": "none", "stroke": "#6e7781"},
    "drifted": {"fill": "#fff7ed", "stroke": "#9a3412"},
    "line": {"fill": "none", "stroke": "#57606a"},
    "off": {"fill": "none", "stroke": "#9a3412"},
    "grid": {"fill": "none", "stroke": "#d0d7de"},
    "empty": {"fill": "#e7ebef", "stroke": "#6e7781"},
    "full": {"fill": "#0a5ca8"},
    "kept": {"fill": "#7fb2e5"},
    "bar-1": {"fill": "#0a5ca8"},
    "bar-2": {"fill": "#e08a2e"},
    "bar-3": {"fill": "#6b4fa0"},
    "bar-4": {"fill": "#2f8f6b"},
    "bar-5": {"fill": "#b0336b"},
    "bar-6": {"fill": "#7a7f87"},
    "line-1": {"fill": "none", "stroke": "#0a5ca8"},
    "line-2": {"fill": "none", "stroke": "#b45f06"},
    "line-3": {"fill": "none", "stroke": "#6b4fa0"},
    "line-4": {"fill": "none", "stroke": "#2a7f5f"},
    "line-5": {"fill": "none", "stroke": "#b0336b"},
    "line-6": {"fill": "none", "stroke": "#6e7781"},
}
DARK: Mapping[str, Mapping[str, str]] = {
    "paper": {"fill": "#15181c"},
    "ink": {"fill": "#e8eaed"},
    "faint": {"fill": "#a5adb6"},
    "warn": {"fill": "#fdba74"},
    "box": {"fill": "#1f242a", "stroke": "#8b949e"},
    "frame": {"stroke": "#8b949e"},
    "drifted": {"fill": "#33200f", "stroke": "#fdba74"},
    "line": {"stroke": "#a5adb6"},
    "off": {"stroke": "#fdba74"},
    "grid": {"stroke": "#3a424b"},
    "empty": {"fill": "#2b3138", "stroke": "#8b949e"},
    "full": {"fill": "#6cb1f5"},
    "kept": {"fill": "#2f6aa5"},
    "bar-1": {"fill": "#6cb1f5"},
    "bar-2": {"fill": "#f0a858"},
    "bar-3": {"fill": "#b39ce0"},
    "bar-4": {"fill": "#63c49c"},
    "bar-5": {"fill": "#ec7fb0"},
    "bar-6": {"fill": "#a5adb6"},
    "line-1": {"stroke": "#6cb1f5"},
    "line-2": {"stroke": "#f0a858"},
    "line-3": {"stroke": "#b39ce0"},
    "line-4": {"stroke": "#63c49c"},
    "line-5": {"stroke": "#ec7fb0"},
    "line-6": {"stroke": "#a5adb6"},
}
COLOURS = 6
"""So many series have a colour of their own."""


def dark() -> str:
    """The style sheet inside a picture that is a file."""
    rules = "".join(f".p-{name}{{{_words(values)}}}" for name, values in DARK.items())
    return f"@media (prefers-color-scheme:dark){{{rules}}}"


def web_rules() -> str:
    """The rules for pictures in a page: the page chooses light or dark by `color-scheme`."""
    lines = []
    for name, values in DARK.items():
        words = " ".join(f"{key}: light-dark({LIGHT[name][key]}, {value});" for key, value in values.items())
        lines.append(f".p-{name} {{ {words} }}\n")
    return "".join(lines)


def _words(values: Mapping[str, str]) -> str:
    return ";".join(f"{key}:{value}" for key, value in values.items())
