"""A command that reaches another server than passerelle says so and ends with 1, whatever that one answers."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from service.cli import run
from tests.cli.reached import reached

COMMANDS = (
    ["status"], ["status", "pve1"], ["status", "-o", "json"], ["plan", "pve1"], ["drift"], ["drift", "pve1"],
    ["drift", "pve1", "--patch"], ["leases"], ["leases", "--history"], ["history"], ["history", "pve1"],
    ["history", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], ["events"], ["events", "--follow"], ["guests", "pve1"],
    ["pools", "pve1"], ["fix", "pve1", "10.10.10.9"], ["sites"], ["sites", "pve1"], ["topology", "pve1"],
    ["topology", "pve1", "-o", "svg"], ["look", "pve1"],
    ["apply", "pve1", "--yes"], ["drill", "pve1"], ["latch", "clear", "pve1", "--reason", "why"],
    ["release", "pve1", "--reason", "why"], ["host", "forget", "pve1", "--reason", "why"],
    ["source", "accept", "0123456789", "--reason", "why"],
    ["trace", "--host", "pve1", "--from", "10.0.0.1", "--to", "10.0.0.2", "--proto", "icmp"],
)  # fmt: skip
ANSWERS = {
    "page": Response("<html>hello</html>", media_type="text/html"),
    "other": JSONResponse({"status": "ok"}),
    "list": JSONResponse([{"host": "pve1"}]),
    "text": JSONResponse("ok"),
    "other items": JSONResponse({"items": [{"name": "pve1"}]}),
    "no list": JSONResponse({"items": "pve1", "next_cursor": None}),
    "not found": JSONResponse({"detail": "Not Found"}, 404),
    "refused": Response("<html>no</html>", 403, media_type="text/html"),
    "proxy": Response("<html>Bad Gateway</html>", 502, media_type="text/html"),
    "redirect": RedirectResponse("/login"),
    "nothing": Response(b"", 204),
    "deep": Response("[" * 100_000, media_type="application/json"),
}
"""What other servers say, and proxies in front of none."""


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_command_says_that_it_reached_another_server(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_: Request) -> Response:
        return ANSWERS[kind]

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with reached(app, "psr_0123456789ab.x"):
        for words in COMMANDS:
            code = run(words)
            said = capsys.readouterr()
            assert code == 1, (words, said)
            assert "does not answer as passerelle does" in said.err, words
            assert "PASSERELLE_URL" in said.err, words
