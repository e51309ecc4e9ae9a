"""What somebody changed on a host by hand, accepted into Git: the host's spec file, saying what the host has.

accept(text, spec, drifts, layers) -> Accepted     the changed text, what it takes up, and what it cannot, with reasons

A value that the host shares with others (`layers`) is overridden in the host's own file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.errors import InputError
from service.formats.dnsmasq_range6 import read_range6
from service.formats.dnsmasq_values import FLAGS
from service.kinds import KINDS
from service.kinds.dnsmasq.range6 import said_of
from service.kinds.services import unit_of
from service.model.changes import Difference
from service.model.states import Json
from service.model.trees import BlobEntry
from service.resources.dnsmasq_config import OWN_FILE
from service.spec.document import load
from service.spec.editing import GONE, Change
from service.spec.findings import Path
from service.spec.host import HostSpec
from service.spec.layers import Layer
from service.spec.merging import merged
from service.spec.overriding import overridden
from service.spec.reading import Around, read_file

LINKS = ("interfaces", "bonds", "vlans", "bridges")
_FIELDS = {
    "forward_delay_s": "forward_delay",
    **{key: key for key in ("mtu", "mac", "stp", "ports", "mode", "miimon", "hash_policy", "lacp_rate", "primary")},
}
_NUMBERS = ("cache-size", "dns-forward-max", "dhcp-lease-max", "local-ttl", "neg-ttl", "max-ttl", "max-cache-ttl",
            "min-cache-ttl")  # fmt: skip
_TEXTS = ("domain", "log-facility")
_LISTS = ("interface", "except-interface", "no-dhcp-interface", "listen-address", "server")


@dataclass(frozen=True, slots=True)
class Accepted:
    """`taken` and `left` name differences as `kind resource field`; `left` with the reason."""

    text: str
    taken: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()


def accept(text: str, spec: HostSpec, drifts: Sequence[Difference], layers: Sequence[Layer] = ()) -> Accepted:
    """InputError where the file cannot be read, or the result would not be a good spec."""
    document = load(text.encode())
    if document.value is None or document.problems:
        raise InputError(f"{spec.file} cannot be read, so nothing can be accepted into it", hint="passerelle lint")
    whole = merged(document, layers).document.value or {}
    wanted: dict[Path, tuple[Change, list[str]]] = {}
    left: list[tuple[str, str]] = []
    for difference in drifts:
        label = f"{difference.kind} {difference.resource} {difference.field}"
        changes = list(_changes(difference, spec, whole))
        if difference.unknown or not changes:
            left.append(
                (
                    label,
                    difference.unknown
                    or "no key of the spec can describe it. Fix: restore it on the host, or write the spec by hand",
                )
            )
        for change in () if difference.unknown else changes:
            known = wanted.setdefault(change[0], (change, []))
            if known[0] != change:
                left.append((label, "the kernel and the files have different values, and both differ from the spec"))
            elif label not in known[1]:
                known[1].append(label)
    disputed = {label for label, _ in left}
    good = [(change, labels) for change, labels in wanted.values() if not disputed.intersection(labels)]
    # elements of lists from the last to the first: numbers before them stay what they are
    order = sorted(good, key=lambda pair: [part if isinstance(part, int) else -1 for part in pair[0][0]], reverse=True)
    made = overridden(text, [change for change, _ in order], layers)
    stays = [(label, why) for change, why in made.left for one, labels in good if one == change for label in labels]
    _still_good(made.text, spec, layers)
    taken = dict.fromkeys(label for _, labels in good for label in labels if label not in dict(stays))
    return Accepted(made.text, tuple(taken), (*left, *stays))


def _still_good(text: str, spec: HostSpec, layers: Sequence[Layer]) -> None:
    read = read_file(BlobEntry(spec.file, "", text.encode()), KINDS, Around(spec.shared, tuple(layers)))
    wrong = next((one for one in (*read.findings, *read.elsewhere) if one.severity == "error"), None)
    if wrong is not None:
        raise InputError(
            f"the state of the host is not a valid spec: {wrong}",
            hint="restore the old value on the host, or change Git",
        )


def _changes(difference: Difference, spec: HostSpec, values: Mapping[str, object]) -> Iterator[Change]:
    """The changes of the spec that make a difference one no more; none where there is no key for it."""
    kind, have = difference.kind, difference.have
    if kind in LINKS and difference.resource == "default":
        yield from _routes(have, spec)
    elif kind in LINKS:
        yield from _link(difference, values)
    elif kind == "nat" and difference.field == "masquerade" and not have:
        for index, entry in enumerate(_list(values.get("nat"))):
            if isinstance(entry, dict) and f"{entry.get('source')}>{entry.get('out')}" == difference.resource:
                yield ("nat", index), GONE
    elif kind == "dnsmasq" and difference.resource == OWN_FILE:
        yield from _dnsmasq(difference, values)
    elif kind == "packages" and difference.field == "package":
        yield (kind, difference.resource), "present" if have else "absent"
    elif kind == "services" and difference.field == "enabled" and have in ("enabled", "disabled", "masked"):
        section = values.get(kind)
        names = [
            name for name in (section if isinstance(section, dict) else ()) if unit_of(name) == difference.resource
        ]
        yield from (((kind, name), have) for name in names)


def _link(difference: Difference, values: Mapping[str, object]) -> Iterator[Change]:
    """Addresses, gateways and settings of an interface or a bridge that the spec names."""
    section = values.get(difference.kind)
    path: Path = (difference.kind, difference.resource)
    if not isinstance(section, dict) or difference.resource not in section:
        return
    have, field = difference.have, difference.field
    if field == "addresses":
        yield (*path, "addresses"), have if have else GONE
    elif field == "gateways" and isinstance(have, list):
        yield from _gateways(path, [str(gateway) for gateway in have])
    elif field == "keeps_guests" and have is False:
        yield (*path, "keep_guests"), False
    elif field in _FIELDS and have is not None:
        yield (*path, _FIELDS[field]), int(have) if isinstance(have, float) else have


def _gateways(path: Path, gateways: Sequence[str]) -> Iterator[Change]:
    for key, six in (("gateway", False), ("gateway6", True)):
        found = [gateway for gateway in gateways if (":" in gateway) == six]
        if len(found) == 1:
            yield (*path, key), found[0]
        elif not found and not six:
            yield (*path, key), GONE


def _routes(have: Json, spec: HostSpec) -> Iterator[Change]:
    """One default route for a family, over an interface that the spec names."""
    routes = [route for route in have if isinstance(route, dict)] if isinstance(have, list) else []
    if len(routes) != 1 or not isinstance(via := routes[0].get("via"), str):
        return
    key = "gateway6" if ":" in via else "gateway"
    for kind in LINKS:
        section = spec.sections.get(kind)
        for name, link in section.items() if isinstance(section, Mapping) else ():
            if name == routes[0].get("dev"):
                yield (kind, name, key), via
            elif getattr(link, key) is not None:
                yield (kind, name, key), GONE


def _dnsmasq(difference: Difference, values: Mapping[str, object]) -> Iterator[Change]:
    key, path = difference.field, ("dnsmasq", difference.field.replace("-", "_"))
    have = [str(value) for value in difference.have] if isinstance(difference.have, list) else []
    section = values.get("dnsmasq")
    ranges = _list(section.get("dhcp")) if isinstance(section, dict) else []
    if key in ("dhcp-leasefile", "dhcp-authoritative"):
        name = "lease_file" if key == "dhcp-leasefile" else "authoritative"
        for index, entry in enumerate(ranges):
            if index == 0 or (isinstance(entry, dict) and name in entry):
                value: Json = (have[0] if have else None) if name == "lease_file" else bool(have)
                yield ("dnsmasq", "dhcp", index, name), GONE if value is None else value
    elif key == "dhcp-range":
        fours, sixes = ([v for v in have if ("constructor:" in v) == is_six] for is_six in (False, True))
        if len(ranges) == len(fours) == 1:
            yield from _range(fours[0])
        found = [read_range6(value) for value in sixes]
        if all(found) and (found or _list(section.get("dhcp6") if isinstance(section, dict) else None)):
            yield ("dnsmasq", "dhcp6"), [said_of(one) for one in found if one] if found else GONE
    elif key in FLAGS:
        yield path, True if have else GONE
    elif key in _NUMBERS and len(have) < 2:
        yield path, GONE if not have or not have[0].isdecimal() else int(have[0])
    elif key in _TEXTS and len(have) < 2:
        yield path, have[0] if have else GONE
    elif key in _LISTS:
        yield path, [*have] if have else GONE


def _range(value: str) -> Iterator[Change]:
    """A canonical range: start, end, mask, seconds."""
    match = re.fullmatch(r"([0-9.]+),([0-9.]+),[0-9.]+,([0-9]+|infinite)", value)
    if match is not None:
        base: Path = ("dnsmasq", "dhcp", 0)
        seconds = match[3]
        whole_hours = seconds.isdecimal() and int(seconds) % 3600 == 0
        yield (*base, "start"), match[1]
        yield (*base, "end"), match[2]
        yield (
            (*base, "lease_time"),
            (f"{int(seconds) // 3600}h" if whole_hours else seconds if seconds == "infinite" else f"{seconds}s"),
        )


def _list(value: object) -> list[Json]:
    return list(value) if isinstance(value, tuple | list) else []
