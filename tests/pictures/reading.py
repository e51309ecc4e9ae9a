"""Pictures as values: what a test asks of an SVG."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from service.pictures.svg import NAMESPACE, Drawing


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    x: float
    y: float
    width: float
    height: float
    style: str = ""

    def meets(self, other: "Box") -> bool:
        """Whether the two share more than an edge."""
        return (
            self.x < other.x + other.width and other.x < self.x + self.width
            and self.y < other.y + other.height and other.y < self.y + self.height
        )  # fmt: skip

    def holds(self, other: "Box") -> bool:
        """Whether the other is inside."""
        return (
            self.x <= other.x and other.x + other.width <= self.x + self.width
            and self.y <= other.y and other.y + other.height <= self.y + self.height
        )  # fmt: skip


def tree(drawing: Drawing) -> ET.Element:
    """The file of a picture, read by an XML parser."""
    return ET.fromstring(drawing.alone())


def texts(root: ET.Element) -> list[str]:
    """Every text of the picture, and what is in titles."""
    return [part for one in root.iter() if one.tag != f"{{{NAMESPACE}}}style" for part in (one.text, one.tail) if part]


def boxes(root: ET.Element) -> list[Box]:
    """Every rectangle but the paper."""
    found = []
    for one in root.iter(f"{{{NAMESPACE}}}rect"):
        x, y, width, height = (float(one.attrib[name]) for name in ("x", "y", "width", "height"))
        if one.attrib["class"] != "p-paper":
            found.append(Box(x, y, width, height, one.attrib["class"]))
    return found
