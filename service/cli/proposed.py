"""What a branch, a pull request or a commit would do, from the service: in numbers, in a word, as an exit code.

found = from_service("branch", "new", hosts)
headline(found)      2 hosts change, 1 is refused, 40 are unchanged
verdict(found)       good | bad | not-known
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from service.cli.exit_codes import UNREACHABLE

Verdict = Literal["good", "bad", "not-known"]
TIMEOUT_S = 150.0
"""The service waits for its turn, fetches, and plans."""
CHANGES = 2
NOT_KNOWN = ("not-known", "left-out")
_WORDS = {
    "refused": ("is refused", "are refused"),
    "changes": ("changes", "change"),
    "incomplete": ("changes in a way that is not fully known", "change in a way that is not fully known"),
    "new": ("is new", "are new"),
    "renamed": ("gets another name", "get other names"),
    "gone": ("leaves Git", "leave Git"),
    "not-known": ("cannot be planned", "cannot be planned"),
    "left-out": ("was left out", "were left out"),
    "unchanged": ("is unchanged", "are unchanged"),
}
BEHIND = (
    "the revision does not contain the commit that is in force: these plans also take the hosts back behind what came "
    "into force since. Fix: rebase it, or merge the followed branch into it"
)


def from_service(kind: str, name: str, hosts: Sequence[str]) -> dict[str, Any]:
    """The service's answer."""
    from service.cli.client import Client

    value: object = int(name) if kind == "pull" else name
    found: dict[str, Any] = Client(timeout_s=TIMEOUT_S).post("plans", {kind: value, "hosts": [*hosts]})
    return found


def counts(found: Mapping[str, Any]) -> Counter[str]:
    """How many hosts have which outcome."""
    return Counter(one["outcome"] for one in found["hosts"])


def headline(found: Mapping[str, Any]) -> str:
    """All of it in one line."""
    if errors := found["errors"]:
        return f"{errors} error{'s' * (errors != 1)}: the revision would be refused as a whole"
    said: list[str] = []
    number = counts(found)
    for outcome, (one, several) in _WORDS.items():
        if many := number[outcome]:
            said.append(f"{many} {one if many == 1 else several}" if said else f"{many} host{_s(many, one, several)}")
    return ", ".join(said) or "no host is concerned"


def _s(many: int, one: str, several: str) -> str:
    return f" {one}" if many == 1 else f"s {several}"


def verdict(found: Mapping[str, Any]) -> Verdict:
    """bad: the revision or one of its plans is refused. not-known: a host that it changes could not be planned."""
    number = counts(found)
    if found["errors"] or number["refused"]:
        return "bad"
    return "not-known" if any(number[one] for one in NOT_KNOWN) else "good"


def exit_code(found: Mapping[str, Any], *, detailed: bool) -> int:
    """As `passerelle plan` ends."""
    code = {"bad": 1, "not-known": UNREACHABLE, "good": 0}[verdict(found)]
    has_changes = any(outcome != "unchanged" for outcome in counts(found))
    return code or (CHANGES if detailed and has_changes else 0)


def name_of(found: Mapping[str, Any]) -> str:
    """The revision for people: `pull request 7`."""
    kind, name = found["proposal"]["kind"], found["proposal"]["name"]
    return f"{'pull request' if kind == 'pull' else kind} {name}"


def concerned(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The hosts for which there is something to say, those that stop the revision first."""
    order = list(_WORDS)
    hosts = [one for one in found["hosts"] if one["outcome"] != "unchanged" or one["settings"]]
    yield from sorted(hosts, key=lambda one: order.index(one["outcome"]) if one["outcome"] in order else 0)


def line_of(host: Mapping[str, Any]) -> str:
    """One host in a line, without its name."""
    from service.cli.plan_text import headline as of_plan

    said = of_plan(host["body"]) if host["body"] is not None else host["outcome"]
    if host["outcome"] == "incomplete":
        said = f"not fully known: {said}"
    if host["settings"]:
        said += f"; changed in its file: {', '.join(host['settings'])}"
    return f"{said} ({host['why']})" if host["why"] else said


def finding_line(finding: Mapping[str, Any]) -> str:
    """One finding, as lint prints it."""
    path = f"{finding['path']}: " if finding.get("path") else ""
    fix = f". Fix: {finding['right']}" if finding.get("right") else ""
    warning = " (warning)" if finding["severity"] == "warning" else ""
    return f"{finding['file']}:{finding['line']}:{finding['col']}: {path}{finding['what']}{fix}{warning}"
