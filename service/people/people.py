"""People as the API knows them: the issuer's word for who it is, and the operator's for what the groups may do."""

from collections.abc import Sequence
from datetime import datetime

from service.clock import Clock
from service.errors import InputError
from service.model.access import Principal, Scope
from service.model.people import Grant, principal_of
from service.people.issuer import Issuer
from service.people.keys import IssuerKeys


class People:
    """Those of one issuer."""

    def __init__(self, issuer: Issuer, grants: Sequence[Grant]) -> None:
        self._issuer = issuer
        self._grants = tuple(grants)

    def who(self, presented: bytes, needed: Scope, at: datetime, *, may_read: bool = True) -> Principal:
        """Who asks, for a request that needs this scope. TokenRefused, IssuerAway. Blocks where the issuer's keys have
        to be read, or raises KeysDue where it may not read them."""
        return principal_of(self._issuer.person_of(presented, at=at, may_read=may_read), self._grants, needed)


def people_at(issuer: str, audience: str, grants: Sequence[Grant], groups_claim: str, clock: Clock) -> People | None:
    """Those of an issuer, None where none is set. InputError for what cannot be used. Nothing is contacted."""
    if not issuer:
        return None
    if not audience or not grants:
        missing = "PASSERELLE_OIDC_AUDIENCE" if not audience else "PASSERELLE_OIDC_GRANTS"
        raise InputError(f"PASSERELLE_OIDC_ISSUER is set, and {missing} is not", hint="see deploy/docs/sign-in.md")
    return People(Issuer(issuer, audience, IssuerKeys(issuer, clock), groups_claim=groups_claim), grants)
