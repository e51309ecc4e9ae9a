"""Repositories that mean harm: nothing of them runs or is believed."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from forge import Forge

from service.git.commands import Git
from service.git.mirror import Mirror
from service.model.sources import Advanced, Failed, Fetched, Missing, Source, Unchanged

ONE = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": "host: pve1\n"}


def failed(found: Fetched, cause: str) -> str:
    assert isinstance(found, Failed), found
    assert found.cause == cause, found
    return found.reason


# A repository that carries everything a repository can carry


def test_a_repository_that_carries_every_trap_runs_nothing(forge: Forge, mirror: Mirror, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    trap = f"#!/bin/sh\ntouch '{marker}'\n"
    elsewhere = forge.push({"hosts/pve1.yaml": "host: replaced\n"}, branch="elsewhere", orphan=True)
    head = forge.push(
        ONE
        | {
            ".gitattributes": "*.yaml filter=trap diff=trap\n",
            ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = https://git.example.org/x\n\tupdate = none\n',
            ".lfsconfig": f"[lfs]\n\turl = file://{marker}\n",
            "x": ("160000", "1" * 40),
            "hooks/post-checkout": trap,
        }
    )
    forge.git("update-ref", f"refs/replace/{head}", elsewhere)
    for hook in ("post-checkout", "reference-transaction", "post-upload-pack", "pre-receive", "fsmonitor-watchman"):
        (forge.path / "hooks").mkdir(exist_ok=True)
        (forge.path / "hooks" / hook).write_text(trap)
        (forge.path / "hooks" / hook).chmod(0o755)
    for key, value in {
        "core.fsmonitor": f"touch {marker}",
        "core.sshCommand": f"touch {marker}",
        "core.alternateRefsCommand": f"touch {marker}",
        "uploadpack.packObjectsHook": f"touch {marker}",
        "filter.trap.smudge": f"touch {marker}",
        "filter.trap.clean": f"touch {marker}",
        "diff.external": f"touch {marker}",
        "core.pager": f"touch {marker}",
        "credential.helper": f"!touch {marker}",
    }.items():
        forge.git("config", key, value)
    assert not marker.exists()
    assert mirror.fetch(None) == Advanced(head, None)
    assert mirror.fetch(head) == Unchanged(head)
    tree = mirror.read_tree(head)
    assert {path: entry.data.decode() for path, entry in tree.files.items()} == ONE
    assert tree.problems == ()
    assert not marker.exists()


def test_a_module_file_that_names_a_command_is_refused(forge: Forge, mirror: Mirror, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    head = forge.push(ONE)
    mirror.fetch(None)
    command = f'[submodule "x"]\n\tpath = x\n\turl = "ext::sh -c touch% {marker}"\n'
    trap = command + '[submodule "-u"]\n\tpath = -u\n\turl = -u\n'
    forge.push(ONE | {".gitmodules": trap, "x": ("160000", "1" * 40)})
    failed(mirror.fetch(head), "refused")
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    assert not marker.exists()


@pytest.mark.host
def test_a_local_source_that_would_fetch_lazily_from_elsewhere_runs_nothing(
    forge: Forge, mirror: Mirror, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    forge.push(ONE)
    forge.git("config", "extensions.partialClone", "away")
    forge.git("config", "core.repositoryFormatVersion", "1")
    forge.git("config", "remote.away.url", str(tmp_path))
    forge.git("config", "remote.away.promisor", "true")
    forge.git("config", "remote.away.uploadpack", f"touch {marker}; false")
    blob = forge.git("rev-parse", "main:hosts/pve1.yaml")
    (forge.path / "objects" / blob[:2] / blob[2:]).unlink()
    for found in (forge.path, *forge.path.rglob("*")):
        os.chown(found, 65534, 65534)
    assert isinstance(mirror.fetch(None), Failed)
    assert not marker.exists()


def test_hooks_written_into_the_mirror_do_not_run(forge: Forge, mirror: Mirror, room: Path, tmp_path: Path) -> None:
    first = forge.push(ONE)
    mirror.fetch(None)
    hooks = room / "mirror.git" / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text(f"#!/bin/sh\ntouch '{tmp_path / 'ran'}'\n")
    (hooks / "reference-transaction").chmod(0o755)
    second = forge.push(ONE | {"hosts/pve2.yaml": "host: pve2\n"})
    assert mirror.fetch(first) == Advanced(second, first)
    assert not (tmp_path / "ran").exists()


# Objects that git itself would not make


def dotdot(forge: Forge) -> str:
    return forge.raw_tree([(b"100644", b"..", forge.blob("x"))])


def dotgit(forge: Forge) -> str:
    inner = forge.tree({"config": "x"})
    return forge.raw_tree([(b"40000", b".git", inner)])


def doubled(forge: Forge) -> str:
    return forge.raw_tree([(b"100644", b"a", forge.blob("x")), (b"100644", b"a", forge.blob("y"))])


def slashed(forge: Forge) -> str:
    return forge.raw_tree([(b"100644", b"../../etc/x", forge.blob("x"))])


def unsorted(forge: Forge) -> str:
    return forge.raw_tree([(b"100644", b"b", forge.blob("x")), (b"100644", b"a", forge.blob("y"))])


def nameless(forge: Forge) -> str:
    return forge.raw_tree([(b"100644", b"", forge.blob("x"))])


@pytest.mark.parametrize("make", [dotdot, dotgit, doubled, slashed, unsorted, nameless])
def test_a_malformed_tree_is_refused_and_the_old_one_stays(
    make: Callable[[Forge], str], forge: Forge, mirror: Mirror
) -> None:
    head = forge.push(ONE)
    mirror.fetch(None)
    forge.git("update-ref", "refs/heads/main", forge.commit_tree(make(forge), head))
    failed(mirror.fetch(head), "refused")
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    forge.git("update-ref", "refs/heads/main", head)
    assert mirror.fetch(head) == Unchanged(head)


def test_a_damaged_object_at_the_source_is_refused(forge: Forge, mirror: Mirror) -> None:
    head = forge.push(ONE)
    mirror.fetch(None)
    forge.push(ONE | {"hosts/pve2.yaml": "host: pve2\n"})
    blob = forge.git("rev-parse", "main:hosts/pve2.yaml")
    loose = forge.path / "objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes(loose.read_bytes()[:-4] + b"\0\0\0\0")
    failed(mirror.fetch(head), "refused")
    loose.write_bytes(zlib.compress(b"blob 5\0other"))
    failed(mirror.fetch(head), "refused")
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)


@pytest.mark.parametrize("mode", [b"0", b"100000", b"120777", b"777"])
def test_entries_of_no_known_mode_are_refused_at_the_fetch_or_named(mode: bytes, forge: Forge, mirror: Mirror) -> None:
    inner = forge.raw_tree([(mode, b"odd.yaml", forge.blob("x"))])
    commit = forge.commit_tree(forge.raw_tree([(b"40000", b"hosts", inner)]))
    forge.git("update-ref", "refs/heads/main", commit)
    found = mirror.fetch(None)
    if isinstance(found, Failed):
        assert found.cause == "refused"
    else:
        tree = mirror.read_tree(commit)
        assert tree.files == {}
        assert [problem.path for problem in tree.problems] == ["hosts/odd.yaml"]


# Names that would be options, replayed against what runs git, past the parser


@pytest.mark.parametrize("url", ["--upload-pack=touch {marker}", "-u{marker}", "ext::sh -c touch% {marker}", "fd::0"])
def test_even_past_the_parser_a_url_is_no_option_and_no_command(url: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    source = Source(url.format(marker=marker), "main", "local")
    git = Git(tmp_path, tmp_path / "mirror.git", source)
    assert git.create().ok
    assert not git.branch_head().ok
    assert not git.fetch().ok
    assert not marker.exists()


def test_even_past_the_parser_a_branch_is_no_option(forge: Forge, tmp_path: Path) -> None:
    forge.push(ONE)
    mirror = Mirror(tmp_path / "room", Source(str(forge.path), f"--upload-pack=touch {tmp_path}/ran", "local"))
    assert mirror.fetch(None) == Missing(f"--upload-pack=touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()


def test_a_network_source_cannot_be_served_from_a_file(forge: Forge, tmp_path: Path) -> None:
    forge.push(ONE)
    (tmp_path / "home").mkdir()
    git = Git(tmp_path, tmp_path / "home", Source(str(forge.path), "main", "https"))
    answer = git.branch_head()
    assert "transport 'file' not allowed" in git.complaint(answer)
