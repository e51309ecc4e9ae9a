"""`python -m service.api.openapi [FILE]`: the API's description as JSON, to the file or to standard output."""

import json
import sys
from pathlib import Path
from typing import Any, cast

from service.api.create import create_app
from service.api.parts import Answers, Control, Parts, Proposals, Reads, Writes
from service.clock import SystemClock


def document() -> dict[str, Any]:
    """The description. Nothing is behind it: making it asks none of the parts."""
    nothing: Any = object()
    parts = Parts(
        cast(Reads, nothing), cast(Writes, nothing), cast(Control, nothing), cast(Answers, nothing), SystemClock(),
        proposals=cast(Proposals, nothing),
    )  # fmt: skip
    return create_app(parts).openapi()


def text() -> str:
    """The description as it is kept in openapi/openapi.json."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write it."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text())
    else:
        sys.stdout.write(text())


if __name__ == "__main__":
    main()
