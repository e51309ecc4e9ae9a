"""`certificates.json`: what the host wants of this guest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urlsplit

from .durable import Json, read_json
from .errors import Trouble

NAME = re.compile(r"(?=.{1,253}$)(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A name as a certificate has it (RFC 1123, lower case; internationalised names as `xn--…`)."""
MOST_NAMES = 100
LETSENCRYPT_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


@dataclass(frozen=True)
class Acme:
    """The certificate authority, and how names are proved to it: by http-01, or by dns-01 with a hook."""

    directory: str
    staging: Optional[str]
    ca_file: Optional[str]
    email: Optional[str]
    profile: Optional[str]
    terms_agreed: bool
    dns_hook: Optional[str]

    @property
    def issues(self) -> str:
        """The kind of its certificates: nobody trusts those of a staging directory."""
        return "staging" if self.directory in (LETSENCRYPT_STAGING, self.staging) else "issued"


@dataclass(frozen=True)
class Wanted:
    """One certificate: the name of its files, and the names in it."""

    name: str
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """The exact set of names, in any order: what a certificate authority counts orders by."""
        return " ".join(sorted(self.names))


@dataclass(frozen=True)
class Settings:
    """All of `certificates.json`."""

    acme: Acme
    certificates: tuple[Wanted, ...]


def read(path: str) -> Settings:
    """The settings. Trouble when the file is not there or is not as expected."""
    try:
        document = read_json(path)
    except (OSError, ValueError) as error:
        raise Trouble(f"{path} cannot be read: {error}") from error
    if document is None:
        raise Trouble(f"{path} does not exist. Fix: apply the host's `web` section")
    try:
        return parsed(document)
    except (KeyError, TypeError, ValueError) as error:
        raise Trouble(f"{path} is not as expected: {error}. Fix: upgrade passerelle, then apply again") from error


def parsed(document: Json) -> Settings:
    """The settings of a document; KeyError, TypeError or ValueError when it is another one."""
    if document["version"] != 1:
        raise ValueError(f"version {document['version']!r}, expected 1")
    wanted = tuple(_wanted(each) for each in document["certificates"])
    if len({each.name for each in wanted}) < len(wanted):
        raise ValueError("two certificates of one name")
    return Settings(_acme(document["acme"]), wanted)


def _wanted(each: Json) -> Wanted:
    names = tuple(each["names"])
    for name in (each["name"], *names):
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a host's name")
    if not 0 < len(names) <= MOST_NAMES or len(set(names)) < len(names):
        raise ValueError(f"{each['name']} needs 1 to {MOST_NAMES} different names")
    return Wanted(each["name"], names)


def _acme(value: dict[str, Any]) -> Acme:
    challenge = value["challenge"]
    hook = None if challenge == "http-01" else challenge["dns-01"]
    acme = Acme(
        directory=value["directory"],
        staging=value.get("staging"),
        ca_file=value.get("ca_file"),
        email=value.get("email"),
        profile=value.get("profile"),
        terms_agreed=value["terms_agreed"] is True,
        dns_hook=hook,
    )
    for text in (acme.directory, acme.staging, acme.ca_file, acme.email, acme.profile, hook):
        if text is not None and (not isinstance(text, str) or not text.isprintable()):
            raise ValueError(f"{text!r} is not a line of text")
    for url in filter(None, (acme.directory, acme.staging)):
        if urlsplit(url).scheme != "https" or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is not an https URL")
    for path in filter(None, (acme.ca_file, hook)):
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is not an absolute path")
    return acme
