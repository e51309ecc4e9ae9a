"""How wide a text is at most, whatever font the viewer has for a generic family.

The widths are those of DejaVu, which is wider than the other usual fonts, in parts of the font's size.
"""

import unicodedata

SANS, MONO = "sans-serif", "monospace"
_MONO_EM = 0.61
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[]/ -"), frozenset("mwMW@%—…")


def width_of(text: str, size: float, *, is_mono: bool = False, is_bold: bool = False) -> float:
    """An upper bound, in pixels, for a font of `size` pixels."""
    total = sum(_em(one, is_mono=is_mono) for one in text)
    return total * size * (1.1 if is_bold and not is_mono else 1.0)


def cut(text: str, room: float, size: float, *, is_mono: bool = False, is_bold: bool = False) -> str:
    """The text, or as much of it as `room` pixels hold, with … at its end."""
    if width_of(text, size, is_mono=is_mono, is_bold=is_bold) <= room:
        return text
    held, left = [], room - width_of("…", size, is_mono=is_mono, is_bold=is_bold)
    for one in text:
        left -= width_of(one, size, is_mono=is_mono, is_bold=is_bold)
        if left < 0:
            break
        held.append(one)
    return "".join(held).rstrip() + "…"


def folded(text: str, room: float, size: float, *, most: int = 4) -> list[str]:
    """The text in lines of at most `room` pixels, broken between words; of more than `most` lines the rest is in the
    last one, which may be too long."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and len(lines) < most and width_of(longer, size) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _em(one: str, *, is_mono: bool) -> float:
    if unicodedata.east_asian_width(one) in "WF":
        return 1.25
    if unicodedata.combining(one):
        return 0.0
    if is_mono:
        return _MONO_EM if ord(one) < 0x2500 else 1.25
    if one in _NARROW:
        return 0.42
    if one in _WIDE:
        return 1.01
    return 0.79 if one.isupper() or ord(one) > 0x2FF else 0.65
