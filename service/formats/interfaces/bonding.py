"""A bond: several links that are used as one (the kernel's bonding.rst), and what its lines in a stanza say.

    BondMeaning                      its ports and settings, in the kernel's words
    read_bond(values) -> BondMeaning | None     from the options of a stanza by name; None: no bond, or not readable
    bond_fields(bond) -> {field: value}         only what counts in its mode
    bond_lines(bond) -> (option, value), …      in the order of Proxmox's writer

ifupdown2 takes modes, policies and rates by name or number (its addon bond.py); the classic ifupdown gives them to the
kernel, which takes both. What nobody wrote is the kernel's default.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
"""By the number that the kernel gives them."""
HASH_POLICIES = ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4")
LACP_RATES = ("slow", "fast")
HASHING = frozenset({"balance-xor", "802.3ad", "balance-tlb"})
"""Modes in which the hash policy decides by which port a packet leaves."""
WITH_PRIMARY = frozenset({"active-backup", "balance-tlb", "balance-alb"})
WITH_LACP = frozenset({"802.3ad"})
PORT_KEYS = ("bond-slaves", "bond-ports")
KEYS = (*PORT_KEYS, "bond-miimon", "bond-mode", "bond-xmit-hash-policy", "bond-lacp-rate", "bond-primary")
_PATTERNS = frozenset({"glob", "regex", "all"})


@dataclass(frozen=True, slots=True)
class BondMeaning:
    """A bond. `ports` are sorted; `miimon` is how often the ports are looked at, in milliseconds, 0 = never."""

    ports: tuple[str, ...] = ()
    mode: str = MODES[0]
    miimon: int = 0
    hash_policy: str = HASH_POLICIES[0]
    lacp_rate: str = LACP_RATES[0]
    primary: str = ""


def read_bond(values: Mapping[str, str]) -> BondMeaning | None:
    """The bond of a stanza. A pattern in place of ports, or a word that nobody knows: None."""
    written = next((values[key] for key in PORT_KEYS if key in values), None)
    ports = written.split() if written is not None and written != "none" else []
    mode = _word(values.get("bond-mode", "0"), MODES)
    policy = _word(values.get("bond-xmit-hash-policy", "0"), HASH_POLICIES)
    rate = _word(values.get("bond-lacp-rate", "0"), LACP_RATES)
    miimon = values.get("bond-miimon", "0")
    is_readable = bool(mode and policy and rate) and miimon.isdecimal() and len(miimon) < 6
    if written is None or not is_readable or _PATTERNS & {*ports}:
        return None
    primary = values.get("bond-primary", "")
    return BondMeaning(tuple(sorted({*ports})), mode, int(miimon), policy, rate, primary)


def _word(text: str, words: tuple[str, ...]) -> str:
    """The word itself, or the one with this number; empty: neither."""
    if text in words:
        return text
    return words[int(text)] if text.isdecimal() and len(text) == 1 and int(text) < len(words) else ""


def bond_fields(bond: BondMeaning) -> dict[str, str | int | tuple[str, ...]]:
    """What counts in its mode. Others of its settings are neither compared nor written."""
    fields: dict[str, str | int | tuple[str, ...]] = {
        "ports": tuple(sorted({*bond.ports})), "mode": bond.mode, "miimon": bond.miimon,
    }  # fmt: skip
    if bond.mode in HASHING:
        fields["hash_policy"] = bond.hash_policy
    if bond.mode in WITH_LACP:
        fields["lacp_rate"] = bond.lacp_rate
    if bond.mode in WITH_PRIMARY:
        fields["primary"] = bond.primary
    return fields


FIELD_OF = {
    "bond-slaves": "ports", "bond-miimon": "miimon", "bond-mode": "mode", "bond-xmit-hash-policy": "hash_policy",
    "bond-lacp-rate": "lacp_rate", "bond-primary": "primary",
}  # fmt: skip
"""The field that each option sets."""


def bond_lines(bond: BondMeaning) -> Iterator[tuple[str, str]]:
    """The options of a stanza, each once. An empty primary has no line."""
    fields = bond_fields(bond)
    for key, name in FIELD_OF.items():
        if name == "ports":
            yield key, " ".join(bond.ports) or "none"
        elif fields.get(name, "") != "":
            yield key, str(fields[name])
