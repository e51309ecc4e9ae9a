"""Commands that ask the service what it knows: status, drift, leases."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from service.cli.exit_codes import UNREACHABLE
from service.cli.known import doubt, never_seen
from service.cli.output import Format, TableFormat, complain, show_csv, show_json, show_table, tell
from service.cli.suspend import tell_stop, tell_suspended
from service.cli.times import age, dated, with_zone

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
TIMES = ("observed_at", "tried_at", "proven_at", "changed_at")
"""The times in a host's status."""


def status(host: str | None = None, /, *, output: Output = "table") -> int:
    """Show the status of every host, or all about one.

    Each column is a separate fact: sync compares with Git, health says whether something is wrong, reachability whether
    the host answers, phase what an apply does. Exit codes: 0, or 4 if the given host is unreachable or was never seen.

    Parameters
    ----------
    host
        One host. Default: all.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client
    from service.model.listings import HostListing

    client = Client()
    if host is not None:
        found = client.get(f"hosts/{host}")
        latches = client.get(f"hosts/{host}/latches")["items"]
        if output == "json":
            show_json(found | {"latches": latches})
        else:
            tell_seen(found | {"at": found["observed_at"]})
            times = {name: dated(found[name]) for name in TIMES}
            shown = {k: v for k, v in found.items() if k != "suspension"} | times | {"drift_items": drift_shown(found)}
            show_table(["field", "value"], [{"field": k, "value": v} for k, v in shown.items()], empty="")
            tell_latches(host, latches)
            tell_quarantine(found)
            tell_suspended(found)
            tell_stop(client)
            tell_bans(client, host)
        return 0 if found["reachability"] == "Reachable" and found["observed_at"] else UNREACHABLE
    hosts = client.items("hosts", HostListing())
    if output == "json":
        show_json(hosts)
    else:
        columns = ["host", "sync", "reason", "health", "reachability", "phase", "commit", "drift", "seen", "proven"]
        columns.append("message")
        unread = client.get("source")["state"] == "unread"
        empty = "the service has not read the repository yet" if unread else "no revision names a host yet"
        show_table(columns, [host_row(h) for h in hosts], empty=empty)
        for found in hosts:
            if found["reason"] == "RolledBackLatched":
                tell_latches(found["host"], client.get(f"hosts/{found['host']}/latches")["items"])
            tell_quarantine(found)
            tell_suspended(found)
        tell_stop(client)
        tell_source(client)
        tell_notices(client)
    return 0


def tell_bans(client: "Client", host: str) -> None:
    """Show whom fail2ban bans now."""
    from service.cli.client import ApiError

    try:
        seen = client.get(f"hosts/{host}/observed")["content"].get("bans")
    except ApiError:
        return
    for jail, banned in seen.items() if isinstance(seen, dict) and "unknown" not in seen else ():
        tell(f"{jail} bans {', '.join(banned[:20]) or 'nobody'}")


def tell_latches(host: str, latches: Sequence[Mapping[str, Any]]) -> None:
    """Say what was rolled back on a host, since when and why."""
    for latch in latches:
        why = latch["error"] or latch["cause"] or "its apply is no longer known"
        complain(
            f"{host}: {latch['desired_digest']} was rolled back and is not tried again, "
            f"since {dated(latch['since'])}: {why}",
            f"push another state, or `passerelle latch clear {host} --reason TEXT`",
        )


def tell_quarantine(host: Mapping[str, Any]) -> None:
    """Say that a rollback failed on a host, and the connection that is left."""
    if host["quarantined"]:
        complain(
            f"{host['host']} is quarantined: {host['message']}",
            f"look at it{' at ' + host['console'] if host['console'] else ''}, then "
            f"`passerelle release {host['host']} --reason TEXT`",
        )


def tell_source(client: "Client") -> None:
    """Say that the repository is not followed, and why."""
    source = client.get("source")
    if source["state"] not in ("followed", "unread"):
        since = f" since {dated(source['since'])}" if source["since"] else ""
        complain(
            f"the repository is {source['state']}{since}: {source['message']}",
            "`passerelle lint` shows all findings of a folder" if source["state"] == "refused" else "",
        )


def tell_notices(client: "Client") -> None:
    """Say that notices to people are not taken, since when and why."""
    for one in client.get("notices")["items"]:
        if one["error"]:
            since = f", the last one was at {dated(one['sent_at'])}" if one["sent_at"] else ""
            complain(
                f"notices by {one['channel']}: {one['error']}. {one['waiting']} wait{since}",
                "`passerelle notices test` on the service's machine tries it",
            )


def host_row(host: dict[str, Any]) -> dict[str, Any]:
    """One line of the fleet."""
    return {
        **{name: host[name] for name in ("host", "sync", "reason", "health", "reachability", "phase", "message")},
        "commit": host["applied_commit"][:10],
        "drift": drift_shown(host),
        "proven": dated(host["proven_at"]),
        "seen": seen(host["observed_at"], is_stale=host["stale"], before_restart=host["before_restart"]),
    }


def drift_shown(host: Mapping[str, Any]) -> Any:
    """How many differences there are; `unknown` where the host was not compared with what Git wants now."""
    return "unknown" if host["drift_items"] is None else host["drift_items"]


def seen(at: str | None, *, is_stale: bool = False, before_restart: bool = False) -> str:
    """When a host was last seen, for people; as an age where that was before the service restarted."""
    if before_restart and at is not None:
        return f"{age(at)}, before the service restarted"
    return f"{dated(at)}{' (stale)' if is_stale else ''}"


def tell_seen(found: Mapping[str, Any]) -> None:
    """Say how old an answer is that was seen before the service restarted."""
    if found["before_restart"]:
        tell(f"seen {seen(found['at'], before_restart=True)}")


def drift(
    host: str | None = None, /, *, patch: Annotated[bool, Parameter(negative="")] = False, output: Output = "table"
) -> int:
    """Show the differences field by field: the place (live, file, boot) and the side that changed (git, host, both).

    Exit codes: 0 shown, 1 error, 4 a host is unreachable or was not compared with what Git wants now.

    Parameters
    ----------
    host
        One host. Default: the whole fleet.
    patch
        Print a patch of the host's spec file, for `git apply`, that accepts the state of the host.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client
    from service.model.listings import DriftListing

    if patch:
        return show_patch(host, as_json=output == "json")
    client = Client()
    items = client.items("drift" if host is None else f"hosts/{host}/drift", DriftListing())
    code = not_compared(client) if host is None else doubt(client, host)
    if output == "json":
        show_json(items)
        return code
    columns = ["host", "kind", "resource", "field", "where", "op", "want", "have", "changed by", "first_seen"]
    empty = "nothing else is known to differ" if code else "nothing differs"
    rows = [item | {"have": item["unknown"] or item["have"], "changed by": item["moved"]} for item in items]
    show_table(columns, rows, empty=empty)
    return code


