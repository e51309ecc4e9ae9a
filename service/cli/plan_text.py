"""A plan as people read it: in one line, then what differs, each step, each file, what opens and closes.

headline(body)               17 steps, 3 packages, opens 2, closes 9, no guest loses its link
plan_lines(body)             all of it, with how each line is painted
show_plan(found, stream)     the same written out: long lines are folded on a terminal, and whole in a pipe
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TextIO, TypeGuard

from service.cli.output import Line, cell, show_lines
from service.model.states import Json

SIGNS = {"missing": "+", "extra": "-", "changed": "~"}
PAINT = {"+": "green", "-": "red", "~": "yellow"}
SHOWN_VALUE = 160
"""Characters of a value of a difference. A whole rule set is for programs."""
SHOWN_ENTRIES = 20
SHOWN_PORTS = 6
SIDES = {"git": "Git", "host": "the host", "both": "both Git and the host"}


def show_plan(found: Mapping[str, Any], stream: TextIO) -> None:
    """A plan as the API answers it, with its digest."""
    body = found["body"]
    lines = [Line(f"{found['host']}: {headline(body)}", "bold"), *plan_lines(body)]
    if not is_empty(body):
        lines += [Line(""), Line(f"digest: {found['digest']}")]
    show_lines(lines, stream)


def is_empty(body: Mapping[str, Any]) -> bool:
    """Whether nothing would be done, and nothing is in the way of anything."""
    return not any(body.get(name) for name in ("steps", "packages", "guests", "refusals"))


def headline(body: Mapping[str, Any]) -> str:
    """A plan in one line. A plan that an earlier version recorded has no numbers of what opens and closes."""
    steps, packages = len(body.get("steps", ())), len(body.get("packages", ()))
    if is_empty(body):
        return "no changes" if not body.get("drifts") else f"{counted(len(body['drifts']), 'difference')}, no changes"
    said = [counted(steps, "step"), *([counted(packages, "package")] if packages else [])]
    said += [counted(guests, "guest")] if (guests := len(body.get("guests", ()))) else []
    if (summary := body.get("summary")) is not None:
        said += ways(summary)
    if refusals := len(body.get("refusals", ())):
        said.insert(0, f"refused ({counted(refusals, 'reason')})")
    return ", ".join(said)


def ways(summary: Mapping[str, Any]) -> Iterator[str]:
    """What opens, what closes, who loses the link."""
    if None in (summary["opens"], summary["closes"]):
        yield "what it opens and closes is not fully known"
    else:
        yield f"opens {summary['opens'] or 'nothing'}"
        yield f"closes {summary['closes'] or 'nothing'}"
    ports = summary["cut"]
    if not ports:
        yield "no guest loses its link"
        return
    named = ", ".join(ports[:SHOWN_PORTS]) + (f" and {len(ports) - SHOWN_PORTS} more" if ports[SHOWN_PORTS:] else "")
    yield f"{counted(len(ports), 'port')} {'loses its' if len(ports) == 1 else 'lose their'} link: {named}"


def counted(number: int, what: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {what}{'s' * (number != 1)}"


def plan_lines(body: Mapping[str, Any]) -> Iterator[Line]:
    """Every part under its heading; none for what is not there."""
    yield from _under(
        *_differences(body.get("drifts", ()), {one["path"] for one in body.get("files", ()) if one["diff"]})
    )
    yield from _under("Packages", [_package(package) for package in body.get("packages", ())])
    yield from _under("Guests (a rollback leaves them)", [_guest(guest) for guest in body.get("guests", ())])
    yield from _under("Steps", [*_steps(body.get("steps", ()))])
    yield from _under("Files", [line for file in body.get("files", ()) for line in _file(file)])
    yield from _under("Packets", [_passing(sentence) for sentence in body.get("reachability", ())])
    yield from _under("Notes", [*_notes(body)])
    yield from _under("Stays on the host", [*_left_behind(body.get("left_behind", ()))])
    yield from _under("Refused", [*_refusals(body.get("refusals", ()))])


def _under(heading: str, lines: Sequence[Line]) -> Iterator[Line]:
    if lines:
        yield from (Line(""), Line(heading, "bold"), *lines)


def _differences(entries: Sequence[Mapping[str, Any]], shown: Collection[str]) -> tuple[str, list[Line]]:
    """The heading and the lines. `shown` are files whose lines are below. Who changed it is reported once where it was
    the same side everywhere."""
    sides = {entry["moved"] for entry in entries}
    heading = f"Differences (changed by {SIDES[sides.pop()]})" if len(sides) == 1 else "Differences"
    return heading, [line for entry in entries for line in _difference(entry, shown, with_side=bool(sides))]


def _difference(entry: Mapping[str, Any], shown: Collection[str], *, with_side: bool) -> Iterator[Line]:
    sign, have, want = SIGNS[entry["op"]], entry["have"], entry["want"]
    text = f"  {sign} {entry['kind']} {entry['resource']} {entry['field']} [{entry['where']}]"
    parts: list[Line] = []
    if entry["unknown"]:
        text += f": unknown: {entry['unknown']}"
    elif entry["resource"] not in shown or not isinstance(want or have, list):
        if sign == "~" and _is_plain(have) and _is_plain(want):
            parts = [*_entries(have, want)]
        else:
            said = {"+": value_shown(want), "-": value_shown(have)}.get(sign)
            text += f": {said}" if said else f": {value_shown(have)} -> {value_shown(want)}" if said is None else ""
    notes = [*([entry["cause"]] if entry["cause"] else []), *([f"changed by {SIDES[entry['moved']]}"] * with_side)]
    text += f" ({'; '.join(notes)})" if notes else ""
    yield from (Line(text, PAINT[sign], folded=4), *parts)


def _entries(have: Sequence[str], want: Sequence[str]) -> Iterator[Line]:
    """The entries of a list that go and come, as rules; its order where only that differs."""
    gone, new = Counter(have) - Counter(want), Counter(want) - Counter(have)
    changed = [*(("-", one) for one in gone.elements()), *(("+", one) for one in new.elements())]
    for sign, one in changed[:SHOWN_ENTRIES]:
        yield Line(f"      {sign} {one}", PAINT[sign], folded=8)
    if more := len(changed) - SHOWN_ENTRIES if len(changed) > SHOWN_ENTRIES else 0:
        yield Line(f"      … {more} more (all with -o json)")
    if not changed:
        yield Line("      only the order differs")


def _is_plain(value: Json) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _package(package: Mapping[str, Any]) -> Line:
    sign = "-" if package["action"] == "remove" else "+"
    version = f" {package['version']}" if package.get("version") else ""
    along = "" if package.get("named", True) else " (the others need it)"
    return Line(f"  {sign} {package['action']} {package['name']}{version}{along}", PAINT[sign], folded=4)


def _guest(guest: Mapping[str, Any]) -> Line:
    sign = "+" if guest["action"] == "create" else "~"
    return Line(f"  {sign} {guest['what']}", PAINT[sign], folded=4)


def _steps(steps: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    width = len(str(len(steps)))
    for number, step in enumerate(steps, 1):
        restart = " (restart)" if step["restart"] else ""
        when = " on confirmation" if step["on_confirm"] else ""
        yield Line(f"  {number:>{width}}. {step['fact']}{restart}{when}: {step['why']}", folded=width + 4)
        if step["risk"]:
            yield Line(f"  {'':>{width}}  RISK: {step['risk']}", "bold red", folded=width + 4)


def _file(file: Mapping[str, Any]) -> Iterator[Line]:
    """A unified diff without its context: other lines of the file are nobody's matter."""
    path, lines = file["path"], file["diff"]
    if file["is_secret"]:
        yield Line(f"  {path}: a secret; what changes in it is not shown")
        return
    if lines is None:
        size = "is removed" if file["size"] is None else f"{file['size']} bytes"
        yield Line(f"  {path}: {size}; its lines cannot be shown")
        return
    if not lines:
        yield Line(f"  {path}: no line of it changes, only its mode or owner")
        return
    is_new = lines[0].startswith("@@ -0,0 ")
    yield Line(f"  --- {'/dev/null' if is_new else path}", "bold")
    yield Line(f"  +++ {'/dev/null' if file['size'] is None else path}", "bold")
    yield from (Line(f"  {line}", PAINT.get(line[:1], "cyan"), folded=3) for line in lines)
    if file["cut"]:
        yield Line(f"  … {counted(file['cut'], 'more line')}")


