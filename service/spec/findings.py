"""Findings: what is wrong or doubtful in a spec, where it is, and how to fix it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from service.model.trees import shown

Severity = Literal["error", "warning"]

Path: TypeAlias = tuple[str | int, ...]
"""Where in a document: keys and list indices from the top. `bridges.vmbr0.addresses.0` as text."""

Position: TypeAlias = tuple[int, int]
"""Line and column, both from 1; columns count characters."""

WHOLE_FILE: Position = (1, 1)

_LINE = 1000


@dataclass(frozen=True, slots=True)
class Hit:
    """Something wrong at a path: `what` is wrong, and `right`, the fix as an order ("write 1 to 65535").

    The paths of a kind start in its own section.
    """

    path: Path
    severity: Severity
    rule: str
    what: str
    right: str = ""


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule with its stable id (`kind.rule-name`) and its meaning in one sentence.

    `by_absence` marks a rule that fires because something is missing. The rule is skipped while the file has other
    errors, because the missing thing may only be misspelled.
    """

    id: str
    severity: Severity
    meaning: str
    by_absence: bool = False

    def hit(self, path: Path, what: str, right: str = "") -> Hit:
        """This rule is broken at `path`."""
        return Hit(path, self.severity, self.id, what, right)


@dataclass(frozen=True, slots=True)
class Finding:
    """A hit with its file and position. A finding about a whole file is at 1:1."""

    file: str
    line: int
    col: int
    path: Path
    severity: Severity
    rule: str
    what: str
    right: str = ""

    @property
    def dotted(self) -> str:
        """The path as people write it."""
        return dotted(self.path)

    @property
    def message(self) -> str:
        """What is wrong. Then the fix, as a sentence of its own."""
        return f"{self.what}. Fix: {self.right}" if self.right else self.what

    def __str__(self) -> str:
        """`file:line:col: path: what. Fix: right`, one line without control characters."""
        where = f"{self.file}:{self.line}:{self.col}: "
        path = f"{self.dotted}: " if self.path else ""
        return where + shown(path + self.message, _LINE)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A finding that a comment silences, and why."""

    finding: Finding
    because: str


def finding(file: str, position: Position, hit: Hit) -> Finding:
    """A hit with its position."""
    line, col = position
    return Finding(file, line, col, hit.path, hit.severity, hit.rule, hit.what, hit.right)


def dotted(path: Path) -> str:
    """`bridges.vmbr0.addresses.0`."""
    return ".".join(str(part) for part in path)


def sorted_findings(findings: "list[Finding]") -> tuple[Finding, ...]:
    """By file and position; the order does not depend on how they were found."""
    return tuple(sorted(set(findings), key=lambda f: (f.file, f.line, f.col, f.dotted, f.severity, f.rule, f.what)))


def has_errors(findings: "tuple[Finding, ...] | list[Finding]") -> bool:
    """Whether any of them blocks."""
    return any(found.severity == "error" for found in findings)
