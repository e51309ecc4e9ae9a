"""Two hosts of one repository: the one that gives its guests away, and the one that gets them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.errors import InputError
from service.kinds.claims import Claim
from service.kinds.kind import Kind
from service.kinds.published import uplink_of
from service.model.states import Json
from service.model.trees import Tree
from service.spec.document import load
from service.spec.fleet import Fleet, read_fleet
from service.spec.host import HostSpec
from service.spec.layers import Layer
from service.spec.merging import merged
from service.spec.models import claims_of
from service.spec.overriding import plain


@dataclass(frozen=True, slots=True)
class Side:
    """One host: its spec, the text of its own file, and its whole values, with those that it shares."""

    spec: HostSpec
    text: str
    values: Mapping[str, Any]
    layers: Sequence[Layer]
    claims: Sequence[Claim]

    @property
    def name(self) -> str:
        """The host's name."""
        return self.spec.name

    @property
    def file(self) -> str:
        """The host's own file in the repository."""
        return self.spec.file

    @property
    def uplink(self) -> str:
        """The interface of its IPv4 default route; "" without one."""
        return uplink_of(self.claims)

    def mapping(self, key: str) -> dict[str, Any]:
        """A section that is a mapping; empty where it is not written."""
        found = self.values.get(key)
        return dict(found) if isinstance(found, Mapping) else {}

    def items(self, key: str) -> list[Any]:
        """A section that is a list; empty where it is not written."""
        found = self.values.get(key)
        return list(found) if isinstance(found, list) else []


@dataclass(frozen=True, slots=True)
class Pair:
    """`source` gives, `target` gets."""

    source: Side
    target: Side


def read_pair(tree: Tree, kinds: Sequence[Kind], source: str, target: str) -> Pair:
    """Both hosts of a tree without errors. InputError otherwise."""
    if source == target:
        raise InputError(f"{source} cannot be migrated to itself", hint="name another host after --to")
    fleet = good_fleet(tree, kinds)
    return Pair(_side(tree, fleet, kinds, source), _side(tree, fleet, kinds, target))


def good_fleet(tree: Tree, kinds: Sequence[Kind]) -> Fleet:
    """All hosts of a tree. InputError where lint finds an error."""
    fleet = read_fleet(tree, kinds)
    errors = [found for found in fleet.findings if found.severity == "error"]
    if errors:
        raise InputError(f"the specs have {len(errors)} errors, the first: {errors[0]}", hint="passerelle lint")
    return fleet


def _side(tree: Tree, fleet: Fleet, kinds: Sequence[Kind], name: str) -> Side:
    spec = fleet.hosts.get(name)
    if spec is None:
        raise InputError(f"the repository describes no host {name}", hint=f"name one of: {', '.join(fleet.hosts)}")
    data = tree.files[spec.file].data
    layers = fleet.members.of(name)
    whole = plain(merged(load(data), layers).document.value)
    assert isinstance(whole, dict)
    return Side(spec, data.decode(), whole, layers, claims_of(spec, kinds))


def without(values: Mapping[str, Json], *keys: str) -> dict[str, Json]:
    """A mapping without some keys."""
    return {key: value for key, value in values.items() if key not in keys}
