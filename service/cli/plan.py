"""`passerelle plan`: what would be done to a host, from the service or straight from a folder of specs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.output import Format, cell, complain, printable, show_json, tell
from service.model.states import Json

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
CHANGES = 2
UNREACHABLE = 4


def plan(
    host: str,
    /,
    *,
    repo: Path | None = None,
    ssh_key: Path | None = None,
    detailed_exitcode: Annotated[bool, Parameter(name="--detailed-exitcode", negative="")] = False,
    output: Output = "table",
) -> int:
    """Show what would be done to a host, in order, with what speaks against it. Changes nothing.

    Without --repo the service's current plan is shown. With --repo the specs of that folder are compared with the host,
    which is looked at over SSH; no service is needed. Exit codes: 0 fine, 1 error or refused, 4 unreachable; with
    --detailed-exitcode 0 no changes, 1 error, 2 changes.

    Parameters
    ----------
    host
        The host.
    repo
        A folder with fleet.yaml and hosts/.
    ssh_key
        The private key for the host; the service's own if not given.
    detailed_exitcode
        Tell changes by the exit code.
    output
        table for people, json for programs.
    """
    from service.errors import Unreachable

    try:
        found = from_service(host) if repo is None else from_folder(repo, host, ssh_key)
    except Unreachable as error:
        complain(error.what, error.hint)
        return UNREACHABLE
    if output == "json":
        show_json(found)
    else:
        print(as_text(found["body"]))
    body = found["body"]
    if body["refusals"]:
        return 1
    return CHANGES if detailed_exitcode and (body["steps"] or body["packages"]) else 0


def from_service(host: str) -> dict[str, Any]:
    """The plan that the service made last."""
    from service.cli.client import Client

    found: dict[str, Any] = Client().get(f"hosts/{host}/plan")
    return found


def from_folder(folder: Path, host: str, ssh_key: Path | None) -> dict[str, Any]:
    """Compare a folder's spec with the host itself. Raises InputError for a bad spec, HostError for the host."""
    import asyncio

    from service.app import observe_once
    from service.cli.directory import read_directory
    from service.errors import InputError
    from service.kinds import KINDS
    from service.kinds.desire import desire
    from service.observe.runner import runner_of
    from service.plan.make import make_plan
    from service.resources.desired import LastApplied
    from service.settings import read_settings
    from service.spec.fleet import read_fleet

    fleet = read_fleet(read_directory(folder), KINDS)
    errors = [finding for finding in fleet.findings if finding.severity == "error"]
    if errors:
        count = f"{len(errors)} error{'s' if len(errors) > 1 else ''}"
        raise InputError(f"{count} in {folder}, the first: {errors[0]}", hint=f"passerelle lint {folder}")
    spec = fleet.hosts.get(host)
    if spec is None:
        raise InputError(f"{folder} describes no host {host}", hint=f"it describes {', '.join(fleet.hosts) or 'none'}")
    desired = desire(spec, KINDS)
    tell(f"looking at {host} ({spec.connection.address})")
    observed = asyncio.run(observe_once(spec, desired.watch, ssh_key or read_settings().host_key_path))
    made = make_plan(desired, LastApplied(), observed)
    objections = [*runner_of(observed).objections({"lo"})]
    return {"host": host, "digest": made.digest, "body": made.as_json(), "objections": objections}


SIGNS = {"missing": "+", "extra": "-", "changed": "~"}


SHOWN_VALUE = 160
"""Characters of a value of a difference. A whole rule set is for programs."""


def _short(value: Json) -> str:
    """A value for people, in one line. Nothing where it is not there."""
    if value is None:
        return "nothing"
    text = cell(value) if isinstance(value, bool | str) or _is_plain(value) else json.dumps(value, sort_keys=True)
    return text if len(text) <= SHOWN_VALUE else f"{text[:SHOWN_VALUE]}… ({len(text)} characters; all with -o json)"


def _is_plain(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def as_text(body: Mapping[str, Any]) -> str:
    """A plan for people: what differs, what would be done, what speaks against it."""
    lines = []
    for entry in body.get("drifts", []):
        cause = f"  ({entry['cause']})" if entry["cause"] else ""
        have = f"unknown: {entry['unknown']}" if entry["unknown"] else _short(entry["have"])
        lines.append(
            f"{SIGNS[entry['op']]} {entry['kind']} {entry['resource']} {entry['field']} [{entry['where']}]: "
            f"{have} -> {_short(entry['want'])}  moved: {entry['moved']}{cause}"
        )
    for package in body.get("packages", []):
        version = f" {package['version']}" if package.get("version") else ""
        along = "" if package.get("named", True) else " (along with it)"
        lines.append(f"  package {package['action']} {package['name']}{version}{along}")
    for number, step in enumerate(body.get("steps", []), 1):
        when = " on confirmation" if step["on_confirm"] else ""
        restart = " (restart)" if step["restart"] else ""
        risk = f"  RISK: {step['risk']}" if step["risk"] else ""
        lines.append(f"  {number}. {step['fact']}{restart}{when}: {step['why']}{risk}")
    for refusal in body.get("refusals", []):
        lines.append(f"! refused ({refusal['rule']}): {refusal['what']}")
        if refusal["hint"]:
            lines.append(f"    next: {refusal['hint']}")
    if least_s := body.get("least_deadline_s"):
        lines.append(f"note: the host waits {least_s} s or more for the confirmation: a bridge with STP takes its time")
    lines.extend(f"! broken already: {sentence}" for sentence in body.get("at_boot", []))
    lines.extend(f"! needs an approval (scope approve): {what}" for what in body.get("raises", []))
    lines.extend(f"! overridden ({r['rule']}): {r['what']}" for r in body.get("overridden", []))
    lines.extend(f"reach: {sentence}" for sentence in body.get("reachability", []))
    for left in body.get("left_behind", []):
        lines += [f"left behind: {left['what']}", f"    Fix: {left['hint']}"]
    lines.extend(f"note: {note}" for note in body.get("notes", []))
    return "\n".join(printable(line) for line in lines) or "no changes"
