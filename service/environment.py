"""The variables `PASSERELLE_*` as text: of this shell, and of the service's own file. `settings.py` checks them."""

import os
from collections.abc import Mapping
from pathlib import Path

from service.errors import InputError
from service.formats.environment_file import read

SERVICE_ENV = Path("/etc/passerelle/service.env")
"""`EnvironmentFile=` of deploy/systemd/passerelle.service."""
STATE_DIR = "/var/lib/passerelle-service"
"""The service's state folder, where nothing else is set."""
DATABASE_FILE = "passerelle.sqlite"
"""The database in the state folder, where it is not on a server."""
_PREFIX = "passerelle_"


def environment_file() -> Path:
    """The file with the service's settings: the one that the systemd unit reads, unless another is named."""
    return Path(os.environ.get("PASSERELLE_ENV_FILE") or SERVICE_ENV)


def read_environment_file(path: Path) -> Mapping[str, str]:
    """The variables that the file sets; none where there is no such file. InputError where it cannot be read."""
    try:
        return read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. It has the service's settings",
            hint="run this as root or as the service's user: sudo -u passerelle passerelle …",
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8", hint="systemd would not read it either") from None


def variables() -> dict[str, str]:
    """What this shell sets, by the setting's name: `state_dir` for PASSERELLE_STATE_DIR."""
    return _by_name(os.environ)


def variables_beside() -> dict[str, str]:
    """The same for commands next to the service: what this shell does not set comes from the service's own file.
    InputError where the file cannot be read."""
    return {**_by_name(read_environment_file(environment_file())), **variables()}


def _by_name(found: Mapping[str, str]) -> dict[str, str]:
    return {
        name.lower().removeprefix(_PREFIX): text for name, text in found.items() if name.lower().startswith(_PREFIX)
    }
