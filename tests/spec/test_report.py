"""Findings as text, JSON and SARIF."""

import json

from service.kinds import KINDS
from service.spec.findings import Finding
from service.spec.fleet import all_rules
from service.spec.report import as_json, as_sarif, as_text, summary

ERROR = Finding("hosts/pé 1.yaml", 9, 52, ("nat", 0, "out"), "error", "nat.unknown-interface", "no eth9", "add it")
WARNING = Finding("hosts/a.yaml", 1, 1, (), "warning", "connection.no-console", "no\x1b[31m \u202econsole")


def test_text_is_one_line_a_finding_without_control_characters() -> None:
    assert as_text([ERROR, WARNING]).splitlines() == [
        "hosts/pé 1.yaml:9:52: nat.0.out: no eth9. Fix: add it [nat.unknown-interface]",
        "hosts/a.yaml:1:1: no[31m console (warning) [connection.no-console]",
    ]


def test_the_summary_counts_in_words() -> None:
    assert summary([ERROR, WARNING], 1) == "1 host, 1 error, 1 warning"
    assert summary([], 2) == "2 hosts, 0 errors, 0 warnings"


def test_json_has_counts_and_everything_of_a_finding() -> None:
    made = as_json([ERROR, WARNING], 2)
    assert (made["hosts"], made["errors"], made["warnings"]) == (2, 1, 1)
    assert json.loads(json.dumps(made))["findings"][0] == {
        "file": "hosts/pé 1.yaml",
        "line": 9,
        "col": 52,
        "path": "nat.0.out",
        "severity": "error",
        "rule": "nat.unknown-interface",
        "what": "no eth9",
        "right": "add it",
    }


def test_sarif_has_what_the_standard_requires() -> None:
    rules = all_rules(KINDS)
    made = json.loads(json.dumps(as_sarif([ERROR, WARNING], rules, "1.2.3")))
    assert made["version"] == "2.1.0"
    assert made["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = made["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("passerelle", "1.2.3")
    assert len({rule["id"] for rule in driver["rules"]}) == len(rules)
    assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
    assert run["columnKind"] == "unicodeCodePoints"
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning")
        assert result["message"]["text"].isprintable()
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["region"]["startLine"] >= 1
        assert place["region"]["startColumn"] >= 1
        assert place["artifactLocation"]["uri"].isascii()
        assert " " not in place["artifactLocation"]["uri"]
