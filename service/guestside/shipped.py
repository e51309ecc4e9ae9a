"""What a guest gets of this folder: the program, its locked packages and its units.

    files() -> {"certs.py": …, "program/due.py": …, "requirements.txt": …, "units/passerelle-certs.timer": …}

The names are those below `/etc/passerelle` in the guest, which is `/etc/passerelle/guests/NAME` on the host.
"""

import functools
import importlib.resources
from collections.abc import Mapping
from types import MappingProxyType

ROOMS = "service.guestside"
NOT_SHIPPED = "shipped.py"
START = '''\
#!/usr/bin/python3
"""Certificates of this guest: see `python3 /etc/passerelle/certs.py --help`."""

import sys

sys.dont_write_bytecode = True  # this folder is read-only here

from program.main import main  # noqa: E402

sys.exit(main())
'''


@functools.cache
def files() -> Mapping[str, str]:
    """{name: text} of all files, as they are installed with the service."""
    folder = importlib.resources.files(ROOMS)
    found = {"certs.py": START, "requirements.txt": (folder / "requirements.txt").read_text(encoding="utf-8")}
    for each in folder.iterdir():
        if each.name.endswith(".py") and each.name != NOT_SHIPPED:
            found[f"program/{each.name}"] = each.read_text(encoding="utf-8")
    for each in (folder / "units").iterdir():
        found[f"units/{each.name}"] = each.read_text(encoding="utf-8")
    return MappingProxyType(dict(sorted(found.items())))
