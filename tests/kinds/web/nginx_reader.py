"""nginx's configuration as nginx reads it, for tests: written from ngx_conf_file.c, apart from what the service writes.

    read(text) -> [["listen", "80"], ["location", "/", [["return", "444"]]]]

A directive is its words, and last the list of what is in its braces. ValueError where nginx would not read it.
"""

import re

Directives = list[list[object]]
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}


def read(text: str) -> Directives:
    """All directives of a file."""
    top: Directives = []
    open_blocks: list[Directives] = [top]
    words: list[object] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char.isspace():
            at += 1
        elif char == "#":
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
        elif char in ";{":
            if not words:
                raise ValueError(f"unexpected {char} at {at}")
            if char == "{":
                inside: Directives = []
                words.append(inside)
            open_blocks[-1].append(words)
            if char == "{":
                open_blocks.append(inside)
            words, at = [], at + 1
        elif char == "}":
            if words or len(open_blocks) == 1:
                raise ValueError(f"unexpected }} at {at}")
            open_blocks.pop()
            at += 1
        else:
            word, at = _word(text, at)
            words.append(word)
    if words or len(open_blocks) > 1:
        raise ValueError("unexpected end of file")
    return top


def _word(text: str, at: int) -> tuple[str, int]:
    """One word, quoted or bare, and the place after it."""
    quote = text[at] if text[at] in "\"'" else ""
    start = at = at + len(quote)
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if quote and char == quote:
            following = text[at + 1 : at + 2]
            if following and following not in ";{)" and not following.isspace():
                raise ValueError(f"unexpected {following} after a quote at {at}")
            return _plain(text[start:at]), at + 1
        if not quote and char == "$" and text[at + 1 : at + 2] == "{":
            at += 2
            continue
        if not quote and (char.isspace() or char in ";{"):
            return _plain(text[start:at]), at
        at += 1
    raise ValueError("a word does not end")


def _plain(raw: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), raw, flags=re.DOTALL)
