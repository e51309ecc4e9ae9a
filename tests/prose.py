"""Plain words: `python -m tests.prose` checks docs, messages, docstrings and comments, in `tests/run` and as a hook.

The rules: no words of the list prose-words.txt, no sentence of more than 30 words, not `X is no Y`, no clause with
What, Who or Where as a subject. A fix is a sentence of its own. What was wrong before the check began is in
prose-known.txt, which only shrinks: a new finding is an error, and so is an entry that is not needed any more.

    python -m tests.prose                    show what is new, and which entries are not needed any more
    python -m tests.prose --list PATH…       show everything in these files, known or new
    python -m tests.prose --accept           remove the entries that are not needed any more; never adds one
    python -m tests.prose --rebuild          write the list again, after a rule or a word was added
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.prose_texts import Text, texts

HERE = Path(__file__).parent
TOP = HERE.parent
WORDS = HERE / "prose-words.txt"
KNOWN = HERE / "prose-known.txt"

MOST_WORDS = 30
_FIXES = (
    "add|allow|change|check|choose|clear|compare|copy|correct|create|define|delete|disable|enable|give|install|keep|"
    "leave|let|make|name|open|pass|pick|put|remove|rename|repair|restart|restore|run|save|set|start|stop|swap|take|try|"
    "unset|use|write"
)
_COMMA_FIX = re.compile(rf"[,;] (?:then |please )?(?:{_FIXES}) (?![^.]*, or )", re.IGNORECASE)
# A list of fixes, such as `set X, check Y and add Z`, joins no fault.
_FIX_FIRST = re.compile(rf"(?:Fix: )?(?:{_FIXES}) ", re.IGNORECASE)
_CONDITION = re.compile(r"(?:Fix: )?(?:if|to|when|before|after|once|on|with|without|for|in) ", re.IGNORECASE)
_IS_NO = re.compile(r"\b(?:is|are|was|were) no (?!longer\b|more\b|doubt\b)", re.IGNORECASE)
_THERE = re.compile(r"\bthere (?:is|are|was|were) no ", re.IGNORECASE)
_WHAT = re.compile(r"(?:What|Who|Whoever|Whatever|Where|Whose) [^?]+(?<!\?)$")
_WORD = re.compile(r"[\w'’/@.+-]*\w[\w'’/@.+-]*")
# A sentence ends with a full stop, unless that belongs to an abbreviation, and the next one begins like one.
_END = re.compile(
    r"(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\betc\.)(?<!\bvs\.)(?<!\bcf\.)"
    r"(?:(?<=[.!?])[)\"”]*\s+(?=[A-Z0-9`\"“(*\[{])|(?<=[a-z]{2}\.)\s+(?=[a-z]))"
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """A sentence that breaks a rule. `hint` says what to write instead."""

    file: str
    line: int
    rule: str
    sentence: str
    hint: str

    @property
    def key(self) -> str:
        """The line that stands for it in prose-known.txt. It holds no file name, so that code can change its place."""
        digest = hashlib.sha256(f"{self.rule}\0{self.sentence}".encode()).hexdigest()[:10]
        return f"{digest} {self.rule}: {self.sentence[:70]}".rstrip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.sentence}\n    Fix: {self.hint}"


def word_list(text: str) -> list[tuple[str, re.Pattern[str], str]]:
    """(name, pattern, plain words) of each line `NAME: PATTERN = PLAIN WORDS`."""
    rows = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(": ")
            pattern, _, plain = rest.partition(" = ")
            rows.append((name, re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), plain.strip()))
    return rows


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph."""
    return [part for part in _END.split(" ".join(text.split())) if part]


def judge(text: Text, words: Sequence[tuple[str, re.Pattern[str], str]]) -> Iterator[Complaint]:
    """What is wrong with one text."""
    for sentence in sentences(text.words):
        for rule, hint in _broken(sentence, text.sort, words):
            yield Complaint(text.file, text.line, rule, sentence, hint)


def _broken(sentence: str, sort: str, words: Sequence[tuple[str, re.Pattern[str], str]]) -> Iterator[tuple[str, str]]:
    plain = re.sub(r"`[^`]*`", "`X`", sentence)
    for name, pattern, instead in words:
        if pattern.search(plain):
            yield name, f"write {instead}"
    count = len(_WORD.findall(plain))
    if count > MOST_WORDS:
        yield "long", f"make two sentences of it: it has {count} words, more than {MOST_WORDS}"
    if _IS_NO.search(_THERE.sub("", plain)):
        yield "is-no", "write `is not a …`"
    if sort in ("doc", "message") and len(plain) > 20 and _WHAT.fullmatch(plain) and _is_sentence(plain, sort):
        yield "what", "begin with the subject, and write `If …` in place of `Where …`"
    if sort == "message" and _COMMA_FIX.search(plain) and not (_CONDITION.match(plain) or _FIX_FIRST.match(plain)):
        yield "comma", "end the sentence, and begin another one with `Fix: …`"


def _is_sentence(text: str, sort: str) -> bool:
    return sort == "message" or text.endswith((".", ":"))


def known(text: str) -> Counter[str]:
    """The entries of prose-known.txt."""
    return Counter(line for line in text.splitlines() if line and not line.startswith("#"))


def new_and_gone(found: Iterable[Complaint], listed: Counter[str]) -> tuple[list[Complaint], list[str]]:
    """The complaints that are not in the list, and the entries of the list that nothing needs any more."""
    left = Counter(listed)
    new = []
    for complaint in found:
        if left[complaint.key]:
            left[complaint.key] -= 1
        else:
            new.append(complaint)
    return new, sorted((+left).elements())


def complaints(root: Path) -> list[Complaint]:
    """Everything in a tree."""
    words = word_list(WORDS.read_text(encoding="utf-8"))
    return [complaint for text in texts(root) for complaint in judge(text, words)]


HEAD = """\
# Sentences that broke a rule of tests/prose.py when the check began: HASH RULE: the sentence's first words.
# Lines only go. `python -m tests.prose --list PATH…` shows them with their places, `--accept` removes lines.
"""


def written(keys: Iterable[str]) -> str:
    """The text of prose-known.txt. It is sorted by hash, so that two people seldom change neighbouring lines."""
    return HEAD + "".join(f"{key}\n" for key in sorted(keys))


def main(arguments: Sequence[str] = (), root: Path = TOP, baseline: Path = KNOWN) -> int:
    """Show what is wrong; 1 if anything is."""
    found = complaints(root)
    if arguments[:1] == ["--list"]:
        chosen = tuple(str(Path(path)) for path in arguments[1:])
        print("\n".join(str(c) for c in found if c.file.startswith(chosen) or not chosen))
        return 0
    if arguments[:1] == ["--rebuild"]:
        baseline.write_text(written(complaint.key for complaint in found), encoding="utf-8")
        return 0
    listed = known(baseline.read_text(encoding="utf-8"))
    new, gone = new_and_gone(found, listed)
    if arguments[:1] == ["--accept"] and gone:
        baseline.write_text(written((listed - Counter(gone)).elements()), encoding="utf-8")
        gone = []
    for complaint in new:
        print(complaint)
    for key in gone:
        print(
            f"{baseline.name} has an entry that is not needed any more: {key}\n    Fix: python -m tests.prose --accept"
        )
    print(f"prose: {len(new)} new, {len(gone)} entries not needed any more, {sum(listed.values())} known")
    return 1 if new or gone else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
