"""The section `forwards`: a list of entries, each with ports of one interface that lead to one guest."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.kinds.claims import Publishes
from service.model.trees import quoted
from service.spec import patterns
from service.spec.grammar import (
    DOMAIN_SCHEMA,
    NAME_PATTERN,
    NETWORK_PATTERN,
    DomainName,
    InterfaceName,
    check_address,
    check_name,
    check_network,
    one_or_many,
    text,
    wrong,
)
from service.spec.patterns import whole

KEY = "forwards"
MAX_ITEMS = 64
PortMap = tuple[int, int, int]
"""First port, last port, and the guest's port (0: the same)."""

_RANGE = re.compile(r"([1-9][0-9]{0,4})(?::([1-9][0-9]{0,4}))?")
_PORTS_RIGHT = "write a port, a range such as 8000:8010, a list of them, or {8080: 80} for another port on the guest"


def read_ports(value: object) -> tuple[PortMap, ...]:
    """One port, a list of ports and ranges, or a mapping from the host's ports to the guest's."""
    if isinstance(value, Mapping):
        return tuple((*_range(port), _range(to, single=True)[0]) for port, to in value.items())
    items = value if isinstance(value, tuple | list) else (value,)
    return tuple((*_range(item), 0) for item in items)


def _range(value: object, *, single: bool = False) -> tuple[int, int]:
    match = _RANGE.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        wrong(f"{quoted(str(value))} is not a port", _PORTS_RIGHT)
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 65535 or (single and match[2]):
        wrong(
            f"{quoted(str(value))} is not a port",
            "write numbers from 1 to 65535, the lower one first" if not single else _PORTS_RIGHT,
        )
    return first, last


def check_target(value: str) -> str:
    """A guest's name, or an address that the kernel can send to without naming an interface."""
    if _LINK_LOCAL.match(value):
        wrong(f"{quoted(value)} is a link-local address", "write an address in one of the host's networks")
    return check_address(value) if re.fullmatch(r"[0-9.]+|[0-9A-Fa-f]*:.*", value) else check_name(value)


_LINK_LOCAL = re.compile(r"[Ff][Ee][89ABab][0-9A-Fa-f]:")


def check_source(value: str) -> str:
    """An address or a network."""
    return check_network(value) if "/" in value else check_address(value)


_PORT_WORDS = "a port, or a range such as 8000:8010"
_ONE: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 1, "maximum": 65535},
    {"type": "string", **whole(patterns.PORT, _PORT_WORDS)},
]
_SEVERAL = [_ONE[0], {"type": "string", **whole(f"{patterns.PORT}(?::{patterns.PORT})?", _PORT_WORDS)}]
_PORTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        *_SEVERAL,
        {"type": "array", "items": {"anyOf": _SEVERAL}, "minItems": 1, "maxItems": MAX_ITEMS},
        {
            "type": "object",
            "propertyNames": whole(f"{patterns.PORT}(?::{patterns.PORT})?"),
            "additionalProperties": {"anyOf": _ONE},
            "minProperties": 1,
            "maxProperties": MAX_ITEMS,
        },
    ]
}
Ports = Annotated[
    tuple[PortMap, ...],
    Field(min_length=1, max_length=MAX_ITEMS),
    BeforeValidator(read_ports),
    WithJsonSchema(_PORTS_SCHEMA),
]
Protocol: TypeAlias = Literal["tcp", "udp"]


def _many(schema: dict[str, Any]) -> Any:
    return (
        Field(min_length=1, max_length=MAX_ITEMS),
        BeforeValidator(one_or_many),
        WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_ITEMS}]}),
    )


_TO_PATTERN = f"(?!{_LINK_LOCAL.pattern}){patterns.ADDRESS}|(?![0-9.]+$){NAME_PATTERN}"
_TO_WORDS = "a guest of the spec, or an address"
_SOURCE_WORDS = "an address or a network"


class Forward(BaseModel):
    """Ports of one interface that lead to one guest."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    interface: InterfaceName = Field(
        alias="in", description="The interface whose addresses are meant, those of IPv4 and of IPv6."
    )
    ports: Ports = Field(description="Ports, ranges such as 8000:8010, or {8080: 80} for another port on the guest.")
    to: Annotated[
        str,
        *text(
            check_target,
            whole(f"(?!{_LINK_LOCAL.pattern}){patterns.ADDRESS}|(?![0-9.]+$){NAME_PATTERN}", _TO_WORDS, maxLength=63),
        ),
    ] = Field(
        description="A guest of `guests` with a fixed address, or an address in one of the host's networks. A guest "
        "with `address` and `address6` is published in both families."
    )
    to_port: int | None = Field(None, ge=1, le=65535, description="The guest's port, if it is another one.")
    proto: Annotated[tuple[Protocol, ...], *_many({"enum": ["tcp", "udp"]})] = Field(("tcp",), description="tcp, udp.")
    source: (
        Annotated[
            tuple[Annotated[str, AfterValidator(check_source)], ...],
            *_many(
                {
                    "type": "string",
                    **whole(f"{patterns.ADDRESS}|{NETWORK_PATTERN}", _SOURCE_WORDS),
                }
            ),
        ]
        | None
    ) = Field(None, description="Addresses and networks of clients, of one family or of both. Default: everybody.")
    names: Annotated[tuple[DomainName, ...], *_many({"type": "string", **DOMAIN_SCHEMA})] | None = Field(
        None, description="Names of what is published: guests who ask this host's DNS get the guest's own address."
    )

    def publishes(self, number: int) -> Iterator[Publishes]:
        """One claim for each protocol and port of the guest."""
        by_port: dict[int, list[tuple[int, int]]] = {}
        for first, last, to in self.ports:
            by_port.setdefault(to or self.to_port or 0, []).append((first, last))
        for proto in dict.fromkeys(self.proto):
            for to_port, ranges in by_port.items():
                if all(port == (to_port, to_port) for port in ranges):
                    to_port = 0  # noqa: PLW2901 (the same port is not another port)
                yield Publishes(
                    (KEY, number), self.interface, proto, tuple(sorted(set(ranges))), self.to, to_port,
                    tuple(self.source or ()), tuple(self.names or ()),
                )  # fmt: skip


ForwardsSection: TypeAlias = Annotated[tuple[Forward, ...], Field(max_length=256)]
