"""The rules of a host over the API: all of them, written once, and what differs each time."""

from service.api.firewall_schemas import Firewall
from service.api.firewalls import FirewallTexts
from service.model.runs import FirewallView
from tests.api.one_firewall import tables as tables_of
from tests.api.world import COMMIT, World


async def test_the_rules_of_a_host(world: World) -> None:
    answer = await world.ask("GET", "/api/v1/hosts/pve1/firewall")
    assert answer.status_code == 200
    found = Firewall.model_validate(answer.json())
    assert (found.host, found.commit, found.is_filtered) == ("pve1", COMMIT, True)
    [table] = found.tables
    assert [(rule.id, rule.position, rule.level) for rule in table.rules] == [
        ("in:host:1", 1, "host"), ("in:host:2", 2, "host"), ("in:policy", 3, "policy"),
    ]  # fmt: skip
    assert table.rules[0].where == "hosts/pve1.yaml:3"
    assert found.differs is not None
    assert found.differs[0].only_wanted == ["tcp dport 22 accept"]


async def test_a_host_that_git_does_not_name_has_no_rules(world: World) -> None:
    assert (await world.ask("GET", "/api/v1/hosts/pve9/firewall")).status_code == 404


async def test_hostile_words_of_a_rule_do_not_stop_the_answer(world: World) -> None:
    world.desk.odd = "\ud800<script>\x1b[31m\u202e"
    answer = await world.ask("GET", "/api/v1/hosts/pve1/firewall")
    assert answer.status_code == 200
    assert "<script>" in answer.json()["tables"][0]["rules"][0]["comment"]


async def test_rules_are_written_once_and_what_differs_each_time() -> None:
    texts, tables = FirewallTexts(), tables_of("")
    first = await texts.text(FirewallView("pve1", COMMIT, tables, []))
    tables["why"] = "these are not read again"
    again = await texts.text(FirewallView("pve1", "d" * 40, tables, None))
    assert b"not read again" not in again
    assert Firewall.model_validate_json(first).differs == []
    assert (Firewall.model_validate_json(again).commit, Firewall.model_validate_json(again).differs) == ("d" * 40, None)
    assert b"not read again" in await texts.text(FirewallView("pve1", COMMIT, dict(tables)))
    for number in range(40):
        await texts.text(FirewallView(f"h{number}", COMMIT, tables))
    assert len(texts.kept) == 32
