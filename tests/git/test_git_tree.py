"""What of a commit is read, what is refused by name, mode or size, and that nothing is left running after it."""

import os
import unicodedata
from hashlib import sha1
from pathlib import Path

import pytest
from forge import Forge
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cli.directory import blob_id_of, read_directory
from service.errors import InputError, SourceError
from service.git.mirror import Mirror
from service.model.sources import Unchanged
from service.model.trees import (
    FOLDER,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_PROBLEMS,
    PLAIN_FILE,
    Listed,
    Tree,
    choose,
    shown,
    shown_path,
)

ONE = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": "host: pve1\n"}


def read(forge: Forge, mirror: Mirror, commit: str) -> Tree:
    mirror.fetch(None)
    return mirror.read_tree(commit)


def problems(tree: Tree) -> dict[str, str]:
    return {problem.path: problem.what for problem in tree.problems}


def test_the_spec_files_and_nothing_else_are_read(forge: Forge, mirror: Mirror) -> None:
    files = {
        "fleet.yaml": "passerelle: 1\n",
        "hosts/pve1.yaml": "host: pve1\n",
        "hosts/paris/rack-1/pve2.yml": "host: pve2\n",
        "groups/web.yaml": "group: web\n",
    }
    beside = {
        "README.md": "hello",
        ".github/workflows/x.yaml": "on: push",
        "docs/hosts/x.yaml": "x",
        "hosts/.gitkeep": "",
    }
    tree = read(forge, mirror, forge.push(files | beside, message="all there is"))
    assert {path: entry.data.decode() for path, entry in tree.files.items()} == files
    assert list(tree.files) == sorted(tree.files)
    assert tree.problems == ()
    assert tree.commit is not None
    assert tree.commit.subject == "all there is"
    assert {entry.blob_id: entry.data for entry in tree.files.values()} == tree.blobs()


def test_an_emptied_commit_has_no_files_and_says_so(forge: Forge, mirror: Mirror) -> None:
    tree = read(forge, mirror, forge.push({"README": "gone"}))
    assert (dict(tree.files), tree.problems) == ({}, ())


def test_only_plain_files_are_read_and_the_others_are_named_with_their_mode(forge: Forge, mirror: Mirror) -> None:
    secret = forge.blob("/etc/shadow")
    tree = forge.tree(
        ONE
        | {
            "hosts/leak.yaml": ("120000", secret),
            "hosts/inside.yaml": ("120000", forge.blob("pve1.yaml")),
            "hosts/sub": ("160000", "1" * 40),
            "hosts/run.yaml": ("100755", forge.blob("host: run\n")),
            "hosts/old.yaml": ("100664", forge.blob("host: old\n")),
            "hosts/deep/link": ("120000", forge.blob("/")),
        }
    )
    commit = forge.commit_tree(tree)
    forge.git("update-ref", "refs/heads/main", commit)
    read_back = read(forge, mirror, commit)
    assert sorted(read_back.files) == sorted(ONE)
    assert problems(read_back) == {
        "hosts/leak.yaml": "a symbolic link (mode 120000); spec files are plain files (mode 100644)",
        "hosts/inside.yaml": "a symbolic link (mode 120000); spec files are plain files (mode 100644)",
        "hosts/deep/link": "a symbolic link (mode 120000); spec files are plain files (mode 100644)",
        "hosts/sub": "a submodule (mode 160000); spec files are plain files (mode 100644)",
        "hosts/run.yaml": "an executable file (mode 100755); spec files are plain files (mode 100644)",
        "hosts/old.yaml": "an entry of unusual mode (mode 100664); spec files are plain files (mode 100644)",
    }
    assert b"shadow" not in b"".join(read_back.blobs().values())


