"""The rules of a host in the order in which they are tried, and who reaches what by them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from service.web.asked import Asked, Refused, Route
from service.web.rows import Rows

API = "/api/v1/hosts"
FIELDS = ("from", "to", "proto", "dport")
PROTOCOLS = ("tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "esp")
VERDICTS = {
    "ACCEPT": "It passes.", "DROP": "It is dropped: no answer comes.", "REJECT": "It is refused with an answer.",
}  # fmt: skip
MOST_NEVER = 100
"""So many rules that never decide are named at the top; each is marked in its table."""
SERVICES = (
    "dnsmasq", "nftables", "passerelle-nft", "networking", "pve-firewall", "proxmox-firewall", "fail2ban", "nginx",
)  # fmt: skip
_ROWS = Rows("firewall_row.html", "rule")


async def firewall(asked: Asked) -> Response:
    """Rules, the answer to a question, services."""
    name = asked.path["host"]
    found = await asked.get(f"{API}/{name}/firewall")
    question = {field: asked.query.get(field, "").strip() for field in FIELDS}
    answer, trouble = await _answer(asked, name, question)
    seen = await asked.found(f"{API}/{name}/observed")
    deciding = answer["id"] if answer else None
    tables = await asyncio.to_thread(_tables, found["tables"], deciding)
    return asked.page(
        "firewall.html", title=f"{name}: firewall", host=await asked.get(f"{API}/{name}"), found=found, tables=tables,
        question=question, answer=answer, trouble=trouble, never=list(_never(found["tables"])), most=MOST_NEVER,
        not_judged=_count(found["tables"], "not judged"), verdicts=VERDICTS, protocols=PROTOCOLS,
        zones=_zones(found["tables"]), services=list(_services(seen)), bans=_bans(seen), seen=seen,
    )  # fmt: skip


async def _answer(
    asked: Asked, name: str, question: Mapping[str, str]
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """What becomes of the packet that the question is about, or why that cannot be answered."""
    if not question["from"] or not question["to"]:
        return None, None
    given = {key: value for key, value in question.items() if value} | {"proto": question["proto"] or PROTOCOLS[0]}
    words = {f"{key}_": value for key, value in given.items()}
    try:
        return await asked.get(f"{API}/{name}/trace", **words), None
    except Refused as error:
        if error.status not in (400, 422):
            raise
        return None, error.problem


def _tables(tables: Sequence[Mapping[str, Any]], deciding: str | None) -> list[dict[str, Any]]:
    """Each table with its rows."""
    made = []
    for table in tables:
        rules = [rule | {"is_deciding": True} if rule["id"] == deciding else rule for rule in table["rules"]]
        made.append({"id": table["id"], "title": table["title"], "count": len(rules), "rows": _ROWS.of(rules)})
    return made


def _never(tables: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The rules that somebody wrote and that never decide."""
    for table in tables:
        for rule in table["rules"]:
            if rule["decides"] == "never" and rule["level"] in ("host", "datacenter", "guest"):
                yield rule | {"table": table["title"]}


def _count(tables: Sequence[Mapping[str, Any]], decides: str) -> int:
    return sum(rule["decides"] == decides for table in tables for rule in table["rules"])


def _zones(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Words for the ends of a packet's way."""
    guests = dict.fromkeys(table["guest"] for table in tables if table["guest"])
    interfaces = dict.fromkeys(rule["iface"] for table in tables for rule in table["rules"] if rule["iface"])
    return ["outside", "host", *guests, *interfaces]


def _services(seen: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    """Name, state now, and state at the next boot of the daemons that were looked at."""
    facts = seen["content"].get("facts", {}) if seen else {}
    for name in SERVICES:
        unit = f"unit:{name}.service"
        if unit in facts:
            yield name, *_states(facts[unit])


def _states(fact: Any) -> tuple[str, str]:
    if not isinstance(fact, dict):
        return "not installed", "–"
    if "unknown" in fact:
        return f"not known: {fact['unknown']}", "not known"
    return "runs" if fact.get("active") else "does not run", str(fact.get("enabled", "not known"))


def _bans(seen: Mapping[str, Any] | None) -> Any:
    """Whom fail2ban bans, by jail; None where it does not run, `{"unknown": …}` where nobody could read it."""
    return seen["content"].get("bans") if seen else None


ROUTES = (Route("GET", "/hosts/{host}/firewall", firewall),)
