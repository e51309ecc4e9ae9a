"""Text of SVG, from values. Nothing that others wrote becomes markup, and no hidden character stays hidden.

    drawing = Drawing("web", "one box", 100, 40, (box(4, 4, 92, 32), label("web", 10, 24)))
    drawing.inline()      for a page: `role="img"`, classes, the page's style sheet
    drawing.alone()       for a file: the same with its own sheet for dark, which `POLICY` names by its digest

Lengths are CSS pixels. There is no style attribute anywhere.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from service.pictures.measure import MONO, SANS, cut
from service.pictures.palette import LIGHT, dark

NAMESPACE = "http://www.w3.org/2000/svg"
MEDIA_TYPE = "image/svg+xml"
STYLE = dark()
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy of a picture that is a file: its own sheet, and nothing else (CSP level 3, 2.3.1)."""

Value = str | float


@dataclass(frozen=True, slots=True)
class Element:
    """One element. A str inside is text."""

    tag: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    inside: tuple["Element | str", ...] = ()


def plain(text: str) -> str:
    """A text with its hidden characters as escapes: control characters, ANSI, bidi marks, what XML forbids."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def written(one: Element | str) -> str:
    """An element, or a text, as SVG."""
    return "".join(_parts(one))


def _parts(one: Element | str) -> Iterator[str]:
    if isinstance(one, str):
        yield escape(plain(one))
        return
    yield f"<{one.tag}"
    for name, value in one.attributes.items():
        yield f" {name}={quoteattr(plain(value) if isinstance(value, str) else _number(value))}"
    if not one.inside:
        yield "/>"
        return
    yield ">"
    for each in one.inside:
        yield from _parts(each)
    yield f"</{one.tag}>"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture. `title` is its name and `desc` says the same in words. With links its parts stay reachable, so then
    it is a group, and no image (WAI-ARIA 1.2: what is inside of an image is presentation)."""

    title: str
    desc: str
    width: float
    height: float
    inside: tuple[Element, ...]
    has_links: bool = False

    def inline(self, style: str = "") -> str:
        """For a page, which has the rules of the classes. `style` is a further class, such as `wide`."""
        role = "group" if self.has_links else "img"
        return written(self._whole({"class": f"picture {style}".strip(), "role": role}, ()))

    def alone(self) -> str:
        """For a file."""
        sheet = Element("style", {}, (STYLE,))
        return written(self._whole({"xmlns": NAMESPACE, "role": "img"}, (sheet,)))

    def _whole(self, attributes: Mapping[str, Value], first: tuple[Element, ...]) -> Element:
        size = {"width": self.width, "height": self.height}
        view = f"0 0 {_number(self.width)} {_number(self.height)}"
        paper = shape("rect", "paper", {"x": 0, "y": 0, **size})
        words = (Element("title", {}, (self.title,)), Element("desc", {}, (self.desc,)))
        return Element(
            "svg",
            {**attributes, **size, "viewBox": view, "aria-label": self.title, "font-size": 13, "font-family": SANS},
            (*words, *first, paper, *self.inside),
        )


def shape(tag: str, ink: str, attributes: Mapping[str, Value], *inside: Element | str) -> Element:
    """An element with a class of the palette, and its light colours."""
    return Element(tag, {"class": f"p-{ink}", **LIGHT[ink], **attributes}, inside)


def box(
    x: float, y: float, width: float, height: float, ink: str = "box", *, dashes: str = "", said: str = ""
) -> Element:
    """A rectangle with round corners. `said` is shown when the pointer rests on it."""
    marks: dict[str, Value] = {"stroke-dasharray": dashes, "stroke-width": 1.6} if dashes else {}
    inside = (Element("title", {}, (said,)),) if said else ()
    return shape("rect", ink, {"x": x, "y": y, "width": width, "height": height, "rx": 4, **marks}, *inside)


def line(points: Iterable[tuple[float, float]], ink: str = "line", **more: Value) -> Element:
    """A line through points."""
    text = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    return shape("polyline", ink, {"points": text, **{name.replace("_", "-"): value for name, value in more.items()}})


def label(
    text: str, x: float, y: float, ink: str = "ink", *, size: float = 13, room: float = 0, is_mono: bool = False,
    is_bold: bool = False, anchor: str = "start",
) -> Element:  # fmt: skip
    """A text whose baseline is at `y`. `room` is its largest width; what is longer is cut with …, and whole in its
    title."""
    whole = plain(text)
    shown = cut(whole, room, size, is_mono=is_mono, is_bold=is_bold) if room else whole
    more: dict[str, Value] = {}
    if is_mono:
        more["font-family"] = MONO
    if is_bold:
        more["font-weight"] = "bold"
    if size != 13:
        more["font-size"] = size
    if anchor != "start":
        more["text-anchor"] = anchor
    title = (Element("title", {}, (whole,)),) if shown != whole else ()
    return shape("text", ink, {"x": x, "y": y, **more}, *title, shown)