@pytest.mark.parametrize(
    ("name", "mode", "what"),
    [
        ("hosts", "120000", "a symbolic link (mode 120000); hosts has to be a folder"),
        ("hosts", "160000", "a submodule (mode 160000); hosts has to be a folder"),
        ("hosts", "100644", "a plain file (mode 100644); hosts has to be a folder"),
        ("fleet.yaml", "120000", "a symbolic link (mode 120000); spec files are plain files (mode 100644)"),
        ("Fleet.yaml", "100644", "is not read under this name; call it fleet.yaml"),
        ("fleet.yml", "100644", "is not read under this name; call it fleet.yaml"),
        ("HOSTS", "100644", "is not read under this name; call it hosts"),
    ],
)
def test_our_three_names_at_the_top_are_what_they_have_to_be(
    name: str, mode: str, what: str, forge: Forge, mirror: Mirror
) -> None:
    identity = "1" * 40 if mode == "160000" else forge.blob("x")
    commit = forge.commit_tree(forge.tree({name: (mode, identity)}))
    forge.git("update-ref", "refs/heads/main", commit)
    assert problems(read(forge, mirror, commit)) == {name: what}


def test_a_folder_instead_of_the_fleet_file_and_folders_in_groups_are_refused(forge: Forge, mirror: Mirror) -> None:
    tree = read(forge, mirror, forge.push({"fleet.yaml/x.yaml": "x", "groups/a/b.yaml": "x"}))
    assert sorted(problems(tree)) == ["fleet.yaml", "groups/a"]
    assert tree.files == {}


def test_a_name_that_is_not_plain_is_a_problem_and_showable(forge: Forge, mirror: Mirror) -> None:
    names = [
        *("PVE2.yaml", "README.md", "pve1.json", "pve1.yaml.bak", ".hidden.yaml", "-x.yaml", "_x.yaml", "a b.yaml"),
        *("a\nb.yaml", "a\tb.yaml", "a\x1b[31m.yaml", "pvе1.yaml", "é.yaml", "a\u202eb.yaml", "a\u200bb.yaml", "~"),
        *("ﬁ.yaml", "pve1.yaml\n", "a:b.yaml", "a\\b.yaml", ".yaml", "yaml", "a.YAML", "con.yaml "),
    ]
    tree = read(forge, mirror, forge.push(ONE | {f"hosts/{name}": "host: x\n" for name in names}))
    assert sorted(tree.files) == sorted(ONE)
    assert len(tree.problems) == len(names)
    for problem in tree.problems:
        assert problem.path.isprintable()
        assert problem.path.removeprefix("hosts/") in names or "\\" in problem.path


def test_names_that_are_no_utf8_are_shown_escaped(forge: Forge, mirror: Mirror) -> None:
    tree = read(forge, mirror, forge.push(ONE | {b"hosts/\xff\xfe.yaml": "x", b"hosts/sub\xff/a.yaml": "x"}))
    assert sorted(problems(tree)) == ["hosts/\\xff\\xfe.yaml", "hosts/sub\\xff"]


def test_twins_but_for_case_or_form_are_named_after_each_other(forge: Forge, mirror: Mirror) -> None:
    composed, split = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    entries = ONE | {"hosts/PVE1.yaml": "host: pve1\n", f"hosts/{composed}": "x", f"hosts/{split}": "x"}
    told = problems(read(forge, mirror, forge.push(entries)))
    assert "its name differs from hosts/PVE1.yaml only in case" in told["hosts/pve1.yaml"]
    assert sum("its name differs from" in what for what in told.values()) == 2


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=24).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_any_name_is_either_plain_or_a_showable_problem(name: bytes) -> None:
    chosen, wrong = choose([Listed((b"hosts",), FOLDER), Listed((b"hosts", name), PLAIN_FILE, "0" * 40)])
    assert len(chosen) + len(wrong) == (0 if name == b".gitkeep" else 1)
    assert all(entry.path.isascii() and entry.path.islower() for entry in chosen)
    assert all(problem.path.isprintable() for problem in wrong)


def test_a_file_over_the_limit_is_a_problem_and_not_read(forge: Forge, mirror: Mirror) -> None:
    exact, over = b"#" * MAX_FILE_BYTES, b"#" * (MAX_FILE_BYTES + 1)
    tree = read(forge, mirror, forge.push(ONE | {"hosts/exact.yaml": exact, "hosts/over.yaml": over}))
    assert sorted(tree.files) == ["fleet.yaml", "hosts/exact.yaml", "hosts/pve1.yaml"]
    assert problems(tree) == {"hosts/over.yaml": "the file has 1048577 bytes, more than 1048576. Fix: split the file"}
    commit = tree.commit
    assert commit is not None
    assert mirror.read_file_at(commit.hash, "hosts/over.yaml") is None


