"""What a revision would do, as text for people, as markdown for a comment, and as JUnit's XML for a CI system.

A branch is written by anybody. So in markdown its words are in code spans and code blocks only, where no forge reads
names of people, numbers of issues, commands or HTML.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from service.cli.output import Line, printable
from service.cli.plan_text import headline as of_plan
from service.cli.plan_text import plan_lines
from service.cli.proposed import BEHIND, NOT_KNOWN, concerned, counts, finding_line, headline, line_of, name_of

MAX_MARKDOWN_BYTES = 60_000
"""GitHub takes 65,536 characters, GitLab 1,000,000; Gitea and Forgejo more than that."""
MAX_FINDINGS = 40
MAX_HOSTS = 100
MAX_LINE = 400


def text_lines(found: Mapping[str, Any]) -> Iterator[Line]:
    """For people."""
    commit = found["commit"]
    yield Line(f"{name_of(found)}: {headline(found)}", "bold")
    yield Line(f"{commit['hash'][:12]} {commit['subject']} ({commit['author_name']})")
    yield Line(f"compared with {found['in_force'][:12]}, which is in force; nothing of it is applied")
    if not found["contains_it"]:
        yield Line(BEHIND, "yellow")
    yield from (Line(finding_line(one), "red" if one["severity"] == "error" else "") for one in found["findings"])
    if found["more_findings"]:
        yield Line(f"… {found['more_findings']} more findings")
    for host in concerned(found):
        yield Line("")
        yield Line(f"{host['host']}: {line_of(host)}", "bold")
        if host["body"] is not None:
            yield from plan_lines(host["body"])


def markdown(found: Mapping[str, Any], max_bytes: int = MAX_MARKDOWN_BYTES) -> str:
    """For a comment: at most so many bytes. What does not fit is named by its number."""
    commit = found["commit"]
    top = [
        f"### passerelle: {headline(found)}",
        "",
        f"{code(commit['hash'][:12])} {code(commit['subject'])}, compared with {code(found['in_force'][:12])}. "
        "This is a plan: nothing is applied.",
        "",
    ]
    if not found["contains_it"]:
        top += [f"**Behind:** {BEHIND}.", ""]
    findings = found["findings"]
    top += [f"- {code(finding_line(one))}" for one in findings[:MAX_FINDINGS]]
    if more := len(findings) - MAX_FINDINGS + found["more_findings"] if len(findings) > MAX_FINDINGS else 0:
        top += [f"- and {more} more findings"]
    made = "\n".join([*top, ""])
    hosts = [*concerned(found)]
    rest = max_bytes - 200
    left = 0
    for number, host in enumerate(hosts):
        part = _host(host)
        size = len((made + part).encode())
        if size > rest and host["body"] is not None:
            part = f"- **{host['host']}**: {code(line_of(host))} (too long for this comment)\n"
        if number >= MAX_HOSTS or len((made + part).encode()) > rest:
            left = len(hosts) - number
            break
        made += part
    if left:
        made += f"\n{left} more host{'s' * (left != 1)}: see the output of `passerelle plan`.\n"
    return made


def _host(host: Mapping[str, Any]) -> str:
    if host["body"] is None:
        return f"- **{host['host']}**: {code(line_of(host))}\n"
    lines = [line for line in (_diffed(one.text) for one in plan_lines(host["body"])) if line]
    why = f"{code(host['why'])}\n\n" if host["why"] else ""
    said = html.escape(printable(of_plan(host["body"])))
    top = f"<details><summary><b>{host['host']}</b>: {host['outcome']}, <code>{said}</code></summary>"
    return f"\n{top}\n\n{why}{block(lines)}\n\n</details>\n"


def _diffed(text: str) -> str:
    """A line of a plan, so that `diff` paints it: the sign comes first."""
    sign = re.match(r"\s*([+-~!]) ", text)
    return f"{sign[1]} {text.lstrip()[2:]}" if sign and sign[1] in "+-!" else text


def code(text: str) -> str:
    """Any text as a code span of one line (CommonMark 0.31, 6.1)."""
    clean = " ".join(printable(text.replace("\n", " ").replace("\t", " ")).split())
    clean = clean if len(clean) <= MAX_LINE else f"{clean[: MAX_LINE - 1]}…"
    ticks = "`" * (longest_ticks(clean) + 1)
    space = " " if not clean or "`" in (clean[0], clean[-1]) else ""
    return f"{ticks}{space}{clean}{space}{ticks}"


def block(lines: list[str]) -> str:
    """Any lines as a code block that none of them can end (CommonMark 0.31, 4.5)."""
    clean = [printable(line.replace("\t", "    ")) for line in lines]
    clean = [line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 1]}…" for line in clean]
    fence = "`" * max(3, longest_ticks("\n".join(clean)) + 1)
    return "\n".join([f"{fence}diff", *clean, fence])


def longest_ticks(text: str) -> int:
    """The length of the longest run of backticks."""
    return max((len(run) for run in re.findall("`+", text)), default=0)


def junit(found: Mapping[str, Any]) -> str:
    """A test for each host, and one for each file with findings."""
    from xml.etree import ElementTree

    errors = [one for one in found["findings"] if one["severity"] == "error"]
    number = counts(found)
    failures, skipped = len({one["file"] for one in errors}) + number["refused"], sum(number[one] for one in NOT_KNOWN)
    files = sorted({one["file"] for one in found["findings"]})
    tests = {"tests": str(len(found["hosts"]) + len(files)), "failures": str(failures), "skipped": str(skipped)}
    suites = ElementTree.Element("testsuites", tests | {"errors": "0"})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "passerelle plan", **tests, "errors": "0"})
    for file in files:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "passerelle.lint", "name": _xml(file)})
        ours = [one for one in found["findings"] if one["file"] == file]
        if wrong := [finding_line(one) for one in ours if one["severity"] == "error"]:
            failure = ElementTree.SubElement(case, "failure", {"message": _xml(wrong[0]), "type": "error"})
            failure.text = _xml("\n".join(wrong))
        if doubtful := [finding_line(one) for one in ours if one["severity"] != "error"]:
            ElementTree.SubElement(case, "system-out").text = _xml("\n".join(doubtful))
    for host in found["hosts"]:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "passerelle.plan", "name": host["host"]})
        line = _xml(line_of(host))
        if host["outcome"] == "refused":
            failure = ElementTree.SubElement(case, "failure", {"message": line, "type": "refused"})
            failure.text = _xml("\n".join(one["what"] for one in host["body"]["refusals"]))
        elif host["outcome"] in NOT_KNOWN:
            ElementTree.SubElement(case, "skipped", {"message": line})
        lines = [one.text for one in plan_lines(host["body"])] if host["body"] is not None else []
        ElementTree.SubElement(case, "system-out").text = _xml("\n".join([line, *lines]))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """Only characters that XML 1.0 has (2.2), and none that a terminal would obey."""
    return "\n".join(printable(line) for line in text.replace("\t", "    ").split("\n"))
