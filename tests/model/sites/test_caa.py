"""Which CA may issue, by RFC 8659, its examples among the rows."""

from dataclasses import replace

import pytest

from service.model.sites.caa import CaaRecord, forbidden
from tests.model.sites.looks import LETS_ENCRYPT

UNKNOWN = replace(LETS_ENCRYPT, names=())
NOT_OURS = (
    "CAA records of example.org let only ca1.example.net issue certificates for www.example.org, not letsencrypt.org. "
    'Fix: add the record `example.org. CAA 0 issue "letsencrypt.org"`.'
)


def why(*records: tuple[int, str, str], name: str = "www.example.org", authority: object = LETS_ENCRYPT) -> str:
    assert isinstance(authority, type(LETS_ENCRYPT))
    return forbidden([CaaRecord(*one) for one in records], authority, name=name, found_at="example.org")


@pytest.mark.parametrize(
    "records",
    [
        [],
        [(0, "issue", "letsencrypt.org")],
        [(0, "ISSUE", " LetsEncrypt.org. ")],
        [(0, "issue", "ca1.example.net"), (0, "issue", "letsencrypt.org; accounturi=https://x/1")],
        [(0, "issue", "letsencrypt.org; validationmethods=dns-01,http-01")],
        [(0, "iodef", "mailto:security@example.org")],
        [(128, "issue", "letsencrypt.org")],
        [(0, "issuewild", ";"), (0, "issue", "letsencrypt.org")],
        [(0, "issuewild", ";")],
        [(0, "tbs", "Unknown")],
    ],
)
def test_it_may_issue(records: list[tuple[int, str, str]]) -> None:
    assert why(*records) == ""


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([(0, "issue", "ca1.example.net")], NOT_OURS),
        ([(0, "issue", "ca1.example.net"), (0, "issuewild", "letsencrypt.org")], NOT_OURS),
        (
            [(0, "issue", ";")],
            "CAA records of example.org let no CA issue a certificate for www.example.org. "
            'Fix: add the record `example.org. CAA 0 issue "letsencrypt.org"`.',
        ),
        (
            [(0, "issue", "%%%%%")],
            "CAA records of example.org let only %%%%% issue certificates for www.example.org, not letsencrypt.org. "
            'Fix: add the record `example.org. CAA 0 issue "letsencrypt.org"`.',
        ),
        (
            [(0, "issue", "letsencrypt.org"), (128, "tbs", "Unknown")],
            "CAA records of example.org have the critical tag tbs, which no CA may ignore, so none issues a "
            "certificate for www.example.org. Fix: remove that record, or its critical flag.",
        ),
        (
            [(0, "issue", "letsencrypt.org; validationmethods=dns-01")],
            "CAA records of example.org do not allow letsencrypt.org the challenge http-01 for www.example.org. "
            "Fix: add http-01 to `validationmethods` there.",
        ),
    ],
)
def test_it_may_not_issue(records: list[tuple[int, str, str]], sentence: str) -> None:
    assert why(*records) == sentence


def test_a_wildcard_has_its_own_tag() -> None:
    records = [(0, "issue", "letsencrypt.org"), (0, "issuewild", "ca1.example.net")]
    assert "let only ca1.example.net" in why(*records, name="*.example.org")
    assert 'CAA 0 issuewild "letsencrypt.org"' in why(*records, name="*.example.org")
    assert why(*records) == ""
    assert why(records[0], name="*.example.org") == ""


def test_a_ca_that_does_not_say_its_name_is_forbidden_only_where_nobody_may_issue() -> None:
    assert why((0, "issue", "ca1.example.net"), authority=UNKNOWN) == ""
    assert why((0, "issue", ";"), authority=UNKNOWN) == (
        "CAA records of example.org let no CA issue a certificate for www.example.org. "
        'Fix: remove the record `example.org. CAA 0 issue ";"`.'
    )


def test_what_a_zone_says_is_bounded_and_shown_in_one_line() -> None:
    found = why((0, "issue", "ca\n\x1b[31m" + "x" * 5000))
    assert len(found) < 400
    assert found.isprintable()
