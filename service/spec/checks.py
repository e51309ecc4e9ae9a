"""The key `checks` of a host file: what has to answer before and after a change, in addition to the probes of every
host.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.model.probes import PORTS, Origin, Probe, ProbeKind
from service.model.trees import quoted
from service.spec import grammar, patterns
from service.spec.findings import Hit, LintRule, Path

FIELDS = LintRule("checks.fields", "error", "a check has the fields of its type and no others")
TARGET = LintRule("checks.target", "error", "a check's address is allowed for the place where it runs")
TWICE = LintRule("checks.twice", "error", "a check is named once")
RULES = (FIELDS, TARGET, TWICE)

MOST_CHECKS = 16
TAKES: dict[ProbeKind, frozenset[str]] = {
    "tcp": frozenset({"port"}),
    "http": frozenset({"port", "path", "status", "name"}),
    "icmp": frozenset(),
    "dns": frozenset({"port", "name"}),
}
NEEDS: dict[ProbeKind, frozenset[str]] = {
    "tcp": frozenset({"port"}),
    "http": frozenset(),
    "icmp": frozenset(),
    "dns": frozenset({"name"}),
}


def check_asked_address(value: str) -> str:
    """An address of one machine, this host itself included; no zone, no IPv4 written as IPv6."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        grammar.wrong(f"{quoted(value)} is not an address", "write an address such as 192.0.2.1 or 2001:db8::1")
    if "%" in value or (address.version == 6 and (address.is_link_local or address.ipv4_mapped)):
        grammar.wrong(
            f"{quoted(value)} cannot be checked: it has a zone or is IPv4 written as IPv6",
            "write the plain address",
        )
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        grammar.wrong(f"{quoted(value)} is not the address of one machine", "write the address of one machine")
    return str(address)


def check_path(value: str) -> str:
    """A path as it is in a request: printable ASCII from a slash on, no blanks."""
    if not value.startswith("/") or not all("!" <= character <= "~" for character in value):
        grammar.wrong(f"{quoted(value)} is not a path", "write a path such as /health")
    return value


_ASKED = patterns.whole(
    f"{patterns.OWN_IPV4}|(?![Ff][Ee][89ABab][0-9A-Fa-f]:){patterns.OWN_IPV6}", "an IPv4 or IPv6 address"
)


class CheckSection(BaseModel):
    """One check: something that answers now must answer after a change, or the change is rolled back."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    type: ProbeKind = Field(
        description="tcp: a connection is accepted. http: a GET succeeds. icmp: an echo request is answered. "
        "dns: a resolver knows the name."
    )
    address: Annotated[str, *grammar.text(check_asked_address, _ASKED)] = Field(
        description="The address to check, never a name."
    )
    port: int | None = Field(None, ge=1, le=65535, description="tcp: required. http: 80. dns: 53.")
    path: (
        Annotated[str, *grammar.text(check_path, patterns.whole("/[!-~]*", "a path from a slash on", maxLength=300))]
        | None
    ) = Field(None, max_length=300, description="http: the path, / if not given.")
    status: int | None = Field(None, ge=100, le=599, description="http: this status; any of 200 to 399 if not given.")
    name: grammar.DomainName | None = Field(
        None, description="dns: the name that must have an address. http: the Host header."
    )
    origin: Origin = Field(
        "host", alias="from", description="The place where the check runs: the host, or the service (`controller`)."
    )
    timeout: Annotated[str, *grammar.duration(1, 10)] = Field(
        "3s", description="How long an answer may take: 1s to 10s."
    )

    def probe(self) -> Probe:
        """In the types of the rest of the program."""
        return Probe(
            kind=self.type,
            address=self.address,
            origin=self.origin,
            port=self.port or PORTS.get(self.type, 0),
            path=self.path or "",
            status=self.status or 0,
            asked=self.name or "",
            timeout_s=float(grammar.duration_s(self.timeout)),
        )


Checks = Annotated[tuple[CheckSection, ...], Field(max_length=MOST_CHECKS)]
OPTIONAL = ("port", "path", "status", "name")


def lint_checks(checks: Sequence[CheckSection]) -> Iterator[Hit]:
    """What is wrong with the checks beyond their types."""
    known: dict[str, int] = {}
    for number, check in enumerate(checks):
        path: Path = ("checks", number)
        given = {field for field in OPTIONAL if getattr(check, field) is not None}
        for field in sorted(given - TAKES[check.type]):
            yield FIELDS.hit((*path, field), f"a check of type {check.type} takes no {field}", "remove it")
        for field in sorted(NEEDS[check.type] - given):
            yield FIELDS.hit(path, f"a check of type {check.type} needs a {field}", f"add `{field}`")
        if check.origin == "controller" and (sort := not_for_the_service(check.address)):
            what = f"{check.address} is {sort}, and the service does not send checks there"
            yield TARGET.hit((*path, "address"), what, "set `from: host`, or check another address")
        first = known.setdefault(check.probe().name, number)
        if first != number:
            yield TWICE.hit(path, f"this check is the same as check {first + 1}", "keep one of the two")


def not_for_the_service(address: str) -> str:
    """What an address is that a commit must not make the service ask; empty where it may. Its own addresses beyond
    these are known only where it runs."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_loopback:
        return "the service's own machine"
    if parsed.is_link_local:
        return "a link-local address (where clouds keep their metadata)"
    if parsed.is_reserved:
        return "a reserved address"
    return ""
