"""IPv6 ranges of dnsmasq: what is one, its one form, and the way from the spec to the line and back."""

import pytest

from service.formats.dnsmasq import canonical_value
from service.formats.dnsmasq_range6 import read_range6
from service.formats.dnsmasq_values import takes
from service.kinds.dnsmasq.range6 import Dhcp6Range, said_of
from service.kinds.dnsmasq.section import DnsmasqSection
from service.model.states import Json
from service.resources.dnsmasq_elsewhere import StandingElsewhere, rival_of

SPAN: dict[str, Json] = {"start": "::100", "end": "::1ff"}
RANGES: list[dict[str, Json]] = [
    {"interface": "vmbr0", "mode": "slaac"},
    {"interface": "vmbr0", "mode": "slaac", "names": True},
    {"interface": "vmbr0", "mode": "stateless"},
    {"interface": "vmbr0", "mode": "stateless", "names": True, "lease_time": "12h"},
    {"interface": "vmbr0", "mode": "stateful", **SPAN},
    {"interface": "vmbr0", "mode": "both", **SPAN},
    {"interface": "vmbr0", "mode": "both", "names": True, **SPAN, "lease_time": "infinite"},
]


@pytest.mark.parametrize("said", RANGES, ids=str)
def test_a_range_is_written_and_read_as_the_same(said: dict[str, Json]) -> None:
    line = str(Dhcp6Range.model_validate(said).range6())
    assert takes("dhcp-range", line)
    found = read_range6(line)
    assert found is not None
    assert said_of(found) == said


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("::,constructor:vmbr0,ra-names,slaac", "::,constructor:vmbr0,ra-names,64,3600"),
        ("::, constructor:vmbr0, ra-only", "::,constructor:vmbr0,slaac,64,3600"),
        ("::0100,::01ff,constructor:vmbr0,64,60m", "::100,::1ff,constructor:vmbr0,64,3600"),
    ],
)
def test_two_spellings_of_one_range_are_one(line: str, same: str) -> None:
    assert canonical_value("dhcp-range", line) == same


@pytest.mark.parametrize(
    "line",
    ["fd00::1,fd00::9,64", "::,constructor:vmbr0", "::1,constructor:vmbr0,slaac", "::,constructor:vmbr0,slaac,80",
     "set:x,::,constructor:vmbr0,slaac", "::,constructor:vmbr*,slaac", "::,constructor:vmbr0,slaac,off-link,64"],
)  # fmt: skip
def test_what_a_spec_cannot_say_is_no_such_range(line: str) -> None:
    assert read_range6(line) is None


def test_another_range_of_the_same_bridge_is_in_the_way() -> None:
    want = {"dhcp-range": ["::,constructor:vmbr0,slaac,64,3600"]}
    for name, rival in (("vmbr0", want["dhcp-range"][0]), ("vmbr1", None)):
        standing = StandingElsewhere("dhcp-range", f"::,constructor:{name},ra-names,64,3600", "/etc/dnsmasq.d/x", 1)
        assert rival_of(standing, want) == rival


def test_a_section_with_ipv6_alone_serves_its_bridges() -> None:
    section = DnsmasqSection.model_validate({"dhcp6": (Dhcp6Range(interface="vmbr0", mode="slaac"),)})
    assert section.served_interfaces() == ("vmbr0",)
