"""The question to a host before packages or units change, and how its answer is read. Pure.

question(observed, watch) -> Question or None       what differs from the wish; None where nothing does
read_weighed(answer, question) -> Weighed           raises Garbled
"""

import re
from dataclasses import dataclass
from typing import Any

from service.errors import Garbled
from service.hostside.vital import FLAGS, INSTALL_KEYS, PACKAGE_NAME, UNIT_PROPERTIES
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Observed, Seen, Unknown
from service.model.trees import shown
from service.model.weighed import PackageMove, Weighed

MAX_MOVES = 2000
_NAME = re.compile(PACKAGE_NAME + r"(:[a-z0-9-]{1,20})?")
_VERSION = re.compile(r"[0-9A-Za-z.+:~-]{0,200}")


@dataclass(frozen=True, slots=True)
class PackageQuestion:
    """Packages to install and to remove, units to change; each sorted."""

    install: tuple[str, ...]
    remove: tuple[str, ...]
    units: tuple[str, ...]


def question(observed: HostObserved, watch: Watch) -> PackageQuestion | None:
    """What is not as wanted. Anything that could not be read is left out: it is not changed either."""
    install, remove, units = [], [], []
    for thing, state in sorted(watch.weighed):
        sort, _, name = thing.partition(":")
        if sort == "package":
            seen = observed.packages.get(name)
            if isinstance(seen, Absent) and state == "present":
                install.append(name)
            elif isinstance(seen, Seen) and state == "absent":
                remove.append(name)
        elif isinstance(unit := observed.fact(thing), Seen):
            have = unit.value if isinstance(unit.value, dict) else {}
            if (have.get("enabled"), have.get("active")) != (state, state == "enabled"):
                units.append(name)
    return PackageQuestion(tuple(install), tuple(remove), tuple(units)) if install or remove or units else None


def read_weighed(answer: dict[str, Any], asked: PackageQuestion) -> Weighed:
    """The host's answer, checked: names, versions and properties only, all of them bounded."""
    try:
        flags = {
            shown(str(name), 120): tuple(flag for flag in FLAGS if flag in listed)
            for name, listed in list(answer["flags"].items())[:MAX_MOVES]
        }
        return Weighed(
            install=_moves(answer["install"]),
            remove=_moves(answer["remove"]),
            unavailable=tuple(name for name in asked.install if name in answer["unavailable"]),
            flags=flags,
            units={name: _properties(answer["units"][name]) for name in asked.units},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Garbled(f"the host's answer about packages and units is garbled ({shown(str(error), 80)})") from None


def _moves(told: dict[str, Any]) -> Observed[tuple[PackageMove, ...]]:
    if "unknown" in told:
        return Unknown(shown(str(told["unknown"]), 300))
    moves = []
    for name, version, old in told["moves"]:
        if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version) and _VERSION.fullmatch(old)):
            raise ValueError("a package's name or version")
        moves.append(PackageMove(name, version, old))
    return Seen(tuple(moves))


def _properties(told: dict[str, Any]) -> dict[str, str]:
    known = {*UNIT_PROPERTIES, *(f"[Install] {key}" for key in INSTALL_KEYS)}
    return {key: shown(str(value), 8000) for key, value in told.items() if key in known}
