"""The files of groups/: rules, aliases and sets under a name, for every host of the fleet.

read_group(entry, read, kinds) -> (SharedFile | None, problems)
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol, runtime_checkable

from service.model.trees import BlobEntry
from service.spec import shape
from service.spec.document import Document, DocumentProblem
from service.spec.findings import Hit, LintRule
from service.spec.host import Shared, SharedFile, nearest

FOLDER = "groups/"
FILE_NAME = LintRule("group.file-name", "error", "`group` is the name of the file without its ending")
NOT_TAKEN = LintRule("groups", "error", "files of groups/ are for something that is managed")
RULES = (FILE_NAME, NOT_TAKEN)


@runtime_checkable
class GroupedKind(Protocol):
    """The kind that the files of groups/ are for. `group_section` is the type of a whole file, with its key `group`."""

    group_section: Any

    def lint_groups(self, shared: Shared) -> Iterator[tuple[str, Hit]]:
        """What is wrong in the files of groups/, as (file, hit)."""
        ...


def group_kind(kinds: Sequence[object]) -> GroupedKind | None:
    """The one kind."""
    return next((kind for kind in kinds if isinstance(kind, GroupedKind)), None)


def read_group(
    entry: BlobEntry, read: Document, kinds: Sequence[object]
) -> tuple[SharedFile | None, list[DocumentProblem]]:
    """One file on its own; None where anything in it is not a value of its type."""
    kind = group_kind(kinds)
    if kind is None:
        hit = NOT_TAKEN.hit((), "no section uses this file, so nothing enforces it", "remove the file")
        return None, [DocumentProblem((1, 1), hit)]
    if read.value is None:
        return None, list(read.problems)
    fitted = shape.fit(kind.group_section, read)
    problems = [*read.problems, *fitted.problems]
    if problems or fitted.value is None:
        return None, problems
    stem = PurePosixPath(entry.path).stem
    said = getattr(fitted.value, "group", stem)
    if said != stem:
        hit = FILE_NAME.hit(
            ("group",),
            f"`group` differs from the name of the file {entry.path}",
            f"write {stem}, or rename the file to {said}.yaml",
        )
        return None, [DocumentProblem(nearest(read.places, ("group",)), hit)]
    return SharedFile(entry.path, fitted.value, read.places), []
