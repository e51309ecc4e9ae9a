"""Proxmox's 86 macros: a name for one or more matches on protocol, ports and ICMP type. Names have no case."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from service.firewall.terms.model import Family


@dataclass(frozen=True, slots=True)
class MacroRule:
    """What one line of a macro fixes; "" leaves the parameter to the rule that uses the macro."""

    proto: str
    dport: str = ""
    sport: str = ""
    icmp_type: str = ""

    def fixed(self) -> Mapping[str, str]:
        """The parameters that this line gives."""
        pairs = (("proto", self.proto), ("dport", self.dport), ("sport", self.sport), ("icmp_type", self.icmp_type))
        return {name: value for name, value in pairs if value}


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro. `families` holds 4 and 6, or only the one for which a rule comes out."""

    name: str
    description: str
    families: tuple[int, ...]
    rules: tuple[MacroRule, ...]
    rules_ipv6: tuple[MacroRule, ...]

    def lines(self, family: Family) -> tuple[MacroRule, ...]:
        """What the macro means for packets of one family; nothing if it is not for them."""
        if family not in self.families:
            return ()
        return self.rules_ipv6 if family == 6 else self.rules

    def lines_as_checked(self, family: int) -> tuple[MacroRule, ...]:
        """The lines against which a rule of this family (0: of either) is checked when it is read."""
        if family and family not in self.families:
            return ()
        return self.rules_ipv6 if family == 6 else self.rules


@cache
def macros() -> Mapping[str, Macro]:
    """All macros by name, as spelled by Proxmox."""
    table = json.loads(files(__package__).joinpath("macros.json").read_text("utf-8"))
    return {name: _macro(name, entry) for name, entry in table.items()}


@cache
def _by_lower_name() -> Mapping[str, Macro]:
    return {name.lower(): macro for name, macro in macros().items()}


def find_macro(name: str) -> Macro | None:
    """A macro by its name in any case."""
    return _by_lower_name().get(name.lower()) if name.isascii() else None


def _macro(name: str, entry: Mapping[str, object]) -> Macro:
    def lines(key: str) -> tuple[MacroRule, ...]:
        found = entry.get(key, entry["rules"])
        if not isinstance(found, list):
            raise TypeError(f"macros.json: {name}.{key} is not a list")
        return tuple(MacroRule(**line) for line in found)

    families = entry["families"]
    if not isinstance(families, list):
        raise TypeError(f"macros.json: {name}.families is not a list")
    return Macro(name, str(entry["description"]), tuple(families), lines("rules"), lines("rules_ipv6"))
