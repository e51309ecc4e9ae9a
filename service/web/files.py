"""The files that every page uses: style, script, icon. Each address has the digest of the file, so that a browser may
keep it for good."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.responses import Response

PREFIX = "/static/"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}


@cache
def _contents() -> Mapping[str, tuple[str, bytes]]:
    """Name → digest and content of all that is shipped."""
    folder = files("service.web") / "static"
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.rpartition(".")[2] in _TYPES}
    return {name: (hashlib.sha256(content).hexdigest()[:16], content) for name, content in found.items()}


def address_of(name: str) -> str:
    """The address of a file. KeyError where none has this name."""
    return f"{PREFIX}{_contents()[name][0]}/{name}"


def answer_file(path: str) -> Response | None:
    """The file at this address, None where there is none, also for the digest of another version."""
    digest, _, name = path.removeprefix(PREFIX).partition("/")
    known = _contents().get(name)
    if known is None or known[0] != digest:
        return None
    return Response(known[1], headers={**_FOR_GOOD, "Content-Type": _TYPES[name.rpartition(".")[2]]})
