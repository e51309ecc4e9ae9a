"""Which CA may issue for a name, by CAA records (RFC 8659). Pure: who looks them up is another room's matter.

forbidden(records, authority, name=…) -> str     why this CA may not issue for the name, with the fix; "" = it may
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.model.sites.wanted import Authority
from service.model.trees import shown

CRITICAL = 128
"""RFC 8659, 4.1: a CA that does not know the tag must not issue."""
KNOWN_TAGS = ("issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone")


@dataclass(frozen=True, slots=True)
class CaaRecord:
    """One record of the set that counts for a name; `value` is hostile text."""

    flags: int
    tag: str
    value: str


def forbidden(records: Sequence[CaaRecord], authority: Authority, *, name: str, found_at: str) -> str:
    """`found_at` is the name at which the set was found: the name itself, or one above it.

    A CA whose CAA name is unknown is forbidden only where nobody may issue.
    """
    unknown = [one for one in records if one.flags & CRITICAL and one.tag.lower() not in KNOWN_TAGS]
    if unknown:
        return (
            f"CAA records of {found_at} have the critical tag {shown(unknown[0].tag, 30)}, which no CA may ignore, so "
            f"none issues a certificate for {name}. Fix: remove that record, or its critical flag."
        )
    tag = _tag_that_counts(records, name)
    if not tag:
        return ""
    allowed = [_issuer(one.value) for one in records if one.tag.lower() == tag]
    if not any(issuer for issuer, _ in allowed):
        return f"CAA records of {found_at} let no CA issue a certificate for {name}. {_fix(authority, found_at, tag)}"
    if not authority.names:
        return ""
    matching = [parameters for issuer, parameters in allowed if issuer in authority.names]
    if not matching:
        others = ", ".join(sorted({shown(issuer, 80) for issuer, _ in allowed if issuer})[:5])
        what = f"CAA records of {found_at} let only {others} issue certificates for {name}, not {authority.names[0]}."
        return f"{what} {_fix(authority, found_at, tag)}"
    if not any(_lets_challenge(parameters, authority.challenge) for parameters in matching):
        return (
            f"CAA records of {found_at} do not allow {authority.names[0]} the challenge {authority.challenge} for "
            f"{name}. Fix: add {authority.challenge} to `validationmethods` there."
        )
    return ""


def _tag_that_counts(records: Sequence[CaaRecord], name: str) -> str:
    """`issuewild` for a wildcard where there is one, else `issue`; "" where nothing restricts (RFC 8659, 4.2, 4.3)."""
    tags = {one.tag.lower() for one in records}
    if name.startswith("*.") and "issuewild" in tags:
        return "issuewild"
    return "issue" if "issue" in tags else ""


def _issuer(value: str) -> tuple[str, dict[str, str]]:
    """The issuer's name and its parameters: `ca.example; validationmethods=http-01` (RFC 8659, 4.2)."""
    name, *rest = value.split(";")
    parameters = (part.partition("=") for part in rest)
    return name.strip(" \t").lower().rstrip("."), {key.strip().lower(): text.strip() for key, _, text in parameters}


def _lets_challenge(parameters: dict[str, str], challenge: str) -> bool:
    """RFC 8657, 4: a list of methods, if there is one, has to have ours."""
    methods = parameters.get("validationmethods")
    return methods is None or challenge in [one.strip() for one in methods.split(",")]


def _fix(authority: Authority, found_at: str, tag: str) -> str:
    if not authority.names:
        return f'Fix: remove the record `{found_at}. CAA 0 {tag} ";"`.'
    return f'Fix: add the record `{found_at}. CAA 0 {tag} "{authority.names[0]}"`.'
