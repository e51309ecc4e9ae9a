"""Values over time, as small pictures: lines and bars.

    line_plot("Drift open", [Series("pve1", (3, None, 0))], "items", ["1 Nov", "2 Nov", "3 Nov"]) -> Drawing
    bar_plot("Applies", [Series("confirmed", (4, 2)), Series("rolled back", (1, 0))], "applies", ["1 Nov", "2 Nov"])

A value that is not known is a gap, and the words say so. It is never drawn as 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.pictures.measure import width_of
from service.pictures.palette import COLOURS
from service.pictures.svg import Drawing, Element, box, label, line, shape

WIDTH, HEIGHT = 360.0, 170.0
"""Pixels. The height grows with the lines of the legend."""
MOST_MARKS = 62
"""Of so many points each has a mark with its value."""
_LEFT, _RIGHT, _TOP, _FOOT = 52.0, 10.0, 40.0, 26.0
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 4")


@dataclass(frozen=True, slots=True)
class Series:
    """A name, and one value for each label: None where it is not known. Values are 0 or more."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values are in the picture. `top` is the highest value, of `count` labels."""

    top: float
    count: int

    def x(self, index: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (index + 0.5) / max(1, self.count)

    def y(self, value: float) -> float:
        return HEIGHT - _FOOT - (HEIGHT - _FOOT - _TOP) * value / self.top


def line_plot(title: str, series: Sequence[Series], unit: str, labels: Sequence[str]) -> Drawing:
    """One line for each series. ValueError where a series has not one value for each label."""
    _check(series, labels)
    known = [value for one in series for value in one.values if value is not None]
    frame = _Frame(nice(max(known, default=0)), len(labels))
    drawn: list[Element] = []
    for number, one in enumerate(series):
        ink = number % COLOURS
        dash = {"stroke_dasharray": _DASHES[ink]} if _DASHES[ink] else {}
        for run in runs(one.values):
            points = [(frame.x(index), frame.y(value)) for index, value in run]
            if len(points) > 1:
                drawn.append(line(points, f"line-{ink + 1}", stroke_width=2, **dash))
            if len(points) == 1 or len(labels) <= MOST_MARKS:
                drawn += _marks(one, run, frame, labels, unit, ink)
    return _plot(title, series, unit, labels, frame, drawn)


def bar_plot(title: str, series: Sequence[Series], unit: str, labels: Sequence[str]) -> Drawing:
    """One bar for each label, the series on top of each other. ValueError as for lines."""
    _check(series, labels)
    sums = [sum(one.values[index] or 0 for one in series) for index in range(len(labels))]
    frame = _Frame(nice(max(sums, default=0)), len(labels))
    wide = max(1.0, (WIDTH - _LEFT - _RIGHT) / max(1, len(labels)) * 0.72)
    drawn: list[Element] = []
    for index, name in enumerate(labels):
        low, left = 0.0, frame.x(index) - wide / 2
        for number, one in enumerate(series):
            value = one.values[index]
            if value:
                high = low + value
                said = f"{name}: {one.name} {amount(value)} {unit}"
                size = {"x": left, "y": frame.y(high), "width": wide, "height": frame.y(low) - frame.y(high)}
                drawn.append(shape("rect", f"bar-{number % COLOURS + 1}", size, Element("title", {}, (said,))))
                low = high
        if any(one.values[index] is None for one in series):
            drawn.append(label("?", frame.x(index), frame.y(low) - 3, "faint", size=11, anchor="middle"))
    return _plot(title, series, unit, labels, frame, drawn)


def nice(highest: float) -> float:
    """The end of an axis from 0: 1, 2 or 5 with zeros, at least 1."""
    if highest <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest)


def amount(value: float) -> str:
    """A number as people write it."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches of known values, each with its indexes."""
    found: list[list[tuple[int, float]]] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        if found and found[-1][-1][0] == index - 1:
            found[-1].append((index, value))
        else:
            found.append([(index, value)])
    return found


