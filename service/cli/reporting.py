"""Reporting the plan of a revision to the forge: a commit status, and one comment in the pull request.

The command line does it, not the service. So the service has no token that can write to a forge, and no pull request
makes it send anything. The token is that of the CI job, and ends with it.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from service.cli.forges import ForgeKind, State, forge_of
from service.cli.output import tell
from service.errors import InputError
from service.model.secret import Secret

STATES: dict[str, State] = {"good": "success", "bad": "failure", "not-known": "error"}


@Parameter(name="*")
@dataclass(frozen=True)
class Report:
    """Where a plan is reported.

    Parameters
    ----------
    report
        With a revision: set the commit's status there, and with --pull write one comment, which is updated in place.
    report_api
        The address of the forge's API, as in https://api.github.com or https://git.example.org/api/v1.
    report_repo
        The repository there: owner/name. GitLab: the project's path or number.
    report_token_file
        A file with the forge's token, which only its owner may read.
    """

    report: ForgeKind | None = None
    report_api: str | None = None
    report_repo: str | None = None
    report_token_file: Path | None = None

    @property
    def missing(self) -> str:
        """The option that is missing; empty where all or none are there."""
        given = {
            "--report": self.report, "--report-api": self.report_api, "--report-repo": self.report_repo,
            "--report-token-file": self.report_token_file,
        }  # fmt: skip
        absent = [name for name, value in given.items() if value is None]
        return "" if len(absent) in (0, len(given)) else absent[0]


NOWHERE = Report()


def report(found: Mapping[str, Any], to: Report) -> None:
    """Set the status of the commit that was planned, and write the comment. PasserelleError where the forge takes
    neither."""
    if to.report is None or to.report_api is None or to.report_repo is None or to.report_token_file is None:
        return
    from service.cli.client import token_from_environment, token_from_file
    from service.cli.proposed import headline, verdict
    from service.cli.proposed_forms import markdown
    from service.private_files import read_private

    token = Secret(read_private(to.report_token_file, "the forge's token").strip())
    forge = forge_of(to.report, api=to.report_api, repo=to.report_repo, token=token)
    ours = token_from_environment() or token_from_file()
    commit, proposal = found["commit"]["hash"], found["proposal"]
    sent = forge.set_status(commit, STATES[verdict(found)], headline(found))
    tell(f"the status of {commit[:12]} {'was set' if sent else 'says the same already'}")
    if proposal["kind"] == "pull":
        if ours is None:
            raise InputError("no token")
        number = int(proposal["name"])
        forge.comment(number, mark_of(ours, to, number), markdown(found))
        tell(f"the comment in pull request {number} is up to date")


def mark_of(token: Secret, to: Report, number: int) -> str:
    """The first line of our comment, which nobody else can know before it is there: the oldest comment that begins with
    it is ours, whoever copies it later."""
    what = f"{to.report} {to.report_repo} {number}".encode()
    return f"<!-- passerelle plan {hmac.new(token.reveal(), what, hashlib.sha256).hexdigest()[:32]} -->"
