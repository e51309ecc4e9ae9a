"""The models of the spec files, made of the kinds that are passed in.

host_model(kinds) -> the model of a file below hosts/          fleet_model(kinds) -> that of fleet.yaml
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, create_model

from service.spec.findings import Hit, LintRule
from service.spec.host import Head, HostSpec, Shared
from service.spec.rollout import RolloutSection
from service.spec.windows import Windows


class SpecKind(Protocol):
    """As much of a kind as reading specs needs. Kinds are passed in."""

    name: str
    section: Any
    rules: tuple[LintRule, ...]

    def lint(self, section: Any, host: HostSpec, claims: Sequence[Any]) -> Iterator[Hit]: ...

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]: ...

    def claims(self, section: Any) -> Iterator[Any]: ...


@runtime_checkable
class SharedKind(Protocol):
    """A kind of which fleet.yaml may speak too. Its host section must be valid when empty."""

    shared_section: Any

    def lint_shared(self, section: Any, shared: Shared) -> Iterator[Hit]:
        """What is wrong in fleet.yaml next to the files of groups/ (`shared`); paths start in the section."""
        ...


class FleetSection(BaseModel):
    """fleet.yaml: what holds for all hosts."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    passerelle: int = Field(ge=1, le=1, description="Version of the format: 1.")
    windows: Windows = Field(
        (), description="When applies may begin, by the clock of a time zone. Without any: always."
    )
    defaults: Mapping[str, Any] | None = Field(
        None,
        description="Keys as in a host's file, for every host. Groups that list the host, and its own file, override "
        "them.",
    )
    rollout: RolloutSection | None = Field(
        None, description="In which portions a revision goes to the hosts. Without it they all get it at once."
    )


def claims_of(spec: HostSpec, kinds: Sequence[SpecKind]) -> tuple[Any, ...]:
    """What the sections of a host say to each other, in the order of the kinds."""
    return tuple(
        claim for kind in kinds if kind.name in spec.sections for claim in kind.claims(spec.sections[kind.name])
    )


def host_model(kinds: Sequence[SpecKind]) -> type[Head]:
    """The model of a host file: the head and a key for every kind. Its JSON Schema is the format's."""
    return _host_model(tuple(kinds))


@lru_cache(maxsize=8)
def _host_model(kinds: tuple[SpecKind, ...]) -> type[Head]:
    fields: dict[str, Any] = {
        kind.name: (kind.section | None, Field(None, description=_first_line(kind.__doc__))) for kind in kinds
    }
    return create_model("Host", __base__=Head, __doc__="One host: a file below hosts/.", **fields)


def fleet_model(kinds: Sequence[SpecKind]) -> type[FleetSection]:
    """The model of fleet.yaml."""
    return _fleet_model(tuple(kinds))


@lru_cache(maxsize=8)
def _fleet_model(kinds: tuple[SpecKind, ...]) -> type[FleetSection]:
    fields: dict[str, Any] = {
        kind.name: (kind.shared_section | None, Field(None, description=_first_line(kind.__doc__)))
        for kind in kinds
        if isinstance(kind, SharedKind)
    }
    return create_model("Fleet", __base__=FleetSection, __doc__=FleetSection.__doc__, **fields)


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]
