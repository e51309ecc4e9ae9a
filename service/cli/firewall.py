"""`passerelle firewall`: every rule of a host in the order in which it is tried."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format

COLUMNS = ("id", "action", "rule", "from", "decides")


def firewall(
    host: str,
    /,
    *,
    repo: Annotated[Path | None, Parameter(show_default=False)] = None,
    never: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Format, Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Show every rule of a host's firewall as Git wants it, in the order in which it is tried.

    The first rule of a table that matches decides. `trace` names the rule that decides about a packet by the same id.
    A rule "never" decides where it is proven that earlier ones take all its packets.

    Exit codes: 0; 1 error; 4 the host is unreachable, or was not compared with what Git wants now.

    Parameters
    ----------
    host
        The host.
    repo
        Folder with fleet.yaml and hosts/, in place of the service.
    never
        Only the rules that never decide.
    output
        table for people, json for programs.
    """
    from service.cli.known import doubt
    from service.cli.output import complain, show_json, show_table, tell

    code = 0
    found: Mapping[str, Any]
    if repo is not None:
        from service.answers.firewalls import tables_as_json
        from service.cli.trace_repo import tracer_of

        found = {"host": host, "differs": None, **tables_as_json(tracer_of(repo, host))}
    else:
        from service.cli.client import Client

        client = Client()
        found = client.get(f"hosts/{host}/firewall")
        code = doubt(client, host)
    if output == "json":
        show_json(_only_never(found) if never else found)
        return code
    if backend := found.get("backend"):
        tell("; ".join(filter(None, [backend["program"] or "backend not known", backend["why"], backend["trouble"]])))
    if found["why"]:
        tell(f"{host}: {found['why']}")
    rows = [row for row in _rows(found) if not never or row["decides"].startswith("never")]
    show_table(COLUMNS, rows, empty="no rule never decides" if never else "there are no rules")
    for one in found["differs"] or ():
        complain(_difference(one), f"passerelle drift --host {host}")
    return code


def _only_never(found: Mapping[str, Any]) -> dict[str, Any]:
    tables = [
        {**table, "rules": [rule for rule in table["rules"] if rule["decides"] == "never"]} for table in found["tables"]
    ]
    return {**found, "tables": [table for table in tables if table["rules"]]}


def _rows(found: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for table in found["tables"]:
        for rule in table["rules"]:
            comes_from = "; ".join(filter(None, [rule["where"], rule["cause"]])) or rule["level"]
            text = f"{rule['text']} ({rule['comment']})" if rule["comment"] else rule["text"]
            decides = rule["decides"]
            if decides == "never":
                decides = f"never: {', '.join(rule['earlier']) or 'it matches nothing'}"
            yield {"id": rule["id"], "action": rule["action"], "rule": text, "from": comes_from, "decides": decides}


def _difference(one: Mapping[str, Any]) -> str:
    name = f"{one['resource']} {one['field']}"
    if one["unknown"]:
        return f"{name}: not known: {one['unknown']}"
    if one["is_order"]:
        return f"{name}: the host has the same lines in another order"
    return f"{name}: the host lacks {len(one['only_wanted'])} lines and has {len(one['only_there'])} others"
