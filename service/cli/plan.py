"""`passerelle plan`: what would be done to a host, from the service or straight from a folder of specs."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from service.cli.exit_codes import UNREACHABLE
from service.cli.output import Format, complain, show_json, tell
from service.cli.plan_text import show_plan

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
CHANGES = 2


def plan(
    host: str,
    /,
    *,
    repo: Path | None = None,
    ssh_key: Path | None = None,
    detailed_exitcode: Annotated[bool, Parameter(name="--detailed-exitcode", negative="")] = False,
    output: Output = "table",
) -> int:
    """Show what the next apply would do to a host, in order, and the reasons against it. Changes nothing.

    Without --repo the command shows the service's current plan. With --repo it compares the specs of that folder with
    the host over SSH, and needs no service. Exit codes: 0 fine, 1 error or refused, 4 the host is unreachable or was
    not compared with what Git wants now. With --detailed-exitcode: 0 compared without changes, 1 error, 2 changes.

    Parameters
    ----------
    host
        The host.
    repo
        A folder with fleet.yaml and hosts/.
    ssh_key
        The private key for the host. Default: the service's own key.
    detailed_exitcode
        Report changes in the exit code.
    output
        table for people, json for programs.
    """
    from service.errors import HostError

    try:
        found, code = from_service(host) if repo is None else (from_folder(repo, host, ssh_key), 0)
    except HostError as error:
        complain(error.what, error.hint)
        return UNREACHABLE
    if output == "json":
        show_json(found)
    else:
        show_plan(found, sys.stdout)
    body = found["body"]
    if code or body["refusals"]:
        return code or 1
    return CHANGES if detailed_exitcode and (body["steps"] or body["packages"] or body["guests"]) else 0


def from_service(host: str) -> tuple[dict[str, Any], int]:
    """The plan that the service made last, and 0; or the exit code where nobody can say whether it holds."""
    from service.cli.client import Client
    from service.cli.known import doubt

    client = Client()
    found: dict[str, Any] = client.get(f"hosts/{host}/plan")
    return found, doubt(client, host)


def from_folder(folder: Path, host: str, ssh_key: Path | None, *, hears: bool = False) -> dict[str, Any]:
    """Compare a folder's spec with the host itself. `hears`: find out, too, which changes the host reports on its own
    (`hints`). Raises InputError for a bad spec, HostError for the host."""
    import asyncio

    from service.cli.folder_spec import spec_in
    from service.kinds import KINDS
    from service.kinds.desire import desire
    from service.observe.runner import runner_of
    from service.once import observe_and_hear, observe_once
    from service.plan.make import make_plan
    from service.resources.desired import LastApplied
    from service.settings import settings_beside

    spec = spec_in(folder, host)
    desired = desire(spec, KINDS)
    tell(f"looking at {host} ({spec.connection.address})")
    key, more = ssh_key or settings_beside().host_key_path, dict[str, Any]()
    if hears:
        observed, more["hints"] = asyncio.run(observe_and_hear(spec, desired.watch, key))
    else:
        observed = asyncio.run(observe_once(spec, desired.watch, key))
    made = make_plan(desired, LastApplied(), observed)
    objections = [*runner_of(observed).objections({"lo"})]
    return {"host": host, "digest": made.digest, "body": made.as_json(), "objections": objections, **more}
