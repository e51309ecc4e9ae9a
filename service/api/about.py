"""What this service is: its version, and each package that it is made of, with version and licence."""

import platform
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from fastapi import FastAPI
from pydantic import Field

from service import __version__
from service.api.parts import Parts
from service.api.schemas import Answer
from service.api.values import Reader

PREFIX = "/api/v1"
OWN = "passerelle"
MOST_LETTERS = 100
"""A License that is longer is the text of one."""
OWN_EXTRAS = ("apprise", "oidc")
"""Those that people install."""
_NAME = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_CLASS = "License :: OSI Approved :: "


class Package(Answer):
    """A package of Python that is installed because passerelle needs it."""

    name: str
    version: str
    licence: str = Field(description="as the package says it, SPDX where it does; empty where it says nothing")


class About(Answer):
    """The program and what it is made of."""

    version: str
    licence: str
    python: str
    packages: list[Package] = Field(description="by name. Empty where the program runs without being installed")


def add_routes(app: FastAPI, _parts: Parts) -> None:
    """`/about`."""

    @app.get(
        f"{PREFIX}/about",
        operation_id="get_about",
        summary="The version, and the licences of everything that is shipped",
        tags=["health"],
    )
    async def get_about(who: Reader) -> About:
        return About(
            version=__version__, licence="Apache-2.0", python=platform.python_version(), packages=list(packages())
        )


@cache
def packages() -> tuple[Package, ...]:
    """What is installed of all that passerelle needs, and what that needs. Read once: the files do not change."""
    found: dict[str, Package] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(OWN, extra) for extra in ("", *OWN_EXTRAS)]
    while waiting:
        name, extra = one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            known = distribution(name)
        except PackageNotFoundError:  # not for this system, or an extra that is not there
            continue
        found[name] = Package(name=name, version=known.version, licence=licence_of(known))
        waiting += needed_by(known, extra)
    found.pop(OWN, None)
    return tuple(found[name] for name in sorted(found))


def needed_by(known: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """What a package requires for this extra, each with an extra of its own; empty: for itself (PEP 508)."""
    for requirement in known.requires or ():
        said, of_extra = _NAME.match(requirement), _EXTRA.search(requirement)
        if said is not None and (of_extra[1] if of_extra else "") == extra:
            name = re.sub(r"[-_.]+", "-", said[1]).lower()  # PEP 503
            yield from ((name, wanted.strip()) for wanted in ("", *(said[2] or "").split(",")))


def licence_of(known: Distribution) -> str:
    """License-Expression (PEP 639), else the first line of License, else the classifiers."""
    for name in ("License-Expression", "License"):
        said = next(iter(known.metadata.get_all(name) or ()), "").strip().partition("\n")[0]
        if said and len(said) <= MOST_LETTERS:
            return said
    classes = [one for one in known.metadata.get_all("Classifier") or () if one.startswith(_CLASS)]
    return ", ".join(one.removeprefix(_CLASS) for one in classes)
