"""Comments that silence a warning of lint on one line.

    comments_of(data) -> the comments of a file         `# passerelle: ignore RULE because REASON`
    applied(findings, comments, rules) -> Silenced      what is left, what was ignored, and what is wrong with comments

A comment behind a value is for its line; one on a line of its own is for the next line that is not a comment. Several
of them may be on one line, for several rules. Only warnings can be silenced. Errors cannot: they protect from lock-outs
and from what nobody can apply.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from service.model.trees import shown
from service.spec.findings import Finding, Ignored, LintRule, Position, finding, has_errors

FORM = LintRule("ignore.form", "warning", "a comment that silences a rule has its form, and the reason")
UNKNOWN_RULE = LintRule("ignore.unknown-rule", "warning", "a comment that silences a rule names one that exists")
OF_ERROR = LintRule("ignore.error", "warning", "only warnings are silenced, not errors")
UNUSED = LintRule("ignore.unused", "warning", "a comment that silences a rule is needed")
TOO_MANY = LintRule("ignore.too-many", "warning", "a file has at most 200 comments that silence a rule")
RULES = (FORM, UNKNOWN_RULE, OF_ERROR, UNUSED, TOO_MANY)

MOST_COMMENTS = 200
"""In one file."""
MOST_COMPARED = 20
"""Unknown rules for which a known one is looked for: each takes a millisecond."""
_BEGINS = re.compile(r"#[ \t]*passerelle[ \t]*:[ \t]*ignore\b[ \t]*", re.IGNORECASE)
_FORM = re.compile(r"(\S+)\s+because\s+(\S.*)")
_MARK = b"passerelle"
_RIGHT = "write `# passerelle: ignore RULE because REASON`"


@dataclass(frozen=True, slots=True)
class Comment:
    """`line` and `col` are its own, `for_line` is the line on which it silences `rule`; 0 where there is none. Without
    the form it has no rule. `others` counts the comments that a file has too many; the first of them has it."""

    file: str
    line: int
    col: int
    for_line: int
    rule: str = ""
    because: str = ""
    others: int = 0

    @property
    def position(self) -> Position:
        """Where it is."""
        return self.line, self.col


@dataclass(frozen=True, slots=True)
class Silenced:
    """The findings that are left, with those about the comments, and the ones that were ignored."""

    findings: tuple[Finding, ...]
    ignored: tuple[Ignored, ...]


def comments_of(file: str, data: bytes) -> tuple[Comment, ...]:
    """The comments of a file that can be read. Those beyond `MOST_COMMENTS` are one, which only counts them."""
    if _MARK not in data:
        return ()
    text = data.decode("utf-8", "replace")
    if not _BEGINS.search(text):
        return ()
    lines = text.split("\n")
    held = _spans(text)
    begun = list(_begun(lines, held))
    found = [_comment(file, lines, one) for one in begun[:MOST_COMMENTS]]
    found += [Comment(file, one.line, one.start + 1, 0, others=len(begun) - MOST_COMMENTS)
              for one in begun[MOST_COMMENTS : MOST_COMMENTS + 1]]  # fmt: skip
    return tuple(found)


def applied(findings: Sequence[Finding], comments: Iterable[Comment], rules: Sequence[LintRule]) -> Silenced:
    """Silence warnings. A comment that is not needed is reported once the files have no errors: some rules are skipped
    while they have."""
    known = {rule.id: rule for rule in rules}
    wanted: dict[tuple[str, int, str], Comment] = {}
    wrong: list[Finding] = []
    for comment in comments:
        if hit := _wrong(comment, known, suggests=len(wrong) < MOST_COMPARED):
            wrong.append(hit)
        else:
            wanted.setdefault((comment.file, comment.for_line, comment.rule), comment)
    left: list[Finding] = []
    ignored: list[Ignored] = []
    used: set[tuple[str, int, str]] = set()
    for found in findings:
        key = (found.file, found.line, found.rule)
        if found.severity == "warning" and key in wanted:
            used.add(key)
            ignored.append(Ignored(found, wanted[key].because))
        else:
            left.append(found)
    if not has_errors(left):
        wrong += [_unused(comment) for key, comment in wanted.items() if key not in used]
    return Silenced((*left, *wrong), tuple(ignored))


@dataclass(frozen=True, slots=True)
class _Begun:
    """The columns of a comment on its line. `alone`: nothing else is on the line."""

    line: int
    start: int
    after_mark: int
    end: int
    alone: bool


def _begun(lines: Sequence[str], held: Mapping[int, Sequence[tuple[int, int]]]) -> Iterator[_Begun]:
    for number, line in enumerate(lines, 1):
        begun = [match for match in _BEGINS.finditer(line) if _is_comment(line, match.start(), held.get(number, ()))]
        alone = bool(begun) and not line[: begun[0].start()].strip()
        for match, end in zip(begun, [*(later.start() for later in begun[1:]), len(line)], strict=False):
            yield _Begun(number, match.start(), match.end(), end, alone)


def _comment(file: str, lines: Sequence[str], one: _Begun) -> Comment:
    form = _FORM.fullmatch(lines[one.line - 1][one.after_mark : one.end].strip())
    rule, because = (form[1], shown(form[2].strip())) if form else ("", "")
    for_line = _next(lines, one.line) if one.alone else one.line
    return Comment(file, one.line, one.start + 1, for_line, rule, because)


def _is_comment(line: str, at: int, values: Sequence[tuple[int, int]]) -> bool:
    """Whether the `#` at a column begins a comment, or something in one."""
    return (at == 0 or line[at - 1] in " \t") and not any(start <= at < end for start, end in values)


def _next(lines: Sequence[str], number: int) -> int:
    """The next line with a value; 0 where there is none."""
    for later, line in enumerate(lines[number:], number + 1):
        if (bare := line.strip()) and not bare.startswith("#"):
            return later
    return 0


def _spans(text: str) -> dict[int, list[tuple[int, int]]]:
    """The columns of each line that belong to a value: a `#` there begins no comment."""
    held: dict[int, list[tuple[int, int]]] = {}
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                _hold(held, event.start_mark, event.end_mark)
    except yaml.YAMLError:
        return held
    return held


def _hold(held: dict[int, list[tuple[int, int]]], start: Any, end: Any) -> None:
    """PyYAML's stubs know the marks but not their attributes."""
    for line in range(start.line, end.line + 1):
        first = start.column if line == start.line else 0
        last = end.column if line == end.line else 1 << 20
        held.setdefault(line + 1, []).append((first, last))


