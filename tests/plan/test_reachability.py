"""What a plan says of what it opens and closes, from the kernel's tables as they are."""

from dataclasses import replace

import pytest

from service.cli.plan_text import headline, plan_lines
from service.firewall.nft.reading import Known, Labels, read_program
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Json, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.firewall import TABLE_FACT
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import FOLDER, head, spec_of

SEED = (FOLDER / "firewall.yaml").read_text().partition("firewall:")[0]
SSH = "firewall:\n  rules:\n    - {type: in, action: accept, macro: SSH}\n"
GUI = "    - {type: in, action: accept, proto: tcp, dport: 8006}\n"
FORWARD = "forwards:\n  - {in: enp1s0, ports: [80, 443], to: proxy}\n"


def wanted(rest: str) -> Desired:
    return desire(spec_of(head() + SEED + rest), KINDS)


def host_with(rest: str, watched_for: Desired) -> HostObserved:
    """A host as one spec wants it, ready to be compared with another."""
    desired = wanted(rest)
    host = bare_host(desired.watch | watched_for.watch)
    return after_plan(host, make_plan(desired, LastApplied(), host))


def plan(before: str, after: str) -> Plan:
    desired = wanted(after)
    return make_plan(desired, LastApplied(), host_with(before, desired))


def test_a_commit_that_opens_a_port_says_so_everywhere() -> None:
    made = plan(SSH, SSH + GUI)
    assert made.reachability == ("opens tcp/8006 from anywhere",)
    assert made.as_json()["reachability"] == ("opens tcp/8006 from anywhere",)
    assert "  + opens tcp/8006 from anywhere" in [line.text for line in plan_lines(made.as_json())]


def closed_when_opened_by_hand(*more: Json) -> tuple[str, ...]:
    """What is reported where somebody let tcp/3389 in, under more conditions."""
    desired = wanted(SSH)
    host = host_with(SSH, desired)
    fact = host.facts[TABLE_FACT]
    assert isinstance(fact, Seen)
    assert isinstance(fact.value, dict)
    normal = fact.value["normal"]
    assert isinstance(normal, list)
    port: Json = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 3389}}
    by_hand: Json = {
        "rule": {
            "family": "inet", "table": "passerelle", "chain": "input",
            "expr": [port, *more, {"counter": None}, {"accept": None}],
        }
    }  # fmt: skip
    end: Json = {"rule": {"family": "inet", "table": "passerelle", "chain": "input", "expr": [{"drop": None}]}}
    at = normal.index(end)
    opened = replace(host, facts={**host.facts, TABLE_FACT: Seen({"normal": [*normal[:at], by_hand, *normal[at:]]})})
    return make_plan(desired, LastApplied(), opened).reachability


def test_what_was_opened_by_hand_is_closed_and_that_is_said() -> None:
    assert closed_when_opened_by_hand() == ("closes tcp/3389 from anywhere",)


def test_a_condition_that_is_no_address_and_no_port_is_said_as_nft_writes_it() -> None:
    mark: Json = {"match": {"op": "!=", "left": {"meta": {"key": "mark"}}, "right": 7}}
    assert closed_when_opened_by_hand(mark) == ("closes tcp/3389 from anywhere where meta mark != 7",)


def test_a_mac_address_is_said_in_words() -> None:
    sender: Json = {"payload": {"protocol": "ether", "field": "saddr"}}
    (said,) = closed_when_opened_by_hand({"match": {"op": "!=", "left": sender, "right": "bc:24:11:00:00:01"}})
    assert said == "closes tcp/3389 from anywhere with any source MAC address but bc:24:11:00:00:01"


def test_what_is_published_and_what_is_no_more() -> None:
    assert plan(SSH, SSH + FORWARD).reachability == (
        "opens tcp/80,443 on 198.51.100.11 from anywhere, which leads to 10.10.10.20",
    )
    assert (
        "closes what was published: on 198.51.100.11 tcp/80,443 to 10.10.10.20" in plan(SSH + FORWARD, SSH).reachability
    )


def test_where_nothing_changes_or_nothing_is_known_nothing_is_said() -> None:
    assert plan(SSH, SSH).reachability == ()
    assert plan(SSH, SSH.replace("macro: SSH", "proto: tcp, dport: 22")).reachability == ()
    desired = wanted(SSH)
    host = host_with(SSH, desired)
    blind = replace(host, facts={**host.facts, TABLE_FACT: Unknown("cut off")})
    assert make_plan(desired, LastApplied(), blind).reachability == ()


