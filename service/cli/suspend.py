"""`passerelle suspend`, `resume`, `suspensions`: let no apply begin on hosts for now."""

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, complain, show_json, show_table, tell
from service.cli.times import dated, due, with_zone

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Label = Annotated[str | None, Parameter(name="--label", show_default=False)]
All = Annotated[bool, Parameter(name="--all", negative="")]
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def suspend(
    host: str | None = None, /, *, reason: str, label: Label = None, every: All = False, until: str = "24h"
) -> int:
    """Let no apply begin on a host, on hosts with a label, or on all hosts.

    The hosts are observed nevertheless, and their drift is shown. An apply that is under way ends as it would: its
    confirmation and its rollback are never held back. The suspension ends automatically. Exit codes: 0, 1 rejected.

    Parameters
    ----------
    host
        One host.
    reason
        Why. Everybody who looks at the host sees it.
    label
        All hosts with this label, as in site=paris.
    every
        All hosts.
    until
        A time as in 2026-11-17T03:00 (UTC without a zone), a duration as in 30m, 2h or 3d, or `never`.
    """
    from service.cli.client import Client

    asked = _chosen(host, label, every) | {"reason": reason, "until": ends(until)}
    made = Client().post("suspensions", asked)
    tell(f"{about(made)}: no apply begins, {_end(made)}")
    return 0


def resume(host: str | None = None, /, *, label: Label = None, every: All = False) -> int:
    """End the suspension of a host, of a label, or of all hosts. What Git wants is applied as `sync` allows.

    A host that is held by several suspensions stays so until each has ended. Exit codes: 0, 1 there was none.

    Parameters
    ----------
    host
        One host.
    label
        The label that was suspended, as in site=paris.
    every
        The suspension of all hosts.
    """
    from service.cli.client import Client
    from service.model.listings import SuspensionListing

    client = Client()
    chosen = _chosen(host, label, every)
    target = str(chosen.get("host") or chosen.get("label") or "")
    scope: Any = "host" if "host" in chosen else "label" if "label" in chosen else "all"
    found = client.items("suspensions", SuspensionListing(scope=scope, target=target, in_force=True))
    if not found:
        complain(f"{target or 'the fleet'} is not suspended", "see `passerelle suspensions`")
        return 1
    for one in found:
        ended = client.post(f"suspensions/{one['id']}/end")
        tell(f"{about(ended)}: applies may begin again")
    if host is not None and (left := client.get(f"hosts/{host}")["suspension"]):
        complain(f"{host} is still suspended by {left['by']} ({left['scope']}): {left['reason']}")
    return 0


def suspensions(*, past: Annotated[bool, Parameter(negative="")] = False, output: Output = "table") -> int:
    """Show the suspensions in force, and whether the stop file is there.

    Parameters
    ----------
    past
        Those that have ended.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client
    from service.model.listings import SuspensionListing

    client = Client()
    found = client.items("suspensions", SuspensionListing(in_force=not past))
    if output == "json":
        show_json(found)
        return 0
    rows = [{**one, "about": about(one), "until": one["until"] or "somebody resumes"} for one in found]
    columns = ["id", "about", "by", "reason", "since", "until", *(["ended_at", "ended_by"] if past else [])]
    show_table(columns, rows, empty="none has ended yet" if past else "nothing is suspended")
    tell_stop(client)
    return 0


def windows(host: str | None = None, /, *, output: Output = "table") -> int:
    """Show the windows of fleet.yaml, and whether an apply may begin on a host now.

    Exit codes: 0, or 2 if the windows let no apply begin on the given host now.

    Parameters
    ----------
    host
        Only the windows of this host.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client

    found = Client().get("windows", host=host)
    if output == "json":
        show_json(found)
    else:
        columns = ["name", "kind", "open", "days", "from", "to", "zone", "dates", "hosts"]
        show_table(columns, [_window_row(one) for one in found["items"]], empty="no window, so nothing is held back")
        if found["why"]:
            complain(f"{host}: no apply may begin now: {found['why']}")
    return 0 if found["may_begin"] in (None, True) else 2


def _window_row(one: dict[str, Any]) -> dict[str, Any]:
    chosen = [*one["hosts"], *(f"{key}={value}" for key, value in one["labels"].items())]
    dates = [one[name] or "" for name in ("first", "last")]
    return {
        **{name: one[name] for name in ("name", "kind", "zone")},
        "open": "yes" if one["is_open"] else "no",
        "days": " ".join(one["days"]) if len(one["days"]) < 7 else "every day",
        "from": one["begins"],
        "to": one["ends"],
        "dates": " to ".join(dates).strip() if any(dates) else "",
        "hosts": ", ".join(chosen) or "all",
    }


def tell_stop(client: "Client") -> None:
    """Say that the stop file is there."""
    if stop := client.get("suspensions", limit=1)["stop"]:
        complain(stop, "remove the file when applies may begin again")


def about(one: dict[str, Any]) -> str:
    """Which hosts a suspension is about."""
    if one["scope"] == "all":
        return "all hosts"
    return str(one["target"]) if one["scope"] == "host" else f"hosts with {one['target']}"


def ends(until: str) -> str:
    """When a suspension ends, as the API takes it. InputError for what is neither a time nor a duration."""
    if until == "never":
        return until
    from service.clock import SystemClock

    if match := _DURATION.fullmatch(until):
        return (SystemClock().now() + timedelta(**{_UNITS[match[2]]: int(match[1])})).isoformat()
    moment = with_zone(until)
    assert isinstance(moment, datetime)
    return moment.isoformat()


def _end(one: dict[str, Any]) -> str:
    return f"until {due(one['until'])}" if one["until"] else "until somebody resumes"


def _chosen(host: str | None, label: str | None, every: bool) -> dict[str, Any]:
    from service.errors import InputError

    if (host is not None) + (label is not None) + every != 1:
        raise InputError("name a host, or a label, or --all", hint="as in `passerelle suspend pve1 --reason TEXT`")
    if host is not None:
        return {"host": host}
    return {"label": label} if label is not None else {"every_host": True}


def tell_suspended(host: dict[str, Any]) -> None:
    """Say who suspended a host, why and until when."""
    if held := host["suspension"]:
        complain(
            f"{host['host']} is suspended by {held['by']} since {dated(held['since'])}, {_end(held)}: {held['reason']}",
            f"`passerelle resume {host['host']}`" if held["scope"] == "host" else "see `passerelle suspensions`",
        )
