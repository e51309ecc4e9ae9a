"""What was found on a host against a spec that is there: the same file, saying what the host has.

against(text, adopted, layers) -> Overridden      the text with its sections and host keys changed; comments stay

Values that the host shares with others (`layers`) count as its own. Its file overrides them where the host differs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.adopt.adopt import Adopted
from service.errors import InputError
from service.kinds import KINDS
from service.model.states import Json
from service.spec.document import load
from service.spec.editing import GONE, Change, changes_between
from service.spec.layers import Layer
from service.spec.merging import merged
from service.spec.overriding import Overridden, overridden

FOUND = ("interfaces", "bonds", "vlans", "bridges", "nat", "dnsmasq", "guests", "packages", "services")
"""Sections that adopt can find on a host; of the others only a spec speaks."""
WHERE_BOTH = ("firewall",)
"""Sections that are compared where both sides have one: on a host a firewall may be, too, what no spec says."""

OF_GUESTS = ("address6", "port", "vmid", "firewall")
"""Keys of a guest that adopt does not always find."""


def against(text: str, adopted: Adopted, layers: Sequence[Layer] = ()) -> Overridden:
    """InputError where the file cannot be read or an edit would touch something else."""
    document = load(text.encode())
    if document.value is None or document.problems:
        raise InputError(f"the spec of {adopted.host} cannot be read, so it cannot be compared", hint="passerelle lint")
    whole = merged(document, layers).document.value or {}
    is_said = adopted.firewall.is_said_by(adopted.host, text)
    both = [key for key in WHERE_BOTH if key in whole and key in adopted.values and not is_said]
    compared = (*FOUND, *both)
    before = {key: _plain(value) for key, value in whole.items() if key in compared}
    after = {key: adopted.values[key] for key in compared if key in adopted.values}
    for key, met in adopted.also.items():
        after |= _with_met(key, before.get(key), after.get(key), met)
    if "guests" in after:
        after["guests"] = _with_more(before.get("guests"), after["guests"], wins=is_said)
    kinds = {kind.name: kind for kind in KINDS}
    changes = list(_keys(whole.get("connection"), adopted))
    for key in compared:
        here, there = before.get(key), after.get(key)
        if key in before and key in after and _same(kinds[key].section, here, there):
            continue
        if isinstance(here, dict) and isinstance(there, dict):
            changes += _by_elements(changes_between(here, _in_order(here, there), (key,)), here)
        elif here != there:
            changes.append(((key,), GONE if there is None else there))
    return overridden(text, changes, layers)


def _with_met(key: str, here: Json, there: Json, met: Mapping[str, Json]) -> dict[str, Json]:
    """The section with what a spec says and the host has, though adopt would not write it."""
    if not isinstance(here, dict) or not isinstance(there, dict | None):
        return {}
    kept = {name: here[name] for name, value in met.items() if name in here and _has(here[name], value)}
    return {key: {**(there or {}), **kept}} if kept else {}


def _has(here: Json, value: Json) -> bool:
    """Whether a spec's value says what the host has, and maybe more."""
    if isinstance(here, dict) and isinstance(value, dict):
        known = {name: item for name, item in here.items() if name not in OF_GUESTS}
        return {**known, "mac": str(known.get("mac", "")).lower()} == value
    return here == value


def _keys(connection: object, adopted: Adopted) -> Iterator[Change]:
    """The host's keys where the spec has none, and each that was given where it has others."""
    if not isinstance(connection, Mapping):
        return
    here = _plain(connection.get("host_keys"))
    pinned: list[Json] = here if isinstance(here, list) else [here] if here else []
    known = {_bare(str(key)) for key in pinned}
    more = [_bare(key) for key in (adopted.given_keys if pinned else adopted.host_keys) if _bare(key) not in known]
    if more:
        yield ("connection", "host_keys"), [*pinned, *more]


def _bare(key: str) -> str:
    """A key line without its comment."""
    return " ".join(key.split()[:2])


def _by_elements(changes: Sequence[Change], here: Mapping[str, Json]) -> Iterator[Change]:
    """A list of mappings that is as long as before is changed element by element: comments between them stay."""
    for path, value in changes:
        old = here.get(str(path[1])) if len(path) == 2 else None
        if isinstance(old, list) and isinstance(value, list) and len(old) == len(value):
            for index, (was, now) in enumerate(zip(old, value, strict=True)):
                if isinstance(was, dict) and isinstance(now, dict):
                    yield from changes_between(was, now, (*path, index))
                elif was != now:
                    yield (*path, index), now
        else:
            yield path, value


def _with_more(here: Json, there: Json, *, wins: bool) -> Json:
    """What a person says of a guest and adopt did not find, or could not write, stays; if it `wins`, the rest, too."""
    if not isinstance(here, dict) or not isinstance(there, dict):
        return there
    found: dict[str, Json] = {}
    for name, guest in there.items():
        known = here.get(name)
        more = {k: v for k, v in known.items() if k in OF_GUESTS} if isinstance(known, dict) else {}
        if isinstance(guest, dict):
            less = {k: v for k, v in guest.items() if not wins or k not in OF_GUESTS}
            found[name] = {**more, **less}
        else:
            found[name] = guest
    return found


def _same(section: Any, here: Json, there: Json) -> bool:
    """Whether both mean the same to the section's own type: defaults, spellings, one text for a list of one."""
    adapter: TypeAdapter[Any] = TypeAdapter(section)
    try:
        return bool(adapter.validate_python(_tuples(here)) == adapter.validate_python(_tuples(there)))
    except ValidationError:
        return False


def _in_order(here: Mapping[str, Json], there: Mapping[str, Json]) -> dict[str, Json]:
    """The new values in the old order, so that nothing moves without need."""
    return {key: there[key] for key in [*here, *(k for k in there if k not in here)] if key in there}


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) else None  # the loader makes nothing else


def _tuples(value: Json) -> object:
    """As the loader gives it: lists are tuples."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
