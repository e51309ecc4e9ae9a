"""`passerelle lint`: check a folder of specs without a service, a network or a host."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def lint(
    directory: Annotated[Path, Parameter(show_default=False)] = Path(),
    /,
    *,
    show_ignored: Annotated[bool, Parameter(name="--show-ignored", negative="")] = False,
    pve: Annotated[Path | None, Parameter(show_default=False)] = None,
    output: Annotated[Literal["text", "json", "sarif"], Parameter(name=["--output", "-o"])] = "text",
) -> int:
    """Check a folder with fleet.yaml and hosts/, and report everything that is wrong.

    Exit codes: 0 no errors (there may be warnings), 1 errors, with --pve lines without effect, 64 wrong usage.

    Parameters
    ----------
    directory
        The folder. Default: the current one.
    show_ignored
        Also show warnings that a comment `# passerelle: ignore RULE because REASON` silences.
    pve
        Check the firewall files of a Proxmox node in this folder instead: every line that Proxmox would skip or not
        compile.
    output
        text for people, json for programs, sarif for code hosts (not with --pve).
    """
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain, tell

    if pve is not None:
        if output == "sarif":
            complain("--pve answers as text or json", "-o json")
            return USAGE
        return _lint_pve(pve, as_json=output == "json")
    from service import __version__
    from service.cli.directory import read_directory
    from service.cli.linted import linted
    from service.errors import InputError
    from service.spec import report
    from service.spec.findings import has_errors

    try:
        tree = read_directory(directory)
    except InputError as error:
        complain(error.what, error.hint)
        return USAGE
    findings, silenced = linted(tree)
    count = sum(path.startswith("hosts/") for path in tree.files)
    ignored = silenced if show_ignored else ()
    if output == "json":
        print(json.dumps(report.as_json(findings, count, ignored), indent=2))
    elif output == "sarif":
        from service.kinds import KINDS
        from service.spec.fleet import all_rules

        print(json.dumps(report.as_sarif(findings, all_rules(KINDS), __version__, ignored), indent=2))
    else:
        print(report.as_text(findings), end="")
        print(report.ignored_as_text(ignored), end="")
    tell(report.summary(findings, count, len(silenced)))
    return 1 if has_errors(findings) else 0


def _lint_pve(folder: Path, *, as_json: bool) -> int:
    """The lines of Proxmox's firewall files that have no effect, as text or as a list of file, line, text, reason."""
    from service.cli.exit_codes import USAGE
    from service.cli.output import complain, printable, show_json, tell
    from service.cli.pve_folder import node_of, read_pve_folder
    from service.errors import InputError
    from service.firewall.pve.node import read_firewall
    from service.firewall.trace.ignored import ignored_lines, unfiltered_lines

    try:
        files = read_pve_folder(folder)
        node = node_of(None, None, [])
        found = (*ignored_lines(files, node), *unfiltered_lines(read_firewall(files, node).firewall))
    except InputError as error:
        complain(error.what, error.hint)
        return USAGE
    if as_json:
        show_json(
            [
                {"file": item.where.file, "line": item.where.line, "text": item.text, "reason": item.reason}
                for item in found
            ]
        )
    else:
        for item in found:
            print(printable(f"{item.where}: {item.reason}: {item.text}"))
    if not any(name.endswith(".fw") for name in files):
        where = "on a node they are in /etc/pve/firewall and /etc/pve/local"
        tell(f"{folder} holds no cluster.fw, host.fw or VMID.fw; {where}")
    tell(f"{len(found)} {'line has' if len(found) == 1 else 'lines have'} no effect")
    return 1 if found else 0
