"""Every kind's rules on whole host files: `<kind>/<case>/spec.yaml` gives `findings.txt`."""

from pathlib import Path

import pytest

from service.kinds import KINDS
from service.kinds.kind import Kind
from service.model.trees import BlobEntry
from service.spec.findings import Finding
from service.spec.reading import read_file
from service.spec.report import as_text
from tests.golden import same_as_golden
from tests.laws.specs import FOLDER, head

HERE = Path(__file__).parent
CASES = sorted(spec.parent.relative_to(HERE) for spec in HERE.glob("*/*/spec.yaml"))
CONSOLE = '  console: "https://example.net/console"\n'
WITH_FINDINGS = [case for case in CASES if (HERE / case / "findings.txt").exists()]


def findings_of(case: Path) -> tuple[Finding, ...]:
    data = (HERE / case / "spec.yaml").read_bytes()
    return read_file(BlobEntry("hosts/pve1.yaml", "", data), KINDS).findings


@pytest.mark.parametrize("case", WITH_FINDINGS, ids=str)
def test_a_spec_gives_its_findings(case: Path) -> None:
    same_as_golden(HERE / case / "findings.txt", as_text(findings_of(case)))


def fleet_rules() -> set[str]:
    """Rules between files have no case of one file: tests/spec and tests/resources have them."""
    return {"guests.mac-on-two-hosts", "guests.mac-in-one-network", "firewall.reserved-set", "web.name-on-two-hosts"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_rule_has_a_case_that_fires_and_one_that_does_not(kind: Kind) -> None:
    fired = {case: {found.rule for found in findings_of(case)} for case in WITH_FINDINGS if case.parts[0] == kind.name}
    for rule in kind.rules:
        if rule.id in fleet_rules():
            continue
        assert rule.id.startswith(f"{kind.name}.")
        assert any(rule.id in rules for rules in fired.values()), f"no case of {kind.name} breaks {rule.id}"
        assert any(rule.id not in rules for rules in fired.values()), f"every case of {kind.name} breaks {rule.id}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_fine_section_has_no_finding(kind: Kind) -> None:
    fine = HERE / kind.name / "fine/spec.yaml"
    text = fine.read_text() if fine.exists() else head(extra=CONSOLE) + (FOLDER / f"{kind.name}.yaml").read_text()
    assert f"\n{kind.name}:" in text
    assert read_file(BlobEntry("hosts/pve1.yaml", "", text.encode()), KINDS).findings == ()
