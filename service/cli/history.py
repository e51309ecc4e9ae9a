"""`passerelle history`: what was applied, all about one apply or drill; the chain of the audit log."""

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from service.cli.output import Format, Line, cell, complain, show_json, show_lines, show_table
from service.cli.times import age

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
COLUMNS = [
    "requested_at", "host", "phase", "trigger", "requested_by", "commit", "author", "subject", "error", "id",
]  # fmt: skip


app = App(name="history", help="Show the applies, and verify or export the audit log.")
app.command("service.cli.audit:verify", name="verify")
app.command("service.cli.audit:export", name="export")


@app.default
def history(of: str | None = None, /, *, most: int = 50, output: Output = "table") -> int:
    """Show the applies, newest first: who requested each, its commit, its result. With an id: all about one apply.

    Parameters
    ----------
    of
        A host: only its applies. The id of an apply or a drill: its steps and probes, and who requested it.
    most
        Largest number of entries.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client
    from service.model.listings import ApplyListing

    client = Client()
    if of is not None and _ID.fullmatch(of.upper()):
        if (found := one(client, of.upper())) is not None:
            show_json(found) if output == "json" else show_lines(lines_of(found), sys.stdout)
            return 0
        if of != of.lower():  # not the name of a host, either
            complain(f"no apply and no drill has the id {of}", "choose one of `passerelle history`")
            return 1
    items = client.items_of("applies", ApplyListing(host=of or ""), most=most)
    if output == "json":
        show_json(items)
        return 0
    rows = [item | {"commit": item["commit"][:10], "author": item["author_name"]} for item in items]
    show_table(COLUMNS, rows, empty="nothing was applied yet")
    return 0


def one(client: "Client", record_id: str) -> dict[str, Any] | None:
    """The apply or the drill of an id; None where there is none, as of a host whose name looks like one."""
    from service.cli.client import ApiError

    for path in ("applies", "drills"):
        try:
            found: dict[str, Any] = client.get(f"{path}/{record_id}")
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            return found
    return None


def lines_of(found: Mapping[str, Any]) -> Iterator[Line]:
    """An apply, or a drill, in full."""
    return _apply(found) if "phase" in found else _drill(found)


def _apply(found: Mapping[str, Any]) -> Iterator[Line]:
    cause = f" ({found['cause']})" if found["cause"] else ""
    yield Line(f"{found['host']}: {found['phase']}{cause}", "bold")
    author = f"{found['author_name']} <{found['author_email']}>" if found["author_name"] else "unknown"
    yield from _rows(
        {
            "why": found["error"],
            "requested": _at(found["requested_at"], f"by {found['requested_by']} ({found['trigger']})"),
            "began": _at(found["started_at"]),
            "ended": _at(found["ended_at"], _took(found["started_at"], found["ended_at"])),
            "commit": f"{found['commit']}: {found['subject']}",
            "author": author,
            "plan": found["plan_digest"],
            "id": found["id"],
        }
    )
    yield from _steps(found["steps"] or ())
    if found["probes"]:
        yield from (Line(""), Line("Probes (before, after, after the rollback)", "bold"))
        for probe in found["probes"]:
            said = ", ".join(probe[when] or "not asked" for when in ("before", "after", "undone"))
            yield Line(f"  {probe['name']}: {said}", folded=4)


def _steps(steps: Any) -> Iterator[Line]:
    if not steps:
        return
    yield from (Line(""), Line("Steps", "bold"))
    width = len(str(len(steps)))
    for number, step in enumerate(steps, 1):
        took = f", {took}" if (took := _took(step["started_at"], step["ended_at"])) else ""
        style = "red" if step["state"] in ("failed", "undone") else ""
        text = f"  {number:>{width}}. {step['fact']}: {step['state']}{took}: {step['why']}"
        yield Line(text, style, folded=width + 4)
        if step["error"]:
            yield Line(f"  {'':>{width}}  {step['error']}", "red", folded=width + 4)


def _drill(found: Mapping[str, Any]) -> Iterator[Line]:
    kind = "drill with a reboot" if found["reboot"] else "drill"
    yield Line(f"{found['host']}: {kind}: {found['state']}", "bold")
    yield from _rows(
        {
            "why": found["error"],
            "requested": _at(found["requested_at"], f"by {found['requested_by']}"),
            "began": _at(found["started_at"]),
            "ended": _at(found["ended_at"], _took(found["started_at"], found["ended_at"])),
            "id": found["id"],
        }
    )
    if found["proofs"]:
        yield from (Line(""), Line("What it proved", "bold"))
        for proof in found["proofs"]:
            yield Line(f"  {proof['name']}: {cell(proof['ok'])}: {proof['told']}", folded=4)


def _rows(rows: Mapping[str, str]) -> Iterator[Line]:
    yield from (Line(f"  {name:<10} {value}", folded=13) for name, value in rows.items() if value)


def _at(at: str | None, more: str = "") -> str:
    return "" if at is None else " ".join([at, f"({age(at)})", *([more] if more else [])])


def _took(began: str | None, ended: str | None) -> str:
    if began is None or ended is None:
        return ""
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    return f"took {seconds:.1f} s"
