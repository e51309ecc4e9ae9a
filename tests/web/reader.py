"""A page as people read it, from its HTML alone.

page = read(response.text)
page.h1, page.title, page.headings, page.links["History"], page.text
page.table("Leases").rows[0]["Address"]       a table by its caption, its rows by the names of the columns
page.form("/hosts/pve1/suspend").fields       a form by its action: the name of each field, and its value
page.form(…).filled(reason="moving house")    what a browser would send
page.states                                   the words of all state pills
assert page.faults == []                      what no page of ours may have: see `faults.py`
"""

from dataclasses import dataclass
from functools import cached_property

from tests.web.faults import faults_of
from tests.web.tree import Element, parse

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass(frozen=True)
class Link:
    """A link, and where it leads."""

    text: str
    href: str


@dataclass(frozen=True)
class Table:
    """A table: the names of its columns, and each row by them. A row's heading cell is a cell as all others."""

    element: Element

    @property
    def caption(self) -> str:
        return self.element.first("caption").text

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The texts of the first row of headings."""
        return tuple(cell.text for cell in self.element.first("tr").all("th"))

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """Each row of data: the name of the column, and the text of the cell."""
        return [{name: cell.text for name, cell in row.items()} for row in self.cells]

    @cached_property
    def cells(self) -> list[dict[str, Element]]:
        """As `rows`, with the elements: links and forms of a cell are in them."""
        body = [row for row in self.element.all("tr") if row.all("td")]
        return [dict(zip(self.columns, _own_cells(row), strict=True)) for row in body]

    def row(self, **wanted: str) -> dict[str, str]:
        """The one row whose cells have these texts; LookupError where it is not exactly one."""
        found = [row for row in self.rows if all(row.get(name) == text for name, text in wanted.items())]
        if len(found) != 1:
            raise LookupError(f"{len(found)} rows of {self.caption!r} have {wanted}, not one: {self.rows[:5]}")
        return found[0]


@dataclass(frozen=True)
class Form:
    """A form: where it goes, and what it sends."""

    element: Element

    @property
    def action(self) -> str:
        return self.element["action"]

    @property
    def method(self) -> str:
        return self.element["method"].lower() or "get"

    @cached_property
    def fields(self) -> dict[str, str]:
        """What a browser sends without anybody writing into it."""
        sent: dict[str, str] = {}
        for field in self.element.all("input", "select", "textarea"):
            if not field["name"] or "disabled" in field:
                continue
            if field.name == "select":
                sent[field["name"]] = _chosen(field)
            elif field.name == "textarea":
                sent[field["name"]] = field.raw_text
            elif field["type"] not in ("checkbox", "radio") or "checked" in field:
                sent[field["name"]] = field["value"]
        return sent

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all fields, also of those that are not sent as they are."""
        return frozenset(field["name"] for field in self.element.all("input", "select", "textarea") if field["name"])

    @cached_property
    def buttons(self) -> dict[str, Element]:
        """The text of each button."""
        return {button.text: button for button in self.element.all("button")}

    def options(self, name: str) -> list[str]:
        """The values that can be chosen for a field."""
        field = next(field for field in self.element.all("select") if field["name"] == name)
        return [_value(option) for option in field.all("option")]

    def filled(self, **written: str) -> dict[str, str]:
        """What a browser sends after somebody wrote this; KeyError for a field that the form does not have."""
        if unknown := written.keys() - self.names:
            raise KeyError(f"the form to {self.action} has no {', '.join(sorted(unknown))}: {sorted(self.names)}")
        return self.fields | written


@dataclass(frozen=True)
class Page:
    """One document."""

    root: Element
    doubled: list[str]

    @property
    def title(self) -> str:
        return self.root.first("title").text

    @property
    def h1(self) -> str:
        return self.root.first("h1").text

    @cached_property
    def main(self) -> Element:
        return self.root.first("main")

    @property
    def text(self) -> str:
        """All text of the page's main part."""
        return self.main.text

    @cached_property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each heading, in order."""
        return [(int(heading.name[1]), heading.text) for heading in self.root.all(*HEADINGS)]

    @cached_property
    def links(self) -> dict[str, str]:
        """Where each link leads, by its text; the last one of the same text."""
        return {link["aria-label"] or link.text: link["href"] for link in self.root.all("a") if "href" in link}

    @cached_property
    def all_links(self) -> list[Link]:
        return [Link(link.text, link["href"]) for link in self.root.all("a") if "href" in link]

    @cached_property
    def forms(self) -> list[Form]:
        return [Form(form) for form in self.root.all("form")]

    def form(self, action: str) -> Form:
        """The form with this action, the query left out; LookupError where there is none."""
        for form in self.forms:
            if form.action.partition("?")[0] == action:
                return form
        raise LookupError(f"no form to {action}: {[form.action for form in self.forms]}")

    @cached_property
    def tables(self) -> list[Table]:
        return [Table(table) for table in self.root.all("table")]

    def table(self, caption: str) -> Table:
        """The first table whose caption begins so; LookupError where there is none."""
        for table in self.tables:
            if table.caption.startswith(caption):
                return table
        raise LookupError(f"no table {caption!r}: {[table.caption for table in self.tables]}")

    @cached_property
    def states(self) -> list[str]:
        """The words of all state pills, without their shapes."""
        return [_words(element) for element in self.root.inside() if "pill" in element.classes]

    def by_id(self, name: str) -> Element:
        """The element of this id; LookupError where there is none."""
        for element in self.root.inside():
            if element["id"] == name:
                return element
        raise LookupError(f"no element has the id {name}")

    @cached_property
    def faults(self) -> list[str]:
        """What no page of ours may have, each with its line."""
        return self.doubled + faults_of(self.root)


def read(html: str) -> Page:
    """ValueError where an element has no end, or an end tag ends nothing."""
    return Page(*parse(html))


def _words(pill: Element) -> str:
    """What is read aloud."""
    shown = (child for child in pill.children if isinstance(child, str) or child["aria-hidden"] != "true")
    return " ".join(" ".join(child if isinstance(child, str) else child.text for child in shown).split())


def _own_cells(row: Element) -> list[Element]:
    return [child for child in row.children if isinstance(child, Element) and child.name in ("td", "th")]


def _chosen(field: Element) -> str:
    options = field.all("option")
    chosen = [option for option in options if "selected" in option] or options[:1]
    return _value(chosen[-1]) if chosen else ""


def _value(option: Element) -> str:
    return option.attributes.get("value", option.text)
