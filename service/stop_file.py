"""The stop file: while it is there, no apply begins on any host. It needs no Git, no network and no database.

stop_reason(folder) -> why nothing begins, empty where there is no such file
"""

from pathlib import Path

from service.model.trees import shown

NAME = "STOP"
"""In the service's state folder. Its text, if it has any, is the reason that people are shown."""
_MOST = 500


def stop_reason(folder: Path) -> str:
    """The sentence that says that the file is there. A folder that cannot be looked at stops applies, too, because
    unknown is not absent."""
    path = folder / NAME
    try:
        with path.open("rb") as file:
            said = shown(file.read(_MOST).decode("utf-8", "replace").strip(), _MOST)
    except FileNotFoundError:
        return ""
    except IsADirectoryError:
        said = ""
    except OSError as error:
        return f"no apply begins, because it is not known whether there is a stop file {path}: {error.strerror}"
    return f"no apply begins while the stop file {path} is there" + (f": {said}" if said else "")
