"""A host's firewall, as it is answered."""

from typing import Literal

from pydantic import Field

from service.api.schemas import Answer, Told
from service.model.changes import Moved, Where

Level = Literal["always", "host", "derived", "datacenter", "guest", "policy"]
Decides = Literal["some", "never", "off", "not judged"]


class Rule(Told):
    """One rule of a table. The fields of a packet are empty where the rule does not look at them."""

    id: str = Field(description="the same as in answers about packets")
    position: int = Field(description="place in the table, from 1: the first rule that matches decides")
    level: Level = Field(
        description="host, datacenter and guest: written in Git; derived: follows from another section; always: every "
        "firewall has it; policy: what becomes of the rest"
    )
    action: str = Field(description="ACCEPT, DROP or REJECT")
    text: str = Field(description="the rule as Proxmox spells it, or its meaning in words")
    iface: str
    source: str
    dest: str
    proto: str
    dport: str
    sport: str
    icmp_type: str
    macro: str
    log: str
    family: Literal[4, 6] | None = Field(description="the IP version; null: both")
    comment: str
    group: str = Field(description="the group that it belongs to")
    where: str | None = Field(description="file:line that it is written in or follows from; null: no line says it")
    cause: str = Field(description="what it follows from, for a rule that nobody wrote")
    decides: Decides = Field(
        description="some: it decides about some packets; never: proven that earlier rules take all its packets, or "
        "that there are none; off: it is switched off; not judged: not known"
    )
    earlier: list[str] = Field(description="ids of the rules that take all its packets, where it never decides")


class Table(Told):
    """Rules that are tried one after the other until one decides."""

    id: str
    title: str
    direction: str = Field(description="prerouting, in, out, forward or bridge")
    guest: str = Field(description="the guest whose rules they are; empty: the host's")
    rules: list[Rule]


class Differing(Told):
    """Where the host is not as wanted."""

    resource: str
    field: str
    where: Where
    moved: Moved
    only_wanted: list[str] = Field(description="lines that Git wants and the host does not have")
    only_there: list[str] = Field(description="lines that the host has and Git does not want")
    is_order: bool = Field(description="the lines are the same, in another order")
    unknown: str = Field(description="why the host's side could not be read")


class Backend(Told):
    """Proxmox's program that has the rules."""

    program: str = Field(description="pve-firewall (iptables) or proxmox-firewall (nftables); empty: not known")
    why: str = Field(description="what chooses it, or why it is not known")
    trouble: str = Field(description="what does not fit it, as a service that does not run; empty: nothing")


class Tables(Told):
    """The rules alone."""

    is_filtered: bool = Field(description="false: the spec has no firewall for this host")
    why: str = Field(description="why there are no rules")
    tables: list[Table]


class Firewall(Tables):
    """Every rule of a host as Git wants it, in the order in which they are tried."""

    host: str
    commit: str
    differs: list[Differing] | None = Field(
        description="where the host is not as wanted; null: it was not compared with what Git wants now"
    )
    backend: Backend | None = Field(description="as it was seen on a Proxmox node; null: another host, or never seen")


class Standing(Answer):
    """What is not kept with the rules."""

    host: str
    commit: str
    differs: list[Differing] | None
    backend: Backend | None = Field(description="as it was seen on a Proxmox node; null: another host, or never seen")
