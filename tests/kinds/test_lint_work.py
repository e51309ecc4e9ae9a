"""What lint asks of a firewall costs the same for few guests and for many; a packet that lint makes up is a value."""

from collections import Counter

import pytest

from tests.calls import counted
from tests.laws.specs import FOLDER, fleet_of, whole

TRACE = "firewall/trace/host_trace.py:trace"
WORDS = "firewall/trace/packets.py:parse_packet"
READ_A_RULE = "firewall/pve/rules.py:read_rule"


def linted(guests: int, rules: int = 0) -> Counter[str]:
    """The calls for a host with so many more guests and rules, and with ports that lead to guests."""
    text = (FOLDER / "forwards-and-firewall.yaml").read_text()
    more = (f'  g{n}: {{mac: "BC:24:11:00:01:{n:02x}", address: 10.10.10.{30 + n}}}\n' for n in range(guests))
    own = (
        f"    - {{type: in, action: accept, proto: tcp, dport: {9000 + 100 * rules + 2 * n}}}\n" for n in range(rules)
    )
    text = whole(text.replace("guests:\n", f"guests:\n{''.join(more)}", 1) + "".join(own))
    with counted() as calls:
        fleet = fleet_of(text)
    assert not fleet.has_errors
    return calls


def test_a_packet_of_lint_is_never_read_from_words() -> None:
    calls = linted(3)
    assert calls[TRACE] > 0
    assert calls[WORDS] == 0


def test_guests_add_no_traces() -> None:
    assert linted(60)[TRACE] == linted(3)[TRACE]


@pytest.mark.parametrize("rules", [2, 20])
def test_each_rule_is_read_once(rules: int) -> None:
    """Also in the next commit: a rule that names no alias and no set is remembered by its words."""
    linted(3)
    assert linted(3, rules)[READ_A_RULE] == rules
    assert linted(3, rules)[READ_A_RULE] == 0
