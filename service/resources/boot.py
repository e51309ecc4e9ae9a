"""What the interfaces files say about the next boot, from an observation."""

from collections.abc import Sequence

from service.formats.interfaces import FILES, InterfacesConfig, load
from service.model.observed import HostObserved
from service.model.states import Seen, Unknown

IFUPDOWN2 = "ifupdown2"
FAILS_AT_BROADCAST = "3.0.0"
"""The version of ifupdown2 (Debian 12) that sets no address which has a `broadcast` line; later ones do."""


def interfaces_config(observed: HostObserved) -> Seen[InterfacesConfig] | Unknown:
    """The interfaces files as one configuration."""
    texts = texts_of(observed, FILES)
    if isinstance(texts, Unknown):
        return texts
    version = observed.packages.get(IFUPDOWN2)
    return Seen(load(texts, broadcast_fails=isinstance(version, Seen) and fails_at_broadcast(version.value)))


def fails_at_broadcast(version: str) -> bool:
    """Whether this version of ifupdown2 sets no address that has a `broadcast` line. Empty: not known, so no."""
    return version.partition("-")[0] == FAILS_AT_BROADCAST


def texts_of(
    observed: HostObserved, patterns: Sequence[str], passed_over: Sequence[str] = ()
) -> dict[str, bytes] | Unknown:
    """The observed files under some paths (`/*` takes a folder's files); one that could not be read spoils them all.

    `passed_over` are links to a file that is taken under its own name.
    """
    found: dict[str, bytes] = {}
    for pattern in patterns:
        others = observed.unlisted.get(f"file:{pattern[:-1]}", Unknown("was not looked at"))
        whole = others if pattern.endswith("/*") else observed.text(pattern)
        if isinstance(whole, Unknown):
            return Unknown(f"{pattern}: {whole.why}")
    for path, seen in observed.texts.items():
        if not any(path == p or (p.endswith("/*") and path.rsplit("/", 1)[0] == p[:-2]) for p in patterns):
            continue
        if isinstance(seen, Unknown) and path not in passed_over:
            return Unknown(f"{path}: {seen.why}")
        if isinstance(seen, Seen):
            found[path] = seen.value
    return found
