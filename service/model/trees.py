"""The spec files of one commit or directory, and the rules by which a file may be one of them.

The readers of a commit and of a plain directory both list what they find as `Listed`, and `choose` decides. So the same
tree passes or fails in both.

    fleet.yaml
    hosts/**/*.yaml     folders up to 8 deep
    groups/*.yaml

Everything else at the top (README, .github, ...) is ignored. Inside hosts/ and groups/ every entry has
to be a plain file (Git mode 100644) with a plain name; an empty-folder marker `.gitkeep` is passed over.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

MAX_FILES = 10_000
MAX_FILE_BYTES = 1 << 20
MAX_TOTAL_BYTES = 64 << 20
MAX_DEPTH = 8
MAX_LISTED = 2 * MAX_FILES
MAX_PROBLEMS = 200

PLAIN_FILE = 0o100644
FOLDER = 0o040000

_MODES = {0o100755: "an executable file", 0o120000: "a symbolic link", 0o160000: "a submodule"}
_TOP = ("fleet.yaml", "hosts", "groups")
_FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*\.ya?ml")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")


@dataclass(frozen=True, slots=True)
class Commit:
    """Who changed what and when. Texts are made showable: no hidden characters, at most 200 of them."""

    hash: str
    author_name: str
    author_email: str
    committed_at: datetime
    subject: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """One spec file. `blob_id` is Git's object id of the content: same id, same bytes."""

    path: str
    blob_id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TreeProblem:
    """An entry that cannot be used: its path in showable form, and what is wrong and would be right."""

    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The spec files by path, sorted, and what could not be used. `commit` is None for a plain directory.

    With any problem the tree as a whole must not replace a good revision.
    """

    files: Mapping[str, BlobEntry]
    problems: tuple[TreeProblem, ...] = ()
    commit: Commit | None = None

    def blobs(self) -> dict[str, bytes]:
        """Contents by blob id: the next `read_tree` takes them as `known` and reads only what is new."""
        return {entry.blob_id: entry.data for entry in self.files.values()}


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry as found: path of raw name bytes, Git mode, object id (empty where none is known yet)."""

    parts: tuple[bytes, ...]
    mode: int
    blob_id: str = ""

    @property
    def path(self) -> str:
        """The path for people: control, invisible and undecodable characters escaped."""
        return shown_path(b"/".join(self.parts))


def choose(listed: Iterable[Listed]) -> tuple[list[Listed], list[TreeProblem]]:
    """The entries that are spec files, sorted by path, and a problem for every entry that may not be one.

    `listed` holds the top level and everything below hosts/ and groups/, folders included.
    """
    chosen: list[Listed] = []
    problems: list[TreeProblem] = []
    twins: dict[tuple[str, ...], Listed] = {}
    for entry in sorted(listed, key=lambda found: found.parts):
        if not _concerns_us(entry):
            continue
        key = tuple(_folded(part) for part in entry.parts)
        first = twins.setdefault(key, entry)
        what = _wrong(entry)
        if first is not entry:
            what = f"its name differs from {first.path} only in case or Unicode form. Fix: keep one of the two"
        if what:
            problems.append(TreeProblem(entry.path, what))
        elif entry.mode != FOLDER and entry.parts[-1] != b".gitkeep":
            chosen.append(entry)
    count = sum(len(entry.parts) > 1 for entry in chosen)
    if count > MAX_FILES:
        problems.append(
            TreeProblem(".", f"hosts/ and groups/ hold {count} files, more than {MAX_FILES}. Fix: split the repository")
        )
        chosen = []
    return chosen, bounded(problems)


def take(
    chosen: Iterable[Listed], *, size_of: Callable[[Listed], int], read: Callable[[Listed], BlobEntry]
) -> tuple[dict[str, BlobEntry], list[TreeProblem]]:
    """Read the chosen entries. The size is checked first. A file over a limit is never read.

    `size_of` and `read` may raise OSError: that entry becomes a problem.
    """
    files: dict[str, BlobEntry] = {}
    problems: list[TreeProblem] = []
    total = 0
    for entry in chosen:
        try:
            size = size_of(entry)
            total += size
            if size > MAX_FILE_BYTES:
                problems.append(
                    TreeProblem(
                        entry.path, f"the file has {size} bytes, more than {MAX_FILE_BYTES}. Fix: split the file"
                    )
                )
                continue
            if total > MAX_TOTAL_BYTES:
                problems.append(
                    TreeProblem(
                        ".",
                        f"the spec files have more than {MAX_TOTAL_BYTES} bytes together. Fix: split the repository",
                    )
                )
                break
            blob = read(entry)
        except OSError as error:
            problems.append(TreeProblem(entry.path, f"cannot be read: {error.strerror or 'input/output error'}"))
            continue
        if blob.data.startswith(_LFS_POINTER):
            problems.append(TreeProblem(entry.path, "the file is a Git LFS pointer. Fix: keep spec files out of LFS"))
            continue
        files[blob.path] = blob
    return files, bounded(problems)


