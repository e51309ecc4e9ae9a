"""What lint accepts can be planned: no value passes here and stops the planner, for any values of the other keys."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from service.kinds import KINDS
from service.kinds.desire import desire
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.spec import document
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import FOLDER, fleet_of, head
from tests.spec.test_agree import schema_of, thawed
from tests.spec.values import fitting, places, replaced

TESTS = Path(__file__).parent.parent
TEXTS = [path.read_text() for path in sorted(TESTS.glob("kinds/*/*/spec.yaml"))]
TEXTS += [head() + path.read_text() for path in sorted(FOLDER.glob("*.yaml"))]
SOUND = [text for text in TEXTS if not fleet_of(text).has_errors]
ADDED: list[dict[str, Any]] = [
    {"server": ["127.0.0.1#5353", "/example.org/192.0.2.53#54"]},
    {"server": "2001:db8::53"},
    {"server": ["2001:db8::53#5353@vmbr0", "1.1.1.1@10.10.10.1#5354", "/a.lan/b.lan/#"]},
    {"listen_address": ["10.10.10.1", "fd00:10::1"]},
    {"listen_address": ["127.0.0.1", "::1", "10.10.10.1"]},
    {"max_cache_ttl": 3600},
    {"domain": ".".join(["a"] * 40)},
    {"local": [".".join(["a" * 60] * 4)]},
    {"log_facility": f"/var/log/dnsmasq/dns-{'a' * 170}.log"},
]
RANGES: list[dict[str, Any]] = [
    {"lease_time": "999999999s"},
    {"lease_time": "71582788m"},
    {"lease_file": f"/var/lib/misc/{'a' * 170}.leases"},
    {"options": {"wpad": "http://10.10.10.1/~user/wpad@home.dat"}},
    {"options": {"dns-server": ["10.10.10.1"] * 32}},
    {"options": {"domain-search": [f"a{n}.example.org" for n in range(14)]}},
    {"options": {"tftp-server": "10.10.10.1", "bootfile-name": "../boot..x", "time-offset": -3600}},
]


def planned(text: str) -> None:
    """Plan a host's spec against a bare host, and once more against what that plan makes of it."""
    fleet = fleet_of(text)
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    desired = desire(fleet.hosts["pve1"], KINDS)
    host = bare_host(desired.watch)
    plan = make_plan(desired, LastApplied(), host)
    if not plan.refusals:
        again = make_plan(desired, LastApplied.from_json(desired.as_json()), after_plan(host, plan))
        assert (again.drifts, again.steps) == ((), ())


def served(more: dict[str, Any], of_range: dict[str, Any]) -> str:
    entry = {"interface": "vmbr0", "start": "10.10.10.100", "end": "10.10.10.200", **of_range}
    sections = {
        "interfaces": {"enp1s0": {"addresses": ["198.51.100.11/24"], "gateway": "198.51.100.1"}},
        "bridges": {"vmbr0": {"addresses": ["10.10.10.1/24", "fd00:10::1/64"]}},
        "dnsmasq": {"interface": "vmbr0", **more, "dhcp": [entry]},
        "packages": {"dnsmasq": "present"},
    }
    return head() + yaml.safe_dump(sections, sort_keys=False)


@pytest.mark.parametrize("text", SOUND, ids=[str(number) for number in range(len(SOUND))])
def test_every_spec_of_the_tests_can_be_planned(text: str) -> None:
    planned(text)


@pytest.mark.parametrize("more", ADDED, ids=str)
def test_what_lint_takes_of_dnsmasq_is_written_and_read_back(more: dict[str, Any]) -> None:
    planned(served(more, {}))


@pytest.mark.parametrize("of_range", RANGES, ids=str)
def test_what_lint_takes_of_a_range_is_written_and_read_back(of_range: dict[str, Any]) -> None:
    planned(served({}, of_range))


@given(data=st.data())
def test_a_spec_that_lint_accepts_can_be_planned(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(SOUND))
    value = thawed(document.load(text.encode()).value)
    schema = schema_of("host")
    for _ in range(4):
        place = data.draw(st.sampled_from([*places(value, schema, schema)]))
        changed = replaced(value, place, data.draw(fitting(place, schema)))
        if not fleet_of(written := yaml.safe_dump(changed, sort_keys=False)).has_errors:
            value, text = changed, written
    planned(text)
