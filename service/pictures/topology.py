"""The picture of a host: its uplinks above, its bridges below, and on each bridge what is published and who is on it.

draw(topology, width) -> Drawing        `width` in pixels: boxes are in as many columns as it holds

Whatever is not as Git wants it has a dashed line and a word. What is not known has a dotted line and says so.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from service.model.topology import BridgeNode, ForwardNode, GuestNode, SiteNode, Standing, Topology, Uplink
from service.pictures import topology_words as words
from service.pictures.measure import folded
from service.pictures.svg import Drawing, Element, box, label, line, plain, shape

NARROW, WIDE = 340, 1080
"""Widths for a phone and for a desk."""
LEAST, MOST = 320, 2400
_GAP, _PAD = 8.0, 10.0
_UPLINK, _GUEST, _CHIP = (170.0, 44.0), (138.0, 74.0), (270.0, 24.0)
"""Least width, and height, of a box."""
_MOST_ADDRESSES = 4
"""Lines for the addresses of an uplink."""
_TRUNK, _LANE = 9.0, 4.0
"""Pixels from one line of an uplink to the next: on the left of the bridges, and below the uplinks."""


@dataclass(slots=True)
class _Sheet:
    """What is drawn so far. `lines` are below the boxes. `stops` are where lines leave the trunk of an interface."""

    width: float
    y: float = 0.0
    lines: list[Element] = field(default_factory=list)
    boxes: list[Element] = field(default_factory=list)
    stops: dict[str, list[tuple[float, float, str, bool]]] = field(default_factory=dict)


def draw(topology: Topology, width: int = WIDE) -> Drawing:
    """The picture, at least LEAST pixels wide."""
    sheet = _Sheet(max(LEAST, width))
    _head(topology, sheet)
    used = _used(topology)
    left = _PAD + (_TRUNK * len(used) if used else 0)
    starts = _uplinks(topology.uplinks, used, left, sheet)
    for bridge in topology.bridges:
        _frame(bridge, topology, {bridge.name}, left, sheet)
    if topology.unplaced:
        _frame(None, topology, topology.unplaced, left, sheet)
    _trunks(used, starts, sheet)
    if topology.elsewhere:
        _text(f"Drifted elsewhere: {', '.join(topology.elsewhere)}", "warn", sheet)
    title = f"Topology of {topology.host}"
    counts = (
        f"{len(topology.uplinks)} uplinks, {len(topology.bridges)} bridges, {len(topology.guests)} guests, "
        f"{len(topology.forwards)} forwards, {len(topology.sites)} sites"
    )
    said = f"{words.seen_at(topology)}. {counts}."
    return Drawing(title, said, sheet.width, sheet.y + _PAD, (*sheet.lines, *sheet.boxes))


def _head(topology: Topology, sheet: _Sheet) -> None:
    room = sheet.width - 2 * _PAD
    sheet.boxes.append(label(topology.host, _PAD, 26, size=18, is_bold=True, room=room))
    sheet.y = 32
    _text(words.seen_at(topology), "faint", sheet)
    if topology.unknown:
        _text(f"Not known: {topology.unknown}", "warn", sheet)
    sheet.y += 8


def _text(text: str, ink: str, sheet: _Sheet) -> None:
    """Lines over the whole width."""
    _lines(text, ink, _PAD, sheet.width - 2 * _PAD, 12, sheet)


def _lines(text: str, ink: str, x: float, room: float, size: float, sheet: _Sheet) -> None:
    for part in folded(plain(text), room, size):
        sheet.y += size + 4
        sheet.boxes.append(label(part, x, sheet.y, ink, size=size, room=room))


def _columns(room: float, least: float, count: int) -> tuple[int, float]:
    """How many boxes are in a row, and how wide each one is."""
    columns = max(1, int((room + _GAP) // (least + _GAP)))
    wide = (room + _GAP) / columns - _GAP
    return columns, wide if count >= columns else min(wide, least * 1.6)


def _places(
    count: int, x: float, y: float, room: float, size: tuple[float, float]
) -> Iterator[tuple[float, float, float]]:
    """Where each box of a grid is: x, y, width."""
    columns, wide = _columns(room, size[0], count)
    for index in range(count):
        row, column = divmod(index, columns)
        yield x + column * (wide + _GAP), y + row * (size[1] + _GAP), wide


def _rows(count: int, room: float, size: tuple[float, float]) -> float:
    """How high such a grid is, with the gap below it."""
    columns = _columns(room, size[0], count)[0]
    return -(-count // columns) * (size[1] + _GAP)


def _look(standing: Standing, drift: Sequence[str]) -> tuple[str, str]:
    """The ink of a box, and its dashes."""
    if standing == "unknown":
        return "box", "1.5 3"
    return ("drifted", "6 3") if drift or standing in ("missing", "extra") else ("box", "")


def _uplinks(
    uplinks: Sequence[Uplink], used: Sequence[str], left: float, sheet: _Sheet
) -> dict[str, tuple[float, float]]:
    """The boxes of the uplinks, with room for lines below each row; where the line of each begins."""
    room, starts = sheet.width - _PAD - left, {}
    said = any(words.marks(one.standing, one.drift) for one in uplinks)
    most = max((min(_MOST_ADDRESSES, len(one.addresses)) for one in uplinks), default=0)
    high = _UPLINK[1] + 16 * (max(1, most) + said)
    size = (_UPLINK[0], high + _LANE * len(used))
    for one, (x, y, wide) in zip(uplinks, _places(len(uplinks), left, sheet.y, room, size), strict=True):
        ink, dashes = _look(one.standing, one.drift)
        sheet.boxes.append(box(x, y, wide, high, ink, dashes=dashes))
        rows = [(text, "ink", True) for text in _several(one.addresses)] or [("no address", "ink", False)]
        rows += [(_gateways(one.gateways), "faint", False), (words.marks(one.standing, one.drift), "warn", False)]
        sheet.boxes.append(label(one.name, x + 8, y + 18, is_bold=True, room=wide - 16))
        for number, (text, paint, is_mono) in enumerate(row for row in rows if row[0]):
            below = y + 35 + 16 * number
            sheet.boxes.append(label(text, x + 8, below, paint, size=12, room=wide - 16, is_mono=is_mono))
        starts[one.name] = (x + 14, y + high)
    sheet.y += _rows(len(uplinks), room, size) + (6 if uplinks else 0)
    return starts


def _several(addresses: Sequence[str]) -> list[str]:
    """Addresses, a line for each; those beyond the last line are in it."""
    return list(filter(None, (*addresses[: _MOST_ADDRESSES - 1], " ".join(addresses[_MOST_ADDRESSES - 1 :]))))


def _gateways(gateways: Sequence[str]) -> str:
    return f"gateway {' '.join(gateways)}" if gateways else "no default route"


def _frame(bridge: BridgeNode | None, topology: Topology, names: Set[str], left: float, sheet: _Sheet) -> None:
    """A bridge with what is on it; None for what is on no bridge that is known."""
    top, width = sheet.y, sheet.width - _PAD - left
    inner, room = left + _PAD, width - 2 * _PAD
    forwards = [one for one in topology.forwards if one.bridge in names]
    sites = [one for one in topology.sites if one.bridge in names]
    guests = [one for one in topology.guests if one.bridge in names]
    sheet.y = top + 6
    slot = len(sheet.boxes)
    if bridge is None:
        sheet.y += 18
        sheet.boxes.append(label(words.NOWHERE, inner, sheet.y, is_bold=True, room=room))
        sheet.y += _GAP
    else:
        _bridge_head(bridge, inner, room, left, sheet)
    chips: list[ForwardNode | SiteNode] = [*forwards, *sites]
    for one, (x, y, wide) in zip(chips, _places(len(chips), inner, sheet.y, room, _CHIP), strict=True):
        sheet.boxes += _forward(one, x, y, wide) if isinstance(one, ForwardNode) else _site(one, x, y, wide)
    for interface in dict.fromkeys(one.interface for one in forwards):
        is_off = any(one.standing == "missing" for one in forwards if one.interface == interface)
        sheet.stops.setdefault(interface, []).append((left, sheet.y + _CHIP[1] / 2, "to", is_off))
    sheet.y += _rows(len(chips), room, _CHIP) if chips else 0
    for guest, (x, y, wide) in zip(guests, _places(len(guests), inner, sheet.y, room, _GUEST), strict=True):
        sheet.boxes += _guest(guest, x, y, wide)
    sheet.y += _rows(len(guests), room, _GUEST) if guests else 0
    if not guests:
        sheet.y += 14
        sheet.boxes.append(label("no guests are known here", inner, sheet.y, "faint", size=11, room=room))
        sheet.y += 6
    standing: Standing = "seen" if bridge is None else bridge.standing
    ink, dashes = _look(standing, bridge.drift if bridge else ())
    frame = box(left, top, width, sheet.y - top + 2, "off" if ink == "drifted" else "frame", dashes=dashes)
    sheet.boxes.insert(slot, frame)
    sheet.y += 2 + _PAD + 4


def _bridge_head(one: BridgeNode, x: float, room: float, left: float, sheet: _Sheet) -> None:
    """The name, the addresses, the NAT and the pools of a bridge."""
    sheet.y += 16
    sheet.boxes.append(label(one.name, x, sheet.y, is_bold=True, room=room))
    middle = sheet.y - 5
    for port in one.ports:
        sheet.stops.setdefault(port, []).append((left, middle, "port", False))
    for out in one.nat:
        is_off = any(text.startswith("NAT ") for text in one.drift)
        sheet.stops.setdefault(out, []).append((left, middle + 6 * len(one.ports), "nat", is_off))
    for text, ink in _bridge_lines(one):
        _lines(text, ink, x, room, 12, sheet)
    for pool in one.pools:
        _lines(f"DHCP {words.pool_label(pool)}", "faint", x, room, 11, sheet)
        sheet.y += 5
        wide = min(room, 260.0)
        sheet.boxes.append(shape("rect", "empty", {"x": x, "y": sheet.y, "width": wide, "height": 7}))
        if pool.leased is not None and pool.reserved is not None and pool.size:
            full, kept = (wide * count / pool.size for count in (pool.leased, pool.reserved))
            for start, part, ink in ((x, full, "full"), (x + full, kept, "kept")):
                if part:
                    sheet.boxes.append(shape("rect", ink, {"x": start, "y": sheet.y, "width": part, "height": 7}))
        sheet.y += 7
    sheet.y += _GAP + 2


def _bridge_lines(one: BridgeNode) -> Iterator[tuple[str, str]]:
    yield " ".join(one.addresses) or "no address", "ink"
    ways = [f"ports {' '.join(one.ports)}"] if one.ports else []
    ways += [f"NAT through {' and '.join(one.nat)}"] if one.nat else []
    ways += [_gateways(one.gateways)] if one.gateways else []
    if ways:
        yield ", ".join(ways), "faint"
    if said := words.marks(one.standing, one.drift):
        yield said, "warn"


def _guest(one: GuestNode, x: float, y: float, wide: float) -> list[Element]:
    is_off = bool(one.drift) or one.state in ("foreign", "silent", "renamed", "shared")
    dashes = "6 3" if is_off else "1.5 3" if one.running is None and one.state == "unknown" else ""
    mark = words.standing_of(one)
    last = [label(mark, x + 8, y + 66, "warn" if is_off else "faint", size=11, room=wide - 16)] if mark else []
    return [
        box(x, y, wide, _GUEST[1], "drifted" if is_off else "box", dashes=dashes, said=one.mac),
        label(words.name_of(one), x + 8, y + 18, is_bold=True, room=wide - 16),
        label(one.address or "no address", x + 8, y + 35, size=12, room=wide - 16, is_mono=bool(one.address)),
        label(words.running(one), x + 8, y + 51, "faint", size=11, room=wide - 16),
        *last,
    ]


def _forward(one: ForwardNode, x: float, y: float, wide: float) -> list[Element]:
    ink, dashes = _look(one.standing, ())
    mark = words.STANDING[one.standing]
    text = f"{mark}: {words.forward_label(one)}" if mark else words.forward_label(one)
    return [
        box(x, y, wide, _CHIP[1], ink, dashes=dashes, said=f"on {one.interface}"),
        label(text, x + 8, y + 16, "warn" if ink == "drifted" else "ink", size=12, room=wide - 16, is_mono=True),
    ]


def _site(one: SiteNode, x: float, y: float, wide: float) -> list[Element]:
    return [
        box(x, y, wide, _CHIP[1], said=f"by {one.proxy}: {' '.join(one.names)}"),
        label(f"site {words.site_label(one)}", x + 8, y + 16, size=12, room=wide - 16),
    ]


def _used(topology: Topology) -> list[str]:
    """The uplinks that something leads to, in their order."""
    ports = {port for one in topology.bridges for port in one.ports}
    used = ports | {out for one in topology.bridges for out in one.nat} | {one.interface for one in topology.forwards}
    return [one.name for one in topology.uplinks if one.name in used]


def _trunks(used: Sequence[str], starts: dict[str, tuple[float, float]], sheet: _Sheet) -> None:
    """One line down for each uplink, and from it one to each bridge."""
    for number, name in enumerate(used):
        x = 3.0 + _TRUNK * number
        start_x, start_y = starts[name]
        stops = sheet.stops.get(name, [])
        if not stops:
            continue
        lane = start_y + 3 + _LANE * number
        points = [(start_x, start_y), (start_x, lane), (x, lane), (x, max(y for _, y, _, _ in stops))]
        sheet.lines.append(line(points))
        for left, y, sort, is_off in stops:
            dashes = {"stroke_dasharray": "6 3"} if is_off else {}
            sheet.lines.append(line([(x, y), (left, y)], "off" if is_off else "line", **dashes))
            sheet.lines.append(_end(left, y, sort))


def _end(x: float, y: float, sort: str) -> Element:
    """The end of a line at a bridge: an arrow for what is published, a ring for NAT, a dot for a port."""
    if sort == "to":
        return shape(
            "polygon", "faint", {"points": f"{x - 6:.1f},{y - 3.5:.1f} {x:.1f},{y:.1f} {x - 6:.1f},{y + 3.5:.1f}"}
        )
    return shape("circle", "faint" if sort == "port" else "frame", {"cx": x - 3, "cy": y, "r": 3})