def bounded(problems: list[TreeProblem]) -> list[TreeProblem]:
    """The first `MAX_PROBLEMS`, and one line that counts the rest."""
    rest = len(problems) - MAX_PROBLEMS
    if rest <= 0:
        return problems
    return [*problems[:MAX_PROBLEMS], TreeProblem(".", f"and {rest} more problems of this sort")]


def too_many_listed() -> TreeProblem:
    """The problem of a tree whose listing was given up."""
    return TreeProblem(".", f"more than {MAX_LISTED} entries below hosts/ and groups/; the tree was not read")


def too_deep(entry: Listed) -> TreeProblem:
    """The problem of a folder that is not entered."""
    return TreeProblem(entry.path, f"folders are read {MAX_DEPTH} deep at most")


def enters(entry: Listed) -> bool:
    """Whether a reader lists what is in this folder: hosts/ and what is below it, and groups/ itself."""
    if entry.mode != FOLDER:
        return False
    return entry.parts[0] == b"hosts" or entry.parts == (b"groups",)


def shown(text: str, limit: int = 200) -> str:
    """One line of hostile text made showable: hidden characters out, white space single, cut at `limit`."""
    spaced = text[: 8 * limit].translate({0x09: " ", 0x0A: " ", 0x0D: " "})
    if not spaced.isprintable():  # which is quick, and never true where something is hidden
        spaced = "".join(c for c in spaced if unicodedata.category(c) not in _HIDDEN)
    clean = " ".join(spaced.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def quoted(text: str) -> str:
    """A value as shown in a message."""
    return f"`{shown(text, 60)}`"


def shown_path(raw: bytes, limit: int = 400) -> str:
    """A path made showable with what is odd in it: hidden and undecodable characters as escapes."""
    text = raw[: 4 * limit].decode("utf-8", "backslashreplace")
    out = "".join(c if unicodedata.category(c) not in _HIDDEN else c.encode("unicode_escape").decode() for c in text)
    return out if len(out) <= limit else out[: limit - 1] + "…"


def _concerns_us(entry: Listed) -> bool:
    """Below the top everything does; at the top what is, or looks like, one of our three names."""
    return len(entry.parts) > 1 or _folded(entry.parts[0]) in (*_TOP, "fleet.yml")


def _wrong(entry: Listed) -> str:
    name = entry.parts[-1].decode("utf-8", "replace")
    if len(entry.parts) == 1:
        return _wrong_at_top(name, entry.mode)
    if entry.mode == FOLDER:
        if entry.parts[0] == b"groups":
            return "groups/ contains a folder. Fix: put the files directly into groups/"
        return "" if _FOLDER_NAME.fullmatch(name) else "folder names are [a-z0-9][a-z0-9._-]*"
    if entry.mode != PLAIN_FILE:
        return _wrong_mode(entry.mode)
    if name == ".gitkeep" or _FILE_NAME.fullmatch(name):
        return ""
    return "not the name of a spec file: [a-z0-9][a-z0-9._-]* with .yaml or .yml at its end"


def _wrong_at_top(name: str, mode: int) -> str:
    if name not in _TOP:
        right = "fleet.yaml" if _folded(name.encode()).startswith("fleet") else _folded(name.encode())
        return f"is not read under this name; call it {right}"
    if name == "fleet.yaml":
        return "" if mode == PLAIN_FILE else _wrong_mode(mode)
    return "" if mode == FOLDER else f"{_kind(mode)} (mode {mode:06o}); {name} has to be a folder"


def _wrong_mode(mode: int) -> str:
    return f"{_kind(mode)} (mode {mode:06o}); spec files are plain files (mode 100644)"


def _kind(mode: int) -> str:
    if mode == FOLDER:
        return "a folder"
    return _MODES.get(mode, "a plain file" if mode == PLAIN_FILE else "an entry of unusual mode")


def _folded(name: bytes) -> str:
    """What a file system that ignores case or Unicode form would take for the same name."""
    text = name.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