def _check(series: Sequence[Series], labels: Sequence[str]) -> None:
    for one in series:
        if len(one.values) != len(labels):
            raise ValueError(f"{one.name} has {len(one.values)} values for {len(labels)} labels")


def _marks(
    one: Series, run: list[tuple[int, float]], frame: _Frame, labels: Sequence[str], unit: str, ink: int
) -> list[Element]:
    return [
        shape(
            "circle", f"bar-{ink + 1}", {"cx": frame.x(index), "cy": frame.y(value), "r": 2.5},
            Element("title", {}, (f"{labels[index]}: {one.name} {amount(value)} {unit}",)),
        )
        for index, value in run
    ]  # fmt: skip


def _plot(
    title: str, series: Sequence[Series], unit: str, labels: Sequence[str], frame: _Frame, drawn: list[Element]
) -> Drawing:
    inside = [
        label(title, 10, 18, is_bold=True, room=WIDTH - 20),
        label(unit, 10, 33, "faint", size=11, room=_LEFT * 3),
    ]
    for part in (0.0, 0.5, 1.0):
        y = frame.y(frame.top * part)
        inside.append(line([(_LEFT, y), (WIDTH - _RIGHT, y)], "grid"))
        inside.append(label(amount(frame.top * part), _LEFT - 6, y + 4, "faint", size=11, anchor="end"))
    inside += [*drawn, *_ends(labels, frame)]
    rows, height = _legend(series)
    words = f"{title}, in {unit}. " + " ".join(_words(one, labels) for one in series)
    return Drawing(title, words.strip(), WIDTH, HEIGHT + height, (*inside, *rows))


def _ends(labels: Sequence[str], frame: _Frame) -> list[Element]:
    """The first and the last label below the axis."""
    if not labels:
        return [label("no values", WIDTH / 2, (HEIGHT + _TOP) / 2, "faint", anchor="middle")]
    y, room = HEIGHT - _FOOT + 16, (WIDTH - _LEFT - _RIGHT) / 2 - 8
    if len(labels) == 1:
        return [label(labels[0], frame.x(0), y, "faint", size=11, room=room, anchor="middle")]
    return [
        label(labels[0], _LEFT, y, "faint", size=11, room=room),
        label(labels[-1], WIDTH - _RIGHT, y, "faint", size=11, room=room, anchor="end"),
    ]


def _legend(series: Sequence[Series]) -> tuple[list[Element], float]:
    """The names of the series with their colours, and how many pixels high that is."""
    if len(series) < 2:
        return [], 0.0
    drawn: list[Element] = []
    x, y = 10.0, HEIGHT + 6
    for number, one in enumerate(series):
        wide = min(width_of(one.name, 11), WIDTH - 46)
        if x > 10 and x + 20 + wide > WIDTH - 10:
            x, y = 10.0, y + 18
        ink = number % COLOURS + 1
        dash = _DASHES[ink - 1]
        drawn.append(box(x, y - 7, 12, 8, f"bar-{ink}"))
        if dash:
            drawn.append(line([(x, y + 4), (x + 12, y + 4)], f"line-{ink}", stroke_dasharray=dash))
        drawn.append(label(one.name, x + 18, y + 1, size=11, room=WIDTH - 46))
        x += 18 + wide + 14
    return drawn, y + 10 - HEIGHT


def _words(one: Series, labels: Sequence[str]) -> str:
    """A series in a sentence."""
    known = [(value, labels[index]) for index, value in enumerate(one.values) if value is not None]
    if not known:
        return f"{one.name}: not known."
    highest, where = max(known, key=lambda pair: pair[0])
    gaps = len(one.values) - len(known)
    unknown = f", {gaps} not known" if gaps else ""
    return f"{one.name}: last {amount(known[-1][0])}, highest {amount(highest)} ({where}){unknown}."
