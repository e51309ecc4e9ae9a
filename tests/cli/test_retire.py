"""`passerelle retire`: what it asks for, and what it says."""

import io
from pathlib import Path

import pytest

from service.apply.retiring import Retired
from service.cli import run
from service.cli.retire import as_text
from tests.documents import example


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text("passerelle: 1\n")
    (tmp_path / "hosts" / "pve1.yaml").write_text(with_sync("observe"))
    return tmp_path


def with_sync(mode: str) -> str:
    before = example()
    assert "sync: auto " in before
    return before.replace("sync: auto ", f"sync: {mode} ", 1)


def test_without_a_terminal_it_wants_yes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run(["retire", "pve1", "--repo", str(folder)]) == 1
    assert "nothing was removed" in capsys.readouterr().err


def test_a_host_that_the_folder_does_not_have_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["retire", "pve2", "--repo", str(folder), "--yes"]) == 1
    assert "describes no host pve2" in capsys.readouterr().err


def test_a_jump_host_keeps_the_key_by_which_others_are_reached(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal: with --keep-key it comes as far as the question."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    behind = (
        with_sync("observe")
        .replace("host: pve1", "host: pve2", 1)
        .replace("  address: ", "  jump: pve1\n  address: ", 1)
    )
    (folder / "hosts" / "pve2.yaml").write_text(behind)
    assert run(["retire", "pve1", "--repo", str(folder), "--yes"]) == 1
    said = capsys.readouterr().err
    assert "pve1 is the jump host of pve2: without the key on pve1 the service cannot reach them" in said
    assert "Fix: give them another `connection.jump`, or add --keep-key" in said
    assert run(["retire", "pve1", "--repo", str(folder), "--keep-key"]) == 1
    assert "no terminal to ask on" in capsys.readouterr().err
    assert run(["retire", "pve2", "--repo", str(folder)]) == 1
    assert "no terminal to ask on" in capsys.readouterr().err


def test_a_host_that_the_service_repairs_is_not_retired(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service keeps its connection: it saw the removed state as drift, and put its files on the host again."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    file = folder / "hosts" / "pve1.yaml"
    file.write_text(with_sync("auto"))
    for more in ([], ["--keep-key"]):
        assert run(["retire", "pve1", "--repo", str(folder), "--yes", *more]) == 1
        assert capsys.readouterr().err == (
            "passerelle: nothing was removed: pve1 has `sync: auto`, so the service may begin an apply and put its "
            "files on the host again\n"
            "  Fix: push `sync: observe` first, wait until `passerelle status` shows that commit, and try again\n"
        )
    for mode in ("observe", "approve"):
        file.write_text(with_sync(mode))
        assert run(["retire", "pve1", "--repo", str(folder)]) == 1
        assert "no terminal to ask on" in capsys.readouterr().err


def test_the_answer_says_what_went_what_stays_and_what_comes_next() -> None:
    gone = Retired("", ("/etc/dnsmasq.d/passerelle.conf", "/etc/passerelle/nft.d"))
    assert as_text("pve1", "hosts/pve1.yaml", gone) == [
        "pve1: passerelle's state and units are removed. The network is unchanged.",
        "The service's key is removed: the service cannot log in any more.",
        "These files stay, because the network needs them:",
        "  /etc/dnsmasq.d/passerelle.conf",
        "  /etc/passerelle/nft.d",
        "Next: remove hosts/pve1.yaml from the repository, and push.",
    ]
    kept = as_text("pve1", "hosts/pve1.yaml", Retired("it was to be kept", ()))
    assert kept[1:] == [
        "The service's key is still on the host, because it was to be kept.",
        "Next: remove hosts/pve1.yaml from the repository, and push.",
    ]
