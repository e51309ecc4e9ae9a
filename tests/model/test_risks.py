"""What a plan puts at risk, by its recorded body."""

from service.model.risks import Risk, risk_of


def test_each_part_of_a_risk_comes_from_its_own_part_of_the_plan() -> None:
    body = {
        "steps": [
            {"fact": "link:vmbr0", "risk": "whoever is behind its 2 ports loses the link"},
            {"fact": "link:vmbr1", "risk": ""},
            {"fact": "package:nftables", "risk": "files go"},
        ],
        "summary": {"cut": ["tap100i0"]},
        "packages": [{"name": "nftables", "action": "remove"}, {"name": "dnsmasq", "action": "install"}],
        "overridden": [{"rule": "management-path", "what": "vmbr0 would go down"}],
        "refusals": [{"rule": "unknown", "what": "cannot be read"}],
        "raises": ["beyond PASSERELLE_MAX_OPEN: 443/tcp"],
    }
    assert risk_of(body) == Risk(
        management_path=("vmbr0 would go down",), links=("vmbr0: whoever is behind its 2 ports loses the link",),
        cut=("tap100i0",), removed=("nftables",), approvals=("beyond PASSERELLE_MAX_OPEN: 443/tcp",),
    )  # fmt: skip


def test_a_plan_of_an_earlier_version_has_no_risk_that_is_known() -> None:
    assert risk_of({}) == Risk()
