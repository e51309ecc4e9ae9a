"""The command about published sites: the state of each, its certificate, and what to do about it."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.known import doubt, never_seen
from service.cli.output import Format, complain, show_json, show_table, tell
from service.cli.times import due

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


def sites(
    host: str | None = None,
    /,
    *,
    name: str | None = None,
    trouble: Annotated[bool, Parameter(negative="")] = False,
    most: int = 1000,
    output: Output = "table",
) -> int:
    """Show each published site: whether it is reachable, until when its certificate is valid, and when it is renewed.

    Exit codes: 0 shown, 1 error, 4 the given host is unreachable, was never seen, or left Git; without a host, 4 if any
    host was never seen.

    Parameters
    ----------
    host
        Only the sites of this host. Default: all.
    name
        Only the site with this name or alias.
    trouble
        Only sites about which a person has to do something.
    most
        Largest number of entries.
    output
        table for people, json for programs.
    """
    from service.cli.client import Client
    from service.model.listings import SiteListing

    client = Client()
    asked = SiteListing(host=host or "", name=name or "", weight="trouble" if trouble else "")
    items = client.items_of("sites", asked, most=most)
    code = doubt(client, host) if host else never_seen(client)
    if output == "json":
        show_json(items)
        return code
    columns = ["host", "site", "state", "certificate", "valid until", "renewed from", "upstream", "inside", "outside"]
    show_table(columns, [row_of(one) for one in items], empty="no such site" if asked.asked else "no site is published")
    for one in items:
        if one["weight"] in ("trouble", "unknown"):
            complain(f"{one['site']} on {one['host']}: {one['message']}", one["fix"])
        elif one["weight"] == "waits":
            tell(f"{one['site']} on {one['host']}: {one['message']}")
    return code


def row_of(site: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    held, window = site["certificate"] or {}, site["window"] or {}
    return {
        **{name: site[name] for name in ("host", "site", "state", "upstream")},
        "certificate": held.get("kind", "none"),
        "valid until": due(held["not_after"]) if held else "",
        "renewed from": due(window["start"]) if window else "",
        "inside": answered(site["inside"]),
        "outside": ", ".join(sorted({answered(one) for one in site["outside"]})),
    }


def answered(answer: Mapping[str, Any] | None) -> str:
    """The HTTP status with which it answered; why not where it did not."""
    if answer is None:
        return ""
    return str(answer["status"]) if answer["status"] else str(answer["error"])
