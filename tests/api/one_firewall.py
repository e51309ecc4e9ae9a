"""The rules of one host, as the loop would answer them."""

from dataclasses import replace

from service.answers.firewalls import table_as_json
from service.firewall.terms.model import Rule, Where
from service.firewall.trace.listing import Entry, Tried
from service.model.runs import FirewallView
from service.model.states import Json


def firewall_view(host: str, commit: str, odd: str) -> FirewallView:
    """One rule, its policy and one difference, with `odd` as somebody's words."""
    differs: list[Json] = [
        {
            "resource": "inet passerelle input", "field": "rules", "where": "live", "moved": "host", "unknown": "",
            "only_wanted": ["tcp dport 22 accept"], "only_there": [f"tcp dport 23 accept {odd}"], "is_order": False,
        }
    ]  # fmt: skip
    return FirewallView(host, commit, tables(odd), differs)


def tables(odd: str) -> dict[str, Json]:
    """A table with a rule, another that never decides, and its policy."""
    rule = Rule("in", "ACCEPT", proto="tcp", dport="22", comment=f"ssh {odd}", text="IN ACCEPT -p tcp -dport 22")
    entry = Entry("in:host:1", "host", "ACCEPT", rule.text, rule, Where("hosts/pve1.yaml", 3))
    again = replace(rule, action="DROP", text="IN DROP -p tcp -dport 22", comment="")
    useless = Entry(
        "in:host:2", "host", "DROP", again.text, again, Where("hosts/pve1.yaml", 4), decides="never",
        earlier=(entry.name,),
    )  # fmt: skip
    policy = Entry("in:policy", "policy", "DROP", "policy_in: drop")
    return {"is_filtered": True, "why": "", "tables": [table_as_json(Tried("in", "in", "", (entry, useless, policy)))]}
