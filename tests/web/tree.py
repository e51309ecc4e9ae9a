"""An HTML document as a tree, by the standard library's parser alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
"""Elements without an end tag: HTML Living Standard, 13.1.2."""

ENDED_BY = {
    "li": {"li"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "option": {"option", "optgroup"}, "tr": {"tr", "td", "th"},
    "td": {"td", "th"}, "th": {"td", "th"}, "tbody": {"thead", "tbody", "tr", "td", "th"}, "p": {"p"},
}  # fmt: skip
"""A start tag, and the open elements that it ends: HTML Living Standard, 13.1.2.4, the cases that our pages use."""


@dataclass(eq=False)
class Element:
    """One element; `children` are elements and texts in their order."""

    name: str
    attributes: dict[str, str]
    line: int
    parent: "Element | None" = None
    children: "list[Element | str]" = field(default_factory=list)

    def __getitem__(self, attribute: str) -> str:
        return self.attributes.get(attribute, "")

    def __contains__(self, attribute: str) -> bool:
        return attribute in self.attributes

    @property
    def text(self) -> str:
        """All text within, white space as a browser shows it outside of `pre`."""
        return " ".join("".join(self._texts()).split())

    @property
    def raw_text(self) -> str:
        """All text within, as it was written."""
        return "".join(self._texts())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._texts()
                if child.name not in INLINE:
                    yield " "

    def inside(self) -> "Iterator[Element]":
        """The elements within, in the order of the document."""
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.inside()

    def all(self, *names: str, where: "Callable[[Element], bool]" = lambda _element: True) -> "list[Element]":
        """The elements within of one of these names."""
        return [element for element in self.inside() if element.name in names and where(element)]

    def first(self, *names: str) -> "Element":
        """The first one of these names; LookupError where there is none."""
        for element in self.inside():
            if element.name in names:
                return element
        raise LookupError(f"no <{'> or <'.join(names)}> in <{self.name}> of line {self.line}: {self.text[:200]}")

    def around(self, *names: str) -> "Element | None":
        """The nearest element around it of one of these names."""
        element = self.parent
        while element is not None and element.name not in names:
            element = element.parent
        return element

    @property
    def classes(self) -> frozenset[str]:
        return frozenset(self["class"].split())


INLINE = frozenset(
    {
        "a",
        "abbr",
        "b",
        "bdi",
        "code",
        "em",
        "i",
        "ins",
        "del",
        "mark",
        "small",
        "span",
        "strong",
        "time",
        "tspan",
        "wbr",
    }
)


class _Builder(HTMLParser):
    """Every end tag has to name the element that is open: a page that a browser must correct is refused."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.open = Element("#document", {}, 0)
        self.doubled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self.open.name in ENDED_BY.get(tag, ()) and self.open.parent is not None:
            self.open = self.open.parent
        line = self.getpos()[0]
        names = [name for name, _ in attrs]
        self.doubled += [f"line {line}: <{tag}> has {name} twice" for name in set(names) if names.count(name) > 1]
        element = Element(tag, {name: value or "" for name, value in attrs}, line, self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        element: Element | None = self.open
        while element is not None and element.name != tag and element.name in ENDED_BY:
            element = element.parent  # its end tag may be left out
        if element is None or element.name != tag:
            raise ValueError(f"line {self.getpos()[0]}: </{tag}> ends <{self.open.name}> of line {self.open.line}")
        self.open = element.parent or self.root

    def handle_data(self, data: str) -> None:
        self.open.children.append(data)


def parse(html: str) -> tuple[Element, list[str]]:
    """The document, and each attribute that one element has twice.

    ValueError, with its line, where an end tag is missing or is one too many.
    """
    builder = _Builder()
    builder.feed(html)
    builder.close()
    if builder.open is not builder.root:
        raise ValueError(f"<{builder.open.name}> of line {builder.open.line} has no end")
    return builder.root, builder.doubled
