"""`windows` of fleet.yaml: what is read, and what is wrong with it."""

from collections.abc import Callable, Mapping
from datetime import date

import pytest

from service.model.windows import MIDNIGHT, Window
from service.spec.fleet import Fleet

Read = Callable[[Mapping[str, str]], Fleet]
GOOD = "name: nights, kind: allow, zone: Europe/Paris"


def fleet(*windows: str) -> dict[str, str]:
    return {"fleet.yaml": "passerelle: 1\nwindows:\n" + "".join(f"  - {{{one}}}\n" for one in windows)}


def test_each_host_has_the_windows_of_the_fleet(read: Read, host: str) -> None:
    found = read(
        {
            "hosts/pve1.yaml": host,
            **fleet(
                f'{GOOD}, from: "22:00", to: "05:00", days: [sun, mon], last: "2026-12-20"',
                "name: all, kind: deny, zone: UTC, hosts: [pve1], labels: {site: paris}",
            ),
        }
    )
    assert not found.has_errors, found.findings
    assert found.hosts["pve1"].shared.windows == (
        Window("nights", "allow", "Europe/Paris", ("mon", "sun"), 22 * 60, 5 * 60, last=date(2026, 12, 20)),
        Window("all", "deny", "UTC", begins=0, ends=MIDNIGHT, hosts=("pve1",), labels={"site": "paris"}),
    )


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("name: nights, kind: allow", "the key is missing"),
        ("name: nights, kind: allow, zone: Paris", "`Paris` is not a time zone that this machine knows"),
        ("name: nights, kind: allow, zone: ../../etc/passwd", "is not a time zone"),
        (GOOD + ', from: "25:00"', "`25:00` is not a time of day"),
        (GOOD + ", from: 22:00", ""),
        (GOOD + ', from: "05:00", to: "05:00"', "no time lies from 05:00 to 05:00"),
        (GOOD + ', from: "24:00", to: "05:00"', "no time lies from 24:00 to 05:00"),
        (GOOD + ', first: "2026-02-30"', "`2026-02-30` is not a date"),
        (GOOD + ', first: "2026-03-02", last: "2026-03-01"', "2026-03-01 is before 2026-03-02"),
        (GOOD + ", days: []", ""),
        (GOOD + ", days: [monday]", ""),
        (GOOD + ", hosts: [Pve1]", "is not a host name or a pattern"),
        (GOOD + ", cron: x", ""),
    ],
)
def test_what_is_no_window_is_an_error(read: Read, host: str, window: str, said: str) -> None:
    found = read({"hosts/pve1.yaml": host, **fleet(window)})
    is_quoted_anyway = window == GOOD + ", from: 22:00"  # as text: this is YAML 1.2
    assert found.has_errors is not is_quoted_anyway, found.findings
    assert is_quoted_anyway or any(said in one.what for one in found.findings), found.findings


def test_no_time_has_a_rule_of_its_own(read: Read, host: str) -> None:
    found = read({"hosts/pve1.yaml": host, **fleet(GOOD + ', to: "00:00"')})
    assert "windows.no-time" in {one.rule for one in found.findings}


def test_two_windows_have_two_names(read: Read, host: str) -> None:
    found = read({"hosts/pve1.yaml": host, **fleet(GOOD, GOOD)})
    assert [(one.file, one.line, one.rule) for one in found.findings if one.severity == "error"] == [
        ("fleet.yaml", 4, "windows.same-name")
    ]
