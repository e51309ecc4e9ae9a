"""A table of nft as a value: what `nft -f` takes, and what `nft -j list table` then says."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from service.firewall.nft.parts import Part
from service.model.states import Json

FAMILY, TABLE = "inet", "passerelle"
FILTER = (0, "filter")

Expression = tuple[Part, ...]


@dataclass(frozen=True)
class NftLine:
    """One rule of the table: its parts, and what it stands for."""

    parts: Expression
    label: str

    @cached_property
    def text(self) -> str:
        """As nft reads it."""
        return " ".join(part[0] for part in self.parts)

    @property
    def expr(self) -> Json:
        """As `nft -j` lists it."""
        return [part[1] for part in self.parts]


@dataclass(frozen=True, slots=True)
class NftChain:
    """One chain; `hook` "" where it is only jumped to."""

    name: str
    lines: tuple[NftLine, ...]
    hook: str = ""
    priority: tuple[int, str] = FILTER
    policy: str = "accept"
    type: str = "filter"

    def head(self) -> dict[str, Json]:
        """What `nft -j` says of the chain besides its place."""
        return (
            {"type": self.type, "hook": self.hook, "prio": self.priority[0], "policy": self.policy} if self.hook else {}
        )

    def text(self) -> Iterator[str]:
        """As nft reads it."""
        yield f"\tchain {self.name} {{"
        if self.hook:
            yield f"\t\ttype {self.type} hook {self.hook} priority {self.priority[1]}; policy {self.policy};"
        for line in self.lines:
            yield f"\t\t{line.text}"
        yield "\t}"


@dataclass(frozen=True)
class Table:
    """A table as a value. `name` is that of nft, as in `inet passerelle`."""

    chains: tuple[NftChain, ...]
    name: str = f"{FAMILY} {TABLE}"

    def __hash__(self) -> int:
        return hash(self.load)  # what rules expect of `nft -j` are lists and maps

    @cached_property
    def load(self) -> str:
        """The table's text."""
        lines = [f"table {self.name} {{", *(line for chain in self.chains for line in chain.text()), "}"]
        return "\n".join(lines) + "\n"

    @property
    def normal(self) -> list[Json]:
        """The normal form of what `nft -j list table` says once it is loaded."""
        family, _, name = self.name.partition(" ")
        objects: list[Json] = [{"table": {"family": family, "name": name}}]
        place: dict[str, Json] = {"family": family, "table": name}
        objects += ({"chain": {**place, "name": chain.name, **chain.head()}} for chain in self.chains)
        objects += (
            {"rule": {**place, "chain": chain.name, "expr": line.expr}} for chain in self.chains for line in chain.lines
        )
        return objects

    @cached_property
    def file(self) -> bytes:
        """The file that the boot loads: it takes the place of a table that is already there."""
        table = f"table {self.name}\n"
        return f"# written by passerelle\n{table}delete {table}{self.load}".encode()
