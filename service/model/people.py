"""People who sign in at an issuer of the operator's choice, and what their groups let them do.

    grants = parse_grants("admins=admin; ops=read,plan,apply@pve-*,gate1")
    principal_of(person, grants, needed="apply")       who asks, for a request that needs this scope

A grant is scopes on hosts. Several grants do not mix: `read` on all hosts and `apply` on one is not `apply` on all.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from service.errors import InputError, PasserelleError
from service.model.access import SCOPES, Principal, Scope, is_selector
from service.model.trees import quoted, shown


class TokenRefused(PasserelleError):  # noqa: N818 (what became of it)
    """The token of a person is not good here, and why."""


class IssuerAway(PasserelleError):  # noqa: N818 (a state, not a fault of ours)
    """The issuer could not be reached, or its answer could not be read."""


class KeysDue(PasserelleError):  # noqa: N818 (a state, not a fault of ours)
    """The keys of the issuer have to be read first, which may take long: call again where that disturbs nobody."""


EVERYONE = "*"
"""The group of all whom the issuer knows."""
MOST_GROUPS = 500


@dataclass(frozen=True, slots=True)
class Grant:
    """What a group may do, and on which hosts."""

    group: str
    scopes: frozenset[Scope]
    hosts: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token is about. `subject` is the issuer's own word for the person, and never given to another one; `name`
    is what the person is called now."""

    issuer: str
    subject: str
    name: str
    groups: frozenset[str]

    @property
    def id(self) -> str:
        """For the records: the same for one person at one issuer."""
        digest = hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).hexdigest()
        return f"oidc-{digest[:16]}"

    @property
    def words(self) -> str:
        """Who it is: name, subject and issuer, on one line."""
        where = self.issuer.removeprefix("https://").removeprefix("http://")
        return f"{shown(self.name, 60)} ({shown(self.subject, 60)} of {shown(where, 80)})"


def parse_grants(text: str) -> tuple[Grant, ...]:
    """Read `GROUP=SCOPE,…[@HOST,…]; …`. A group has no `;`. InputError names what cannot be read."""
    found = []
    for part in filter(None, map(str.strip, text.split(";"))):
        group, equals, rest = part.rpartition("=")
        said, _, of_hosts = rest.partition("@")
        scopes = {scope.strip() for scope in said.split(",")}
        hosts = tuple(host.strip() for host in of_hosts.split(",")) if "@" in rest else ("*",)
        if not equals or not group.strip():
            raise InputError(f"{quoted(part)} grants nothing", hint="write GROUP=SCOPE,SCOPE@HOST,HOST")
        if not said.strip():
            raise InputError(f"{quoted(part)} grants no scope", hint="write GROUP=SCOPE,SCOPE@HOST,HOST")
        if unknown := sorted(scopes - set(SCOPES)):
            raise InputError(f"{quoted(unknown[0])} is not a scope", hint=f"one of {', '.join(SCOPES)}")
        for host in hosts:
            if not is_selector(host):
                raise InputError(f"{quoted(host)} does not select hosts", hint="a name, with * and ?")
        found.append(Grant(group.strip(), frozenset(cast("set[Scope]", scopes)), hosts))
    return tuple(found)


def groups_of(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    """The groups in a claim: a list of words, or one word. `a.b` is the claim `b` in the object `a`, where no claim has
    that whole name. Anything of another shape is left out."""
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return frozenset(word for word in words[:MOST_GROUPS] if isinstance(word, str))


def principal_of(person: Person, grants: Sequence[Grant], needed: Scope) -> Principal:
    """Who asks, for a request that needs this scope: the hosts of all grants that have it, and the scopes that the
    person has on all of these hosts."""
    mine = [grant for grant in grants if grant.group in (EVERYONE, *person.groups)]

    def hosts_of(scope: Scope) -> tuple[str, ...]:
        having = [grant.hosts for grant in mine if scope in grant.scopes or "admin" in grant.scopes]
        return tuple(dict.fromkeys(host for hosts in having for host in hosts))

    hosts = hosts_of(needed)
    scopes = [
        scope for scope in SCOPES if hosts and Principal("", "", frozenset(), hosts_of(scope)).covers(hosts)
    ]  # fmt: skip
    every = tuple((tuple(scope for scope in SCOPES if scope in grant.scopes), grant.hosts) for grant in mine)
    return Principal(person.id, person.words, frozenset(scopes), hosts, every)
