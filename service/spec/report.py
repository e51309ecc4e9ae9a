"""Findings for people and machines: text, JSON, SARIF 2.1.0 (OASIS, the format that code hosts read)."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from service.model.states import Json
from service.model.trees import shown
from service.spec.findings import Finding, LintRule

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_MESSAGE = 1000


def as_text(findings: Iterable[Finding]) -> str:
    """One line a finding; warnings say so."""
    lines = (f"{found}{' (warning)' if found.severity == 'warning' else ''} [{found.rule}]" for found in findings)
    return "".join(f"{line}\n" for line in lines)


def summary(findings: Sequence[Finding], hosts: int) -> str:
    """The count in words."""
    errors = sum(found.severity == "error" for found in findings)
    parts = (_counted(hosts, "host"), _counted(errors, "error"), _counted(len(findings) - errors, "warning"))
    return ", ".join(parts)


def as_json(findings: Sequence[Finding], hosts: int) -> dict[str, Json]:
    """The findings and their counts."""
    return {
        "hosts": hosts,
        "errors": sum(found.severity == "error" for found in findings),
        "warnings": sum(found.severity == "warning" for found in findings),
        "findings": [finding_as_json(found) for found in findings],
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


def as_sarif(findings: Sequence[Finding], rules: Sequence[LintRule], version: str) -> dict[str, Json]:
    """One SARIF run; `rules` are all that could have been broken."""
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
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}],
    }


def _result(found: Finding, index: dict[str, int]) -> Json:
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
