"""`passerelle show`: the whole spec of a host, with the file and the line of each value."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def show(
    host: str,
    directory: Annotated[Path, Parameter(show_default=False)] = Path(),
    /,
    *,
    output: Annotated[Literal["yaml", "json"], Parameter(name=["--output", "-o"])] = "yaml",
) -> int:
    """Show the whole spec of a host: its own file over its groups and `defaults` of fleet.yaml.

    Each value has its file and line. No service is needed. Exit codes: 0 fine, 1 the folder has
    errors or no such host.

    Parameters
    ----------
    host
        The host.
    directory
        The folder with fleet.yaml and hosts/. Default: the current one.
    output
        yaml for people, json for programs.
    """
    from service.cli.directory import read_directory
    from service.cli.folder_spec import none_there
    from service.cli.output import complain, printable, show_json
    from service.errors import InputError
    from service.kinds import KINDS
    from service.spec import document, shown
    from service.spec.fleet import read_fleet
    from service.spec.merging import merged
    from service.spec.reading import HOSTS_FOLDER, host_of

    try:
        tree = read_directory(directory)
    except InputError as error:
        complain(error.what, error.hint)
        return 1
    files = {host_of(path): path for path in tree.files if path.startswith(HOSTS_FOLDER)}
    fleet = read_fleet(tree, KINDS)
    if host not in files:
        none = none_there(directory, host, fleet.hosts, files)
        complain(none.what, none.hint)
        return 1
    own, layers = document.load(tree.files[files[host]].data), fleet.members.of(host)
    whole = merged(own, layers)
    if whole.document.value is not None:
        if output == "json":
            order = [*(layer.file for layer in layers), files[host]]
            show_json({"host": host, "files": order, "values": shown.as_rows(files[host], whole)})
        else:
            for line in shown.as_yaml(host, files[host], whole, layers).splitlines():
                print(printable(line))
    wrong = [found for found in fleet.findings if found.severity == "error"]
    if wrong:
        complain(f"the specs have {len(wrong)} errors, the first: {wrong[0]}", f"passerelle lint {directory}")
    return 1 if wrong else 0
