"""Findings for people and machines: text, JSON, SARIF 2.1.0 (OASIS, the format that code hosts read)."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from service.model.states import Json
from service.model.trees import shown
from service.spec.findings import Finding, Ignored, LintRule

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_MESSAGE = 1000


def as_text(findings: Iterable[Finding]) -> str:
    """One line a finding; warnings say so."""
    lines = (f"{found}{' (warning)' if found.severity == 'warning' else ''} [{found.rule}]" for found in findings)
    return "".join(f"{line}\n" for line in lines)


def ignored_as_text(ignored: Iterable[Ignored]) -> str:
    """One line for each warning that a comment silences."""
    lines = (f"{one.finding} (ignored because {one.because}) [{one.finding.rule}]" for one in ignored)
    return "".join(f"{line}\n" for line in lines)


def summary(findings: Sequence[Finding], hosts: int, ignored: int = 0) -> str:
    """The count in words."""
    errors = sum(found.severity == "error" for found in findings)
    parts = (_counted(hosts, "host"), _counted(errors, "error"), _counted(len(findings) - errors, "warning"))
    return ", ".join([*parts, *([f"{ignored} ignored"] if ignored else [])])


def as_json(findings: Sequence[Finding], hosts: int, ignored: Sequence[Ignored] = ()) -> dict[str, Json]:
    """The findings and their counts, and what comments silence."""
    return {
        "hosts": hosts,
        "errors": sum(found.severity == "error" for found in findings),
        "warnings": sum(found.severity == "warning" for found in findings),
        "findings": [finding_as_json(found) for found in findings],
        "ignored": [{**finding_as_json(one.finding), "because": one.because} for one in ignored],
    }


def finding_as_json(found: Finding) -> dict[str, Json]:
    """One finding."""
    return {
        "file": found.file,
        "line": found.line,
        "col": found.col,
        "path": shown(found.dotted, _MESSAGE),
        "severity": found.severity,
        "rule": found.rule,
        "what": shown(found.what, _MESSAGE),
        "right": shown(found.right, _MESSAGE),
    }


def as_sarif(
    findings: Sequence[Finding], rules: Sequence[LintRule], version: str, ignored: Sequence[Ignored] = ()
) -> dict[str, Json]:
    """One SARIF run; `rules` are all that could have been broken. What comments silence is suppressed (3.27.23)."""
    driver: dict[str, Json] = {
        "name": "passerelle",
        "version": version,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.meaning},
                "defaultConfiguration": {"level": rule.severity},
            }
            for rule in rules
        ],
    }
    index = {rule.id: number for number, rule in enumerate(rules)}
    results: list[Json] = [_result(found, index) for found in findings]
    for one in ignored:
        why: Json = [{"kind": "inSource", "justification": one.because}]
        results.append({**_result(one.finding, index), "suppressions": why})
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(found: Finding, index: dict[str, int]) -> dict[str, Json]:
    path = f"{found.dotted}: " if found.path else ""
    return {
        "ruleId": found.rule,
        "ruleIndex": index[found.rule],
        "level": found.severity,
        "message": {"text": shown(path + found.message, _MESSAGE)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(found.file), "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": found.line, "startColumn": found.col},
                }
            }
        ],
    }


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