def test_a_table_of_another_form_is_no_reason_to_fail() -> None:
    desired = wanted(SSH + GUI)
    host = host_with(SSH, desired)
    odd: Json = {
        "normal": [{"chain": {"name": "input", "hook": "input"}}, {"rule": {"chain": "input", "expr": [7, {}]}}]
    }
    worse: Json = {
        "normal": [{"rule": {"chain": "input", "expr": [{"match": {"left": {"meta": {"key": "nfproto"}}}}]}}]
    }
    for value in (odd, worse):
        made = make_plan(desired, LastApplied(), replace(host, facts={**host.facts, TABLE_FACT: Seen(value)}))
        assert made.reachability
        assert made.steps


SOURCE: Json = {"payload": {"protocol": "ip", "field": "saddr"}}
UNSAID: dict[str, Json] = {
    "a named set": {"match": {"op": "==", "left": SOURCE, "right": "@s"}},
    "a named set of what is no dimension": {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": "@s"}},
    "a named map": {"vmap": {"key": SOURCE, "data": "@m"}},
    "iptables' part": {"xt": {"type": "match", "name": "addrtype"}},
    "iptables' part without a name": {"xt": None},
    "a program": {"queue": {"num": 0}},
    "a word of a later nft": {"unheard": {"of": 1}},
    "text": "unheard of",
}


@pytest.mark.parametrize("what", UNSAID)
def test_what_nfts_json_does_not_carry_is_unknown_and_not_nothing(what: str) -> None:
    desired = wanted(SSH + GUI)
    host = host_with(SSH + GUI, desired)
    seen = host.fact(TABLE_FACT)
    assert isinstance(seen, Seen)
    assert isinstance(seen.value, dict)
    listed = seen.value["normal"]
    assert isinstance(listed, list)
    rule: Json = {"rule": {"family": "inet", "table": "passerelle", "chain": "input", "expr": [UNSAID[what]]}}
    changed = replace(host, facts={**host.facts, TABLE_FACT: Seen({"normal": [*listed, rule]})})
    made = make_plan(desired, LastApplied(), changed)
    assert made.reachability == ("the present state is unknown, because the kernel's table has rules of another form",)
    assert made.summary.opens is None


def test_long_conditions_that_differ_at_their_ends_are_two() -> None:
    def with_mark(end: int) -> Json:
        numbers: Json = {"set": [*range(1000, 1100), end]}
        return {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": numbers}}

    def program(end: int) -> set[str]:
        expr: list[Json] = [with_mark(end), {"accept": None}]
        body: list[Json] = [{"rule": {"chain": "input", "expr": expr}}]
        return {name for entry in read_program(body, Labels(), Known()).chains["input"] for name, _ in entry.conditions}

    assert program(7000) != program(7001)
    assert program(7000) == program(7000)


def test_the_summary_counts_what_opens_and_closes() -> None:
    summary = plan(SSH + GUI, SSH + FORWARD).summary
    assert (summary.opens, summary.closes, summary.cut, summary.steps > 0) == (1, 1, (), True)
    assert headline(plan(SSH + GUI, SSH + FORWARD).as_json()).endswith("opens 1, closes 1, no guest loses its link")


def test_what_is_too_much_to_compare_is_not_counted_as_nothing() -> None:
    many = "".join(f"    - {{type: in, action: accept, proto: udp, dport: {n}}}\n" for n in range(2000, 4200, 2))
    made = plan(SSH, SSH + many)
    assert "changes more than can be compared of what reaches the host" in made.reachability
    assert (made.summary.opens, made.summary.closes) == (None, None)
    assert "what it opens and closes is not fully known" in headline(made.as_json())


def test_more_than_is_shown_is_counted_all_the_same() -> None:
    ports = "".join(f"    - {{type: in, action: accept, proto: udp, dport: {n}}}\n" for n in range(3000, 3200, 2))
    sources = "".join(
        f"    - {{type: in, action: accept, proto: tcp, dport: {n}, source: 192.0.2.{n - 3000}}}\n"
        for n in range(3000, 3100)
    )
    made = plan(SSH, SSH + ports + sources)
    assert made.reachability[-1].startswith("and ")
    shown = [one for one in made.reachability if one.startswith("opens ")]
    assert made.summary.opens is not None
    assert made.summary.opens > len(shown)
    assert made.summary.closes == 0
