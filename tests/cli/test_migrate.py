"""`passerelle migrate`: what it prints, what it asks, and how it is carried out against an API."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from service.cli import run
from service.cli.migrate_outside import Outside
from service.migrate.judging import NameSeen, RecordChange, Stopped
from tests.cli.reached import reached
from tests.internet.servers import name_server
from tests.migrate.played import FLEET, PVE1, PVE2, Played, git, new_clone

WITHOUT_SITES = PVE1[: PVE1.index("web:\n")] + PVE1[PVE1.index("forwards:\n") :]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ada@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    files = {"fleet.yaml": FLEET, "hosts/pve1.yaml": WITHOUT_SITES, "hosts/pve2.yaml": PVE2}
    made = Played(new_clone(tmp_path, files))
    made.dns.clear()
    return made


def service(played: Played) -> FastAPI:
    """The API's answers about both hosts."""
    app = FastAPI()

    @app.get("/api/v1/hosts/{host}")
    def status(host: str) -> dict[str, Any]:
        return played.status(host)

    @app.get("/api/v1/hosts/{host}/observed")
    def observed(host: str) -> dict[str, Any]:
        return {"content": {"facts": played.facts(host)}}

    @app.get("/api/v1/hosts/{host}/guests")
    def guests(host: str) -> dict[str, Any]:
        return {
            "items": [
                {"mac": mac, "address": address, "state": "named"} for mac, address in played.leases(host).items()
            ]
        }

    return app


def called(played: Played, *words: str) -> int:
    with reached(service(played), "token"):
        return run(["migrate", "pve1", "--to", "pve2", "--repo", str(played.clone), *words])


def test_the_order_is_printed_and_nothing_is_done(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    before = played.head
    assert called(played, "--dry-run") == 0
    said = capsys.readouterr().out
    assert said.startswith("From pve1 to pve2, 8 steps:\n  1  Check that both hosts are reached")
    assert "     taken back by: A commit that reverts it. Guests that pve2 made by then stay there, unmanaged\n" in said
    assert "Step 2 changes:\n--- a/hosts/pve2.yaml\n+++ b/hosts/pve2.yaml\n" in said
    assert '+  dev: {mac: "bc:24:11:00:00:01", address: 10.10.10.117' in said
    assert "Step 7 changes:\n--- a/hosts/pve1.yaml\n" in said
    assert "Note: dev has no fixed address: it keeps 10.10.10.117, the address of its lease.\n" in said
    assert called(played, "--dry-run", "--output", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in found["steps"] if step["patch"]] == ["give", "take"]
    assert played.head == before


def test_what_is_not_ready_is_said_before_anything_is_done(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    played.down.add("pve2")
    assert called(played, "--dry-run") == 1
    assert capsys.readouterr().err == "not ready: pve2 is not reached: connection refused.\n"


def test_without_a_terminal_it_wants_yes(
    played: Played, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = played.head
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert called(played) == 1
    assert "no terminal to ask on, so nothing was done\n  Fix: add --yes\n" in capsys.readouterr().err
    assert played.head == before


def test_it_is_carried_out_and_taken_back(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    before = git(played.clone, "rev-parse", "HEAD^{tree}")
    assert called(played, "--back", "--yes") == 1
    assert "there is no migration of pve1 to pve2 to take back" in capsys.readouterr().err
    assert called(played, "--yes") == 0
    assert capsys.readouterr().err.endswith("pve1 -> pve2: done\n")
    assert "guests:" not in (played.clone / "hosts" / "pve1.yaml").read_text(), "the work tree follows"
    assert called(played, "--back", "--yes") == 0
    assert git(played.clone, "rev-parse", "HEAD^{tree}") == before
    capsys.readouterr()
    assert called(played, "--back", "--yes") == 0
    assert capsys.readouterr().err.startswith("[1/1] Wait until pve2 has applied it")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--address", "pve2.example.org"], "--address: 'pve2.example.org' is not an IPv4 address"),
        (["--grace", "soon"], "'soon' is not a time span"),
        (["--resolvers", "dns.example.org"], "--resolvers: 'dns.example.org' is not the address of a name server"),
    ],
)
def test_a_wrong_option_is_named(
    played: Played, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert called(played, "--dry-run", *words) == 1
    assert said in capsys.readouterr().err


def test_a_host_that_is_not_in_git_is_named(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    with reached(service(played), "token"):
        assert run(["migrate", "pve9", "--to", "pve2", "--repo", str(played.clone)]) == 1
        assert run(["migrate", "pve2", "--to", "pve2", "--repo", str(played.clone)]) == 1
    said = capsys.readouterr().err
    assert "the repository describes no host pve9\n  Fix: name one of: pve1, pve2\n" in said
    assert "pve2 cannot be migrated to itself" in said


def outside(folder: Path, script: str = "exit 0", resolvers: str = "192.0.2.53") -> Outside:
    hook = folder / "hook"
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)
    return Outside(None, resolvers, folder / "key", hook)  # type: ignore[arg-type]  # no question for the service


RECORD = RecordChange("www.example.org", "A", ("198.51.100.11",), ("198.51.100.12",))


def test_a_program_of_the_user_changes_a_record(tmp_path: Path) -> None:
    assert outside(tmp_path, f'echo "$*" >{tmp_path}/said').change(RECORD)
    assert (tmp_path / "said").read_text() == "www.example.org A 198.51.100.11 198.51.100.12\n"
    with pytest.raises(Stopped, match=r"did not change the record of www\.example\.org: no such zone"):
        outside(tmp_path, "echo no such zone >&2; exit 3").change(RECORD)
    with pytest.raises(Stopped, match="cannot change the record"):
        Outside(None, "192.0.2.53", tmp_path, tmp_path / "none").change(RECORD)  # type: ignore[arg-type]


async def test_names_are_what_the_name_servers_say(tmp_path: Path) -> None:
    zone: dict[tuple[str, str], list[str] | str] = {
        ("www.example.org", "A"): ["198.51.100.11"], ("www.example.org", "AAAA"): ["2001:db8::1"],
        ("bad.example.org", "A"): "SERVFAIL",
    }  # fmt: skip
    async with name_server(zone) as (server, _):
        import asyncio

        seen = await asyncio.to_thread(
            outside(tmp_path, resolvers=str(server)).names, ["www.example.org", "none.example.org", "bad.example.org"]
        )
    assert seen[:2] == [NameSeen("www.example.org", ("198.51.100.11", "2001:db8::1")), NameSeen("none.example.org")]
    assert seen[2].why