def test_files_of_more_than_the_limit_in_all_are_a_problem(forge: Forge, mirror: Mirror) -> None:
    big = forge.blob(b"#" * MAX_FILE_BYTES)
    tree = read(forge, mirror, forge.push({f"hosts/h{n}.yaml": ("100644", big) for n in range(65)}))
    assert problems(tree) == {".": "the spec files have more than 67108864 bytes together. Fix: split the repository"}
    assert len(tree.files) == 64


@pytest.mark.parametrize(("count", "word"), [(MAX_FILES + 1, "more than 10000"), (2 * MAX_FILES + 1, "was not read")])
def test_more_files_than_the_limit_are_one_problem_and_no_files(
    count: int, word: str, forge: Forge, mirror: Mirror
) -> None:
    small = forge.blob("host: x\n")
    tree = read(forge, mirror, forge.push({f"hosts/h{n:06}.yaml": ("100644", small) for n in range(count)}))
    assert tree.files == {}
    (problem,) = tree.problems
    assert word in problem.what


@pytest.mark.long
def test_a_fleet_of_ten_thousand_hosts_is_read(forge: Forge, mirror: Mirror) -> None:
    small = forge.blob("host: x\n")
    hosts = {f"hosts/h{n:06}.yaml": ("100644", small) for n in range(MAX_FILES)}
    tree = read(forge, mirror, forge.push({"fleet.yaml": "passerelle: 1\n", **hosts}))
    assert (len(tree.files), tree.problems) == (1 + MAX_FILES, ())


def test_folders_too_deep_are_one_problem(forge: Forge, mirror: Mirror) -> None:
    tree = read(forge, mirror, forge.push(ONE | {"hosts/" + "d/" * 9 + "x.yaml": "host: x\n"}))
    assert tree.files == {}
    assert [problem.what for problem in tree.problems] == ["folders are read 8 deep at most"]


def test_many_problems_are_cut_and_counted(forge: Forge, mirror: Mirror) -> None:
    small = forge.blob("x")
    tree = read(forge, mirror, forge.push({f"hosts/H{n}": ("100644", small) for n in range(MAX_PROBLEMS + 5)}))
    assert len(tree.problems) == MAX_PROBLEMS + 1
    assert tree.problems[-1].what == "and 5 more problems of this sort"


def test_an_lfs_pointer_is_a_problem(forge: Forge, mirror: Mirror) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"
    tree = read(forge, mirror, forge.push(ONE | {"hosts/pve2.yaml": pointer}))
    assert problems(tree) == {"hosts/pve2.yaml": "the file is a Git LFS pointer. Fix: keep spec files out of LFS"}


def test_blobs_that_are_known_are_not_read_again(forge: Forge, mirror: Mirror) -> None:
    first = read(forge, mirror, forge.push(ONE))
    kept = {first.files["hosts/pve1.yaml"].blob_id: b"what the caller kept"}
    again = mirror.read_tree(forge.git("rev-parse", "main"), kept)
    assert again.files["hosts/pve1.yaml"].data == b"what the caller kept"
    assert again.files["fleet.yaml"].data == b"passerelle: 1\n"


def test_one_file_of_a_commit_is_read_if_it_is_a_plain_one(forge: Forge, mirror: Mirror) -> None:
    entries = ONE | {"README": "hello", "hosts/link.yaml": ("120000", forge.blob("pve1.yaml"))}
    commit = forge.push(entries)
    mirror.fetch(None)
    assert mirror.read_file_at(commit, "README") == b"hello"
    assert mirror.read_file_at(commit, "hosts/pve1.yaml") == b"host: pve1\n"
    for path in (
        "hosts",
        "hosts/",
        "hosts/link.yaml",
        "nothing",
        "../README",
        "/README",
        "",
        "README/x",
        "hosts/\udcff",
    ):
        assert mirror.read_file_at(commit, path) is None, path


def test_a_commit_that_is_not_there_is_an_error(forge: Forge, mirror: Mirror) -> None:
    forge.push(ONE)
    mirror.fetch(None)
    with pytest.raises(SourceError):
        mirror.read_tree("0123456789" * 4)
    with pytest.raises(SourceError, match="not a commit"):
        mirror.read_tree(forge.git("rev-parse", "main^{tree}"))