def not_compared(client: "Client") -> int:
    """0 where every host was compared with what Git wants now. Else the exit code, after naming the others."""
    names = client.get("drift", limit=1)["not_compared"]
    if not names:
        return 0
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    complain(
        f"not compared with what Git wants now: {', '.join(names[:10])}{more}",
        f"`passerelle plan {names[0]}` says why",
    )
    return UNREACHABLE


def show_patch(host: str | None, *, as_json: bool) -> int:
    """The patch on stdout; what it leaves out is reported."""
    from service.cli.client import Client
    from service.cli.exit_codes import USAGE
    from service.cli.output import printable, tell

    if host is None:
        complain("a patch is of one host's file", "passerelle drift pve1 --patch")
        return USAGE
    found = Client().get(f"hosts/{host}/drift/patch")
    if as_json:
        show_json(found)
        return 0
    for line in found["patch"].splitlines():
        print(printable(line))
    if not found["patch"]:
        tell("no patch: nothing differs that a key of the spec can describe")
    for item in found["left"]:
        tell(f"left out: {item['what']}: {item['why']}")
    return 0


def leases(
    *,
    host: str | None = None,
    name: str | None = None,
    mac: str | None = None,
    ip: str | None = None,
    active: bool | None = None,
    at: str | None = None,
    history: bool = False,
    most: int = 1000,
    output: Annotated[TableFormat, Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Show which guest has which address and name, sorted by address, now or at a past time.

    Exit codes: 0 shown, 1 error, 4 the given host is unreachable, was never seen, or left Git; without --host, 4 if any
    host was never seen.

    Parameters
    ----------
    host
        Only leases that this host gave out.
    name
        Only this guest name.
    mac
        Only this MAC address.
    ip
        Only this address.
    active
        --active: only leases in force; --no-active: only those that are not.
    at
        Those that were held at this time: 2026-11-17T03:00, 2026-11-17, 2026-11-17T03:00+01:00. UTC without a zone.
    history
        All past and present leases with their times, newest first.
    most
        Largest number of entries.
    output
        table for people, json for programs, csv for a spreadsheet.
    """
    from service.cli.client import Client
    from service.model.listings import LeaseHistoryListing, LeaseListing

    client = Client()
    past = LeaseHistoryListing(host=host or "", name=name or "", mac=mac or "", ip=ip or "")
    if history:
        items = client.items_of("leases/history", past, most=most)
        columns = ["ip", "name", "mac", "host", "from_at", "until_at", "expires_at"]
    else:
        now = LeaseListing(
            host=past.host, name=past.name, mac=past.mac, ip=past.ip, active=active, at=with_zone(at)
        )  # fmt: skip
        items = client.items_of("leases", now, most=most)
        columns = ["ip", "name", "mac", "host", "active", "expires_at", "first_seen", "last_seen"]
    code = never_seen(client) if not host else doubt(client, host) if not history and at is None else 0
    if output == "json":
        show_json(items)
    elif output == "csv":
        show_csv(columns, items)
    else:
        show_table(columns, items, empty="no such lease is known" if code else "no such lease")
    return code
