"""`passerelle schema`: the JSON Schema of the spec files, for editors."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def schema(
    file: Literal["host", "fleet", "group"] = "host",
    /,
    *,
    out: Annotated[Path | None, Parameter(show_default=False)] = None,
) -> int:
    """Print the JSON Schema of a spec file.

    Editors use it when the file begins with `# yaml-language-server: $schema=PATH`. A key that a shared file may
    have is not required in a host's file.

    Parameters
    ----------
    file
        host for hosts/**.yaml, fleet for fleet.yaml, group for groups/*.yaml.
    out
        Write to this file instead.
    """
    from service.cli.output import complain, tell
    from service.kinds import KINDS
    from service.spec.schema import fleet_schema, group_schema, host_schema

    made = {"host": host_schema, "fleet": fleet_schema, "group": group_schema}[file](KINDS)
    text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    if out is None:
        print(text, end="")
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        complain(f"{out} cannot be written: {error.strerror}", "name a file in a folder that exists")
        return 1
    tell(f"wrote {out}")
    return 0
