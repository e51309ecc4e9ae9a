"""What the interfaces files say about the next boot, from an observation."""

from collections.abc import Iterator, Sequence

from service.formats.interfaces.at_boot import IfaceMeaning, meanings
from service.formats.interfaces.stanzas import MAIN_FILE, InterfacesConfig, load
from service.formats.up_lines import Effect
from service.model.observed import HostObserved
from service.model.states import Seen, Unknown

INTERFACES_FILES = (MAIN_FILE, "/etc/network/interfaces.d/*")


def interfaces_config(observed: HostObserved) -> Seen[InterfacesConfig] | Unknown:
    """The interfaces files as one configuration."""
    texts = texts_of(observed, INTERFACES_FILES)
    return texts if isinstance(texts, Unknown) else Seen(load(texts))


def boot_effects(config: InterfacesConfig) -> Iterator[tuple[Effect, str]]:
    """What the shell lines of all interfaces that the boot brings up do, in order, each with its `path:line`."""
    for meaning in at_boot(config):
        for line in meaning.up_lines:
            if line.at_boot:
                for effect in line.effects:
                    yield effect, f"{line.path}:{line.line}"


def at_boot(config: InterfacesConfig) -> list[IfaceMeaning]:
    """The interfaces that the boot brings up."""
    return [meaning for meaning in meanings(config).values() if meaning.at_boot]


def texts_of(observed: HostObserved, patterns: Sequence[str]) -> dict[str, bytes] | Unknown:
    """The observed files under some paths (`/*` takes a folder's files); one that could not be read spoils them all."""
    found: dict[str, bytes] = {}
    for pattern in patterns:
        if not pattern.endswith("/*") and isinstance(seen := observed.text(pattern), Unknown):
            return Unknown(f"{pattern}: {seen.why}")
    for path, seen in observed.texts.items():
        if not any(path == p or (p.endswith("/*") and path.rsplit("/", 1)[0] == p[:-2]) for p in patterns):
            continue
        if isinstance(seen, Unknown):
            return Unknown(f"{path}: {seen.why}")
        if isinstance(seen, Seen):
            found[path] = seen.value
    return found
