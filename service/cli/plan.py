"""`passerelle plan`: what would be done to a host, from the service or straight from a folder of specs.

With a revision it shows what that would do, which nobody follows.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from service.cli.exit_codes import UNREACHABLE, USAGE
from service.cli.output import complain, show_json, tell
from service.cli.plan_text import show_plan
from service.cli.reporting import NOWHERE, Report, report
from service.errors import PasserelleError

PlanForm = Literal["table", "json", "markdown", "junit"]
Output = Annotated[PlanForm, Parameter(name=["--output", "-o", "--format"])]
CHANGES = 2
REVISIONS = ("branch", "pull", "commit")


def plan(
    *hosts: str,
    repo: Path | None = None,
    ssh_key: Path | None = None,
    branch: str | None = None,
    pull: int | None = None,
    revision: str | None = None,
    all_hosts: Annotated[bool, Parameter(name="--all", negative="")] = False,
    detailed_exitcode: Annotated[bool, Parameter(name="--detailed-exitcode", negative="")] = False,
    output: Output = "table",
    to: Report = NOWHERE,
) -> int:
    """Show what the next apply would do to a host, in order, and the reasons against it. Changes nothing.

    Without --repo the command shows the service's current plan. With --repo it compares the specs of that folder with
    the host over SSH, and needs no service. Exit codes: 0 fine, 1 error or refused, 4 the host is unreachable or was
    not compared with what Git wants now. With --detailed-exitcode: 0 compared without changes, 1 error, 2 changes.

    With --branch, --pull or --revision the service fetches that revision and shows what it would do to the hosts, as
    far as they were seen. The revision is never applied.

    Parameters
    ----------
    hosts
        The host. With a revision: one or more, or --all.
    repo
        A folder with fleet.yaml and hosts/.
    ssh_key
        The private key for the host. Default: the service's own key.
    branch
        A branch of the repository that the service follows.
    pull
        The number of a pull request or merge request.
    revision
        A commit, with all 40 characters of its id.
    all_hosts
        With a revision: all hosts that the token sees.
    detailed_exitcode
        Report changes in the exit code.
    output
        table for people, json for programs. With a revision also markdown and junit.
    """
    asked = [(kind, str(one)) for kind, one in zip(REVISIONS, (branch, pull, revision), strict=True) if one is not None]
    if missing := to.missing:
        return wrong(f"{missing} is missing", "a report needs all four options that begin with --report")
    if asked:
        return plan_revision(asked, hosts, repo, to, all_hosts=all_hosts, detailed=detailed_exitcode, output=output)
    if to.report is not None:
        return wrong("the plan of a host is not reported", "name a revision with --branch, --pull or --revision")
    if len(hosts) != 1 or all_hosts:
        return wrong("name one host", "several hosts can be named with --branch, --pull or --revision")
    if output not in ("table", "json"):
        return wrong(f"the plan of a host has no form {output}", "write -o table or -o json")
    return plan_host(hosts[0], repo, ssh_key, detailed=detailed_exitcode, as_json=output == "json")


def plan_host(host: str, repo: Path | None, ssh_key: Path | None, *, detailed: bool, as_json: bool) -> int:
    """What would be done to one host by what is in force, or by a folder."""
    from service.errors import HostError

    try:
        found, code = from_service(host) if repo is None else (from_folder(repo, host, ssh_key), 0)
    except HostError as error:
        complain(error.what, error.hint)
        return UNREACHABLE
    if as_json:
        show_json(found)
    else:
        show_plan(found, sys.stdout)
    body = found["body"]
    if code or body["refusals"]:
        return code or 1
    return CHANGES if detailed and (body["steps"] or body["packages"] or body["guests"]) else 0


def plan_revision(
    asked: Sequence[tuple[str, str]], hosts: Sequence[str], repo: Path | None, to: Report, *, all_hosts: bool,
    detailed: bool, output: PlanForm,
) -> int:  # fmt: skip
    """What a revision that nobody follows would do, in the form that was chosen."""
    if len(asked) != 1 or repo is not None:
        return wrong("--branch, --pull, --revision and --repo exclude each other", "give one of them")
    if bool(hosts) is all_hosts:
        return wrong("no hosts are named, or hosts and --all", "name the hosts, or write --all")
    from service.cli import proposed

    [(kind, name)] = asked
    found = proposed.from_service(kind, name, hosts)
    show_proposed(found, output)
    code = proposed.exit_code(found, detailed=detailed)
    try:
        report(found, to)
    except PasserelleError as error:  # the plan was shown; who reads the exit code learns that nobody else saw it
        complain(error.what, error.hint)
        return code or 1
    return code


def wrong(what: str, hint: str) -> int:
    """Wrong usage, and its exit code."""
    complain(what, hint)
    return USAGE


def show_proposed(found: dict[str, Any], output: PlanForm) -> None:
    """What a revision would do, on stdout."""
    if output == "json":
        show_json(found)
        return
    from service.cli import proposed_forms
    from service.cli.output import show_lines

    if output == "table":
        show_lines(proposed_forms.text_lines(found), sys.stdout)
    else:
        form = proposed_forms.markdown if output == "markdown" else proposed_forms.junit
        print(form(found), end="")


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
