"""`passerelle lint`: check a folder of specs without a service, a network or a host."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def lint(
    directory: Annotated[Path, Parameter(show_default=False)] = Path(),
    /,
    *,
    output: Annotated[Literal["text", "json", "sarif"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Check a folder that holds fleet.yaml and hosts/, and say everything that is wrong with it.

    Exit codes: 0 no errors (there may be warnings), 1 errors, 64 wrong usage.

    Parameters
    ----------
    directory
        The folder; the current one if not given.
    output
        text for people, json for programs, sarif for code hosts.
    """
    from service import __version__
    from service.cli import USAGE
    from service.cli.directory import read_directory
    from service.cli.output import complain, tell
    from service.errors import InputError
    from service.kinds import KINDS
    from service.spec import report
    from service.spec.fleet import all_rules, read_fleet

    try:
        tree = read_directory(directory)
    except InputError as error:
        complain(error.what, error.hint)
        return USAGE
    fleet = read_fleet(tree, KINDS)
    count = sum(path.startswith("hosts/") for path in tree.files)
    if output == "json":
        print(json.dumps(report.as_json(fleet.findings, count), indent=2))
    elif output == "sarif":
        print(json.dumps(report.as_sarif(fleet.findings, all_rules(KINDS), __version__), indent=2))
    else:
        print(report.as_text(fleet.findings), end="")
    tell(report.summary(fleet.findings, count))
    return 1 if fleet.has_errors else 0
