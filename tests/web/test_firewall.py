"""The firewall's page: the rules in order, the question box, and the line that decides."""

from tests.api.world import World
from tests.web.visitor import Visitor

PAGE = "/hosts/pve1/firewall"
ASKED = f"{PAGE}?from=outside&to=host&proto=tcp&dport=22"


async def test_every_rule_is_in_its_table_with_its_line_and_what_is_known_of_it(visitor: Visitor) -> None:
    page = await visitor.look(PAGE)
    assert page.faults == []
    assert page.h1 == "pve1: firewall"
    rows = page.table("To the host").rows
    assert [row["Place"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["Comes from"] == "this host hosts/pve1.yaml:3"
    assert "never decides" in rows[1]["Decides"]
    assert "in:host:1" in rows[1]["Decides"]
    assert rows[2]["Packets"] == "policy_in: drop"
    assert page.headings.count((2, "Rules that never decide")) == 1
    assert not page.states.count("decides")


async def test_the_answer_is_a_sentence_and_its_line_is_marked(visitor: Visitor) -> None:
    page = await visitor.look(ASKED)
    assert page.faults == []
    answer = page.by_id("answer").text
    assert "It is dropped: no answer comes." in answer
    assert "tcp 22 from outside to host: rule in:host:1 decides" in answer
    assert page.links["in:host:1"] == "#rule-in:host:1"
    row = page.by_id("rule-in:host:1")
    assert "decides" in row.classes
    assert "decides" in row.text
    assert page.states.count("decides") == 1


async def test_a_question_is_its_address_and_the_other_direction_is_a_link(visitor: Visitor) -> None:
    page = await visitor.look(ASKED)
    form = page.form(PAGE)
    assert form.method == "get"
    assert form.fields == {"from": "outside", "to": "host", "proto": "tcp", "dport": "22"}
    assert page.links["Ask the other direction"] == f"{PAGE}?from=host&to=outside&proto=tcp&dport=22"


async def test_a_question_that_cannot_be_answered_is_told_on_the_page(visitor: Visitor) -> None:
    page = await visitor.look(f"{PAGE}?from=a%20b&to=host&proto=tcp")
    assert page.faults == []
    assert "problem" in page.by_id("answer").classes
    assert page.table("To the host").rows


async def test_what_differs_on_the_host_is_shown_line_by_line(visitor: Visitor) -> None:
    page = await visitor.look(PAGE)
    assert "- tcp dport 22 accept" in page.text
    assert "+ tcp dport 23 accept" in page.text


async def test_who_does_not_see_the_host_does_not_see_its_rules(world: World) -> None:
    await Visitor(world, ("read",), ("pve2",)).look(PAGE, status=404)
