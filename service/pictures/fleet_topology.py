"""The picture of a fleet: one box for each host, below the host by which it is reached or for which it waits.

draw_fleet(fleet, width) -> Drawing        `width` in pixels
fleet_outline(fleet) -> OutlineItem        the same as nested lists
"""

from collections.abc import Iterator

from service.model.fleet_topology import FleetHost, FleetTopology
from service.model.topology import OutlineItem
from service.pictures.svg import Drawing, Element, box, label, line
from service.pictures.topology import LEAST, WIDE

_PAD, _GAP, _HIGH, _IN, _ROW = 10.0, 8.0, 62.0, 20.0, 230.0
MOST_IN = 6
"""So many levels are indented; those below them are not indented further."""


def ordered(fleet: FleetTopology) -> list[tuple[FleetHost, FleetHost | None, int]]:
    """Each host once, with the host above it and its depth. Of a circle, which lint refuses, one host begins."""
    known = {one.host: one for one in fleet.hosts}
    above = {one.host: next((known[name] for name in one.above if name in known), None) for one in fleet.hosts}
    below: dict[str, list[FleetHost]] = {}
    for one in fleet.hosts:
        if (parent := above[one.host]) is not None:
            below.setdefault(parent.host, []).append(one)
    found: list[tuple[FleetHost, FleetHost | None, int]] = []
    done: set[str] = set()
    for first in sorted(fleet.hosts, key=lambda one: above[one.host] is not None):
        stack: list[tuple[FleetHost, FleetHost | None, int]] = [(first, None, 0)]
        while stack:
            one, parent, depth = stack.pop()
            if one.host in done:
                continue
            done.add(one.host)
            found.append((one, parent, depth))
            stack += [(child, one, depth + 1) for child in reversed(below.get(one.host, []))]
    return found


def ways(one: FleetHost) -> str:
    """What connects a host with others, in words."""
    parts = [f"through {one.through}"] if one.through else []
    parts += [f"after {' '.join(one.after)}"] if one.after else []
    parts += [f"cluster {one.cluster}" + (f" with {' '.join(one.peers)}" if one.peers else "")] if one.cluster else []
    return ", ".join(parts)


def mark(one: FleetHost) -> str:
    """What is to be said of the host's state."""
    if one.differences is None:
        return "not compared"
    return f"drifted: {one.differences}" if one.differences else ""


def fleet_outline(fleet: FleetTopology) -> OutlineItem:
    """One line for each host."""
    items = tuple(
        OutlineItem(", ".join(filter(None, (one.host, one.address, ways(one), mark(one)))), "host", one.host)
        for one in fleet.hosts
    )
    return OutlineItem(f"{len(fleet.hosts)} hosts, Git at {fleet.commit[:10]}", "group", "", items)


def draw_fleet(fleet: FleetTopology, width: int = WIDE) -> Drawing:
    """Hosts that are below another one, or above one, have a row each; the others are in a grid."""
    wide = max(LEAST, width)
    rows = ordered(fleet)
    parents = {parent.host for _, parent, _ in rows if parent is not None}
    tied = [row for row in rows if row[1] is not None or row[0].host in parents]
    loose = [one for one, parent, _ in rows if parent is None and one.host not in parents]
    y, lines, boxes, places = 54.0, list[Element](), list[Element](), dict[str, tuple[float, float]]()
    for one, parent, depth in tied:
        x = _PAD + _IN * min(depth, MOST_IN)
        boxes += _host(one, x, y, min(wide - _PAD - x, 420.0))
        places[one.host] = (x, y)
        if parent is not None:
            above_x, above_y = places[parent.host]
            start = min(above_x + 8, x - 12)
            lines.append(line([(start, above_y + _HIGH), (start, y + _HIGH / 2), (x, y + _HIGH / 2)]))
        y += _HIGH + _GAP
    columns = max(1, int((wide - 2 * _PAD + _GAP) // (_ROW + _GAP)))
    each = (wide - 2 * _PAD + _GAP) / columns - _GAP
    for number, one in enumerate(loose):
        row, column = divmod(number, columns)
        boxes += _host(one, _PAD + column * (each + _GAP), y + row * (_HIGH + _GAP), each)
    y += -(-len(loose) // columns) * (_HIGH + _GAP)
    head = [
        label("Fleet", _PAD, 26, size=18, is_bold=True),
        label(
            f"{len(fleet.hosts)} hosts, Git at {fleet.commit[:10]}", _PAD, 44, "faint", size=12, room=wide - 2 * _PAD
        ),
    ]
    return Drawing("Topology of the fleet", fleet_outline(fleet).text, wide, y + _PAD, (*lines, *head, *boxes))


def _host(one: FleetHost, x: float, y: float, wide: float) -> Iterator[Element]:
    said, room = mark(one), wide - 16
    dashes = "1.5 3" if one.differences is None else "6 3" if one.differences else ""
    yield box(x, y, wide, _HIGH, "drifted" if one.differences else "box", dashes=dashes)
    yield label(one.host, x + 8, y + 18, is_bold=True, room=room * 0.55)
    if said:
        yield label(said, x + wide - 8, y + 18, "warn", size=11, room=room * 0.42, anchor="end")
    yield label(one.address, x + 8, y + 35, size=12, room=room, is_mono=True)
    if text := ways(one):
        yield label(text, x + 8, y + 52, "faint", size=11, room=room)