def _wrong(comment: Comment, known: Mapping[str, LintRule], *, suggests: bool) -> Finding | None:
    if comment.others:
        what = f"a file has at most {MOST_COMMENTS} comments that silence a rule, so {comment.others} of this file, "
        what += "from this one on, silence nothing"
        return finding(comment.file, comment.position, TOO_MANY.hit((), what, "correct what lint warns of instead"))
    if not comment.rule:
        return finding(comment.file, comment.position, FORM.hit((), "this comment silences nothing", _RIGHT))
    rule = known.get(comment.rule)
    if rule is None:
        close = difflib.get_close_matches(comment.rule[:100], list(known), n=1, cutoff=0.6) if suggests else []
        right = f"write `{close[0]}`, if you mean that" if close else "name a rule as lint shows it in brackets"
        what = f"there is no rule `{shown(comment.rule, 60)}`"
        return finding(comment.file, comment.position, UNKNOWN_RULE.hit((), what, right))
    if rule.severity == "error":
        what = f"{rule.id} is an error, and errors cannot be ignored"
        return finding(
            comment.file, comment.position, OF_ERROR.hit((), what, "correct the spec, and remove the comment")
        )
    return None


def _unused(comment: Comment) -> Finding:
    what = f"there is no warning {comment.rule} on line {comment.for_line}"
    if not comment.for_line:
        what = f"no line follows for which {comment.rule} could be ignored"
    return finding(comment.file, comment.position, UNUSED.hit((), what, "remove the comment"))