def _passing(sentence: str) -> Line:
    sign = "+" if sentence.startswith("opens ") else "-" if sentence.startswith("closes ") else "~"
    return Line(f"  {sign} {sentence}", PAINT[sign], folded=4)


def _notes(body: Mapping[str, Any]) -> Iterator[Line]:
    if least_s := body.get("least_deadline_s"):
        yield Line(f"  the host waits {least_s} s or more for the confirmation", folded=4)
    yield from (Line(f"  {note}", folded=4) for note in body.get("notes", ()))
    yield from (Line(f"  broken already: {sentence}", "yellow", folded=4) for sentence in body.get("at_boot", ()))
    yield from (
        Line(f"  overridden ({one['rule']}): {one['what']}", "yellow", folded=4) for one in body.get("overridden", ())
    )
    yield from (
        Line(f"  needs an approval (scope approve): {what}", "yellow", folded=4) for what in body.get("raises", ())
    )


def _left_behind(left: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    for one in left:
        yield Line(f"  {one['what']}", folded=4)
        yield Line(f"    Fix: {one['hint']}", folded=6)


def _refusals(refusals: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    for refusal in refusals:
        yield Line(f"  ! {refusal['rule']}: {refusal['what']}", "bold red", folded=4)
        if refusal["hint"]:
            yield Line(f"    Fix: {refusal['hint']}", folded=6)


def value_shown(value: Json) -> str:
    """A value of a difference in one line: nothing where it is not there, empty for a field alone."""
    if value is None:
        return "nothing"
    if value == []:
        return ""
    if isinstance(value, list) and not _is_plain(value):
        return f"{len(value)} {'entry' if len(value) == 1 else 'entries'} (all with -o json)"
    text = cell(value) if isinstance(value, bool | str | list) else json.dumps(value, sort_keys=True)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}… ({len(text)} characters; all with -o json)"
