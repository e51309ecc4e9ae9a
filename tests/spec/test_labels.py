"""`labels`: short words about a host, its own and those that it shares."""

from collections.abc import Callable, Mapping

import pytest

from service.model.labels import has, labelled
from service.spec.fleet import Fleet

Read = Callable[[Mapping[str, str]], Fleet]


def test_labels_come_from_the_host_and_from_what_it_shares(read: Read, host: str) -> None:
    own = host.replace("host: pve1", "host: pve1\nlabels: {tier: edge, rack: A-4}")
    group = "group: paris\nhosts: [pve1]\nvalues: {labels: {site: paris, tier: core}}\n"
    fleet = read({"hosts/pve1.yaml": own, "groups/paris.yaml": group})
    assert not fleet.has_errors, fleet.findings
    assert fleet.hosts["pve1"].labels == {"site": "paris", "tier": "edge", "rack": "A-4"}


def test_a_host_without_labels_has_none(read: Read, host: str) -> None:
    assert read({"hosts/pve1.yaml": host}).hosts["pve1"].labels == {}


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("{Site: paris}", "`Site` is not the key of a label"),
        ("{site: a b}", "`a b` is not the value of a label"),
        ("{site: -a}", "`-a` is not the value of a label"),
        ("{site: 4}", "the value is the number 4"),
        (f"{{site: {'a' * 64}}}", "is not the value of a label"),
        (f"{{{', '.join(f'k{n}: v' for n in range(33))}}}", "33 entries"),
    ],
)
def test_what_is_no_label_is_an_error(read: Read, host: str, labels: str, said: str) -> None:
    fleet = read({"hosts/pve1.yaml": host.replace("host: pve1", f"host: pve1\nlabels: {labels}")})
    assert any(said in one.what and one.severity == "error" for one in fleet.findings), fleet.findings


@pytest.mark.parametrize("text", ["", "site", "site=", "=paris", "Site=paris", "site=a=b", "site=a b", "site=paris\n"])
def test_what_is_not_key_and_value_chooses_nothing(text: str) -> None:
    assert labelled(text) is None


def test_a_label_chooses_the_hosts_that_have_it() -> None:
    one = labelled("site=paris")
    assert one is not None
    assert has({"site": "paris", "tier": "edge"}, one)
    assert not has({"site": "lyon"}, one)
    assert not has({}, one)
