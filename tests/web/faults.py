"""What no page of ours may have, as far as its HTML alone shows it."""

from collections import Counter
from collections.abc import Iterator

from tests.web.tree import Element

REFERENCES = ("aria-labelledby", "aria-describedby", "aria-controls", "for", "headers", "list")
"""Attributes whose words are ids of this page."""


def faults_of(root: Element) -> list[str]:
    """One sentence each, with its line."""
    found = [fault for check in (_frame, _headings, _ids, _fields, _tables, _inline, _actions) for fault in check(root)]
    return sorted(set(found), key=found.index)


def _frame(root: Element) -> Iterator[str]:
    """WCAG 3.1.1, 2.4.2, 1.3.1: language, title, one main part."""
    pages = root.all("html")
    if len(pages) != 1 or not pages[0]["lang"]:
        yield "not one <html> with a lang"
    titles = [title for title in root.all("title") if title.around("svg") is None]
    if len(titles) != 1 or not titles[0].text:
        yield "not one <title> with words"
    if len(root.all("main")) != 1:
        yield f"{len(root.all('main'))} <main>, not one"
    if not root.all("nav"):
        yield "no <nav>"


def _headings(root: Element) -> Iterator[str]:
    """One h1, and no level left out on the way down."""
    levels = [(int(heading.name[1]), heading) for heading in root.all("h1", "h2", "h3", "h4", "h5", "h6")]
    if (count := sum(1 for level, _ in levels if level == 1)) != 1:
        yield f"{count} <h1>, not one"
    before = 0
    for level, heading in levels:
        if not heading.text:
            yield f"line {heading.line}: <{heading.name}> without words"
        if level > before + 1:
            yield f"line {heading.line}: <{heading.name}> {heading.text[:40]!r} follows <h{before}>"
        before = level


def _ids(root: Element) -> Iterator[str]:
    """Each id once, and what is referred to is there."""
    ids = Counter(element["id"] for element in root.inside() if "id" in element)
    yield from (f"{count} elements have the id {name!r}" for name, count in ids.items() if count > 1)
    for element in root.inside():
        for attribute in REFERENCES:
            for word in element[attribute].split():
                if word not in ids:
                    yield f"line {element.line}: {attribute}={word!r} of <{element.name}> is no id of the page"
        target = element["href"]
        if element.name == "a" and target.startswith("#") and len(target) > 1 and target[1:] not in ids:
            yield f"line {element.line}: the link {element.text!r} leads to {target}, which is not there"


def _fields(root: Element) -> Iterator[str]:
    """Each field and button has a name: WCAG 1.3.1 and 4.1.2."""
    labelled = {label["for"] for label in root.all("label")}
    for element in root.all("input", "select", "textarea"):
        if element["type"] in ("hidden", "submit"):
            continue
        named = element["aria-label"] or element["aria-labelledby"] or element.around("label") is not None
        if not named and element["id"] not in labelled - {""}:
            yield f"line {element.line}: <{element.name}> {element['name']!r} without a label"
    for element in root.all("button", "a", "summary", "label", "legend", "option"):
        pictures = [picture["alt"] for picture in element.all("img")] + [title.text for title in element.all("title")]
        if not (element.text or element["aria-label"] or any(pictures)) and "value" not in element:
            yield f"line {element.line}: <{element.name}> without words"
    for element in root.all("img"):
        if "alt" not in element:
            yield f"line {element.line}: <img> without alt"
    for element in root.all("svg"):
        if element["aria-hidden"] != "true" and not (element["aria-label"] or element.all("title")):
            yield f"line {element.line}: <svg> without a <title>"


def _tables(root: Element) -> Iterator[str]:
    """A caption, headings that say what they head, and rows as wide as the headings: WCAG 1.3.1."""
    for table in root.all("table"):
        if not table.all("caption") or not table.first("caption").text:
            yield f"line {table.line}: <table> without a caption"
        for heading in table.all("th"):
            if heading["scope"] not in ("col", "row", "colgroup", "rowgroup"):
                yield f"line {heading.line}: <th> {heading.text!r} without scope"
        if not table.all("th"):
            yield f"line {table.line}: <table> without <th>"
        if "cards" in table.classes:
            for cell in table.all("td"):
                if not cell["data-label"] and "colspan" not in cell:
                    yield f"line {cell.line}: <td> {cell.text[:40]!r} of a table of cards without data-label"


def _inline(root: Element) -> Iterator[str]:
    """Nothing that the content security policy would stop, and nothing from elsewhere."""
    for element in root.inside():
        where = f"line {element.line}: <{element.name}>"
        if element.name == "style" or "style" in element:
            yield f"{where} has style inline"
        if element.name == "script" and not element["src"]:
            yield f"{where} is inline"
        for name, value in element.attributes.items():
            if name.startswith(("on", "hx-on")):
                yield f"{where} has {name}"
            if name in ("href", "src", "action", "formaction", "xlink:href") and not _ours(value, element.name):
                yield f"{where} leads elsewhere: {name}={value!r}"
    for element in root.all("base", "iframe", "object", "embed", "applet", "frame"):
        yield f"line {element.line}: <{element.name}>"


def _ours(target: str, name: str) -> bool:
    """Whether it stays in the service. A link that people follow may lead to another place, by https or http."""
    target = target.strip()
    if target.startswith("//") or "\\" in target:
        return False
    scheme = target.partition(":")[0] if ":" in target.partition("/")[0].partition("?")[0].partition("#")[0] else ""
    return scheme == "" or (name == "a" and scheme.lower() in ("http", "https"))


def _actions(root: Element) -> Iterator[str]:
    """What changes something is a form that posts, with the token; forms and links do not hold each other."""
    for form in root.all("form"):
        method = form["method"].lower()
        if method not in ("get", "post"):
            yield f"line {form.line}: <form> to {form['action']!r} has the method {method!r}"
        if method == "post" and not any("csrf" in field["name"] for field in form.all("input")):
            yield f"line {form.line}: <form> to {form['action']!r} posts without the token"
        if not form.all("button") and not form.all("input", where=lambda field: field["type"] == "submit"):
            yield f"line {form.line}: <form> to {form['action']!r} cannot be sent without JavaScript: no button"
        if form.around("form") is not None:
            yield f"line {form.line}: <form> in a <form>"
    for link in root.all("a", "button"):
        if link.around("a", "button") is not None:
            yield f"line {link.line}: <{link.name}> {link.text!r} in another one"
        if link.name == "a" and not link["href"] and link.around("svg") is None:
            yield f"line {link.line}: <a> {link.text!r} leads nowhere"