def children() -> set[str]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(os.getpid()):
            found.add(stat.parent.name)
    return found


def test_many_reads_leave_no_process_and_no_open_file(forge: Forge, mirror: Mirror) -> None:
    commit = forge.push(ONE)
    mirror.fetch(None)
    mirror.read_tree(commit)
    before, files = children(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        mirror.read_tree(commit)
        mirror.log(None, commit)
        with pytest.raises(SourceError):
            mirror.read_tree("0123456789" * 4)
    assert children() == before
    assert len(list(Path("/proc/self/fd").iterdir())) <= files


def test_the_inherited_environment_does_not_reach_the_reader(
    forge: Forge, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = forge.push(ONE)
    other = forge.push(ONE | {"hosts/pve2.yaml": "host: pve2\n"})
    mirror.fetch(None)
    replaced = tmp_path / "room" / "mirror.git" / "refs" / "replace" / commit
    replaced.parent.mkdir()
    replaced.write_text(other + "\n")
    config = tmp_path / "gitconfig"
    config.write_text("[safe]\n\tbareRepository = explicit\n[core]\n\tuseReplaceRefs = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.repositoryFormatVersion")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "nonsense")
    assert sorted(mirror.read_tree(commit).files) == sorted(ONE)


def test_a_directory_reads_as_the_commit_of_it_does(forge: Forge, mirror: Mirror, tmp_path: Path) -> None:
    from_git = read(forge, mirror, forge.push(ONE | {"hosts/a/b.yml": "host: b\n", "README": "x", "hosts/X.yaml": "x"}))
    root = tmp_path / "work"
    for path, text in (ONE | {"hosts/a/b.yml": "host: b\n", "README": "x", "hosts/X.yaml": "x"}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / ".git").mkdir()
    from_disk = read_directory(root)
    assert from_disk.files == from_git.files
    assert from_disk.problems == from_git.problems
    assert from_disk.commit is None


def test_links_pipes_and_executables_in_a_directory_are_refused(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (hosts / "link.yaml").symlink_to("/etc/shadow")
    (hosts / "folder").symlink_to(tmp_path / "elsewhere")
    (hosts / "loop").symlink_to(hosts)
    os.mkfifo(hosts / "pipe.yaml")
    (hosts / "run.yaml").write_text("host: run\n")
    (hosts / "run.yaml").chmod(0o755)
    (hosts / "big.yaml").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    tree = read_directory(tmp_path)
    assert tree.files == {}
    assert sorted(problems(tree)) == [
        "hosts/big.yaml",
        "hosts/folder",
        "hosts/link.yaml",
        "hosts/loop",
        "hosts/pipe.yaml",
        "hosts/run.yaml",
    ]


def test_a_hosts_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "pve1.yaml").write_text("host: pve1\n")
    (tmp_path / "hosts").symlink_to("real")
    assert problems(read_directory(tmp_path)) == {"hosts": "a symbolic link (mode 120000); hosts has to be a folder"}


def test_a_directory_that_is_none_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a directory"):
        read_directory(tmp_path / "nowhere")


def test_hostile_text_is_shown_without_its_powers() -> None:
    assert shown("a\x1b[31mb\r\nc\u202ed\u200be\ud800f\x85g") == "a[31mb cdefg"
    assert shown("x" * 500) == "x" * 199 + "…"
    assert shown_path(b"a\n\x1b\xff\xe2\x80\xae.yaml") == "a\\n\\x1b\\xff\\u202e.yaml"


def test_the_object_ids_of_a_directory_are_gits(forge: Forge) -> None:
    assert blob_id_of(b"host: pve1\n") == forge.blob("host: pve1\n")
    assert blob_id_of(b"") == sha1(b"blob 0\0").hexdigest()


@pytest.mark.host
def test_a_mirror_of_another_owner_is_read(forge: Forge, mirror: Mirror, tmp_path: Path) -> None:
    commit = forge.push(ONE)
    mirror.fetch(None)
    inside = tmp_path / "room" / "mirror.git"
    for found in (inside, *inside.rglob("*")):
        os.chown(found, 65534, 65534)
    assert sorted(mirror.read_tree(commit).files) == sorted(ONE)
    assert mirror.fetch(commit) == Unchanged(commit)
