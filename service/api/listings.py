"""The query parameters of a list, made of what the list is declared to take (`service/model/listings.py`)."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from inspect import Parameter, Signature
from ipaddress import ip_address
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Query

from service.api.problem import RequestRefused
from service.api.values import MAX_ID, CommitId, Cursor, HostName, Ip, Limit, Mac, SafeStr, Time, read_cursor
from service.model.listings import (
    ApplyListing,
    AuditListing,
    DeliveryListing,
    DriftListing,
    DrillListing,
    EventListing,
    HostListing,
    LeaseHistoryListing,
    LeaseListing,
    Listing,
    RevisionListing,
    RolloutHostListing,
    RolloutListing,
    SiteListing,
    SuspensionListing,
    filters_of,
)

L = TypeVar("L", bound=Listing)
FORMS: dict[Any, Any] = {
    "host": HostName | None, "text": SafeStr, "mac": Mac | None, "ip": Ip | None, "commit": CommitId | None,
    "id": int, "flag": bool, "either": bool | None, "time": Time | None,
}  # fmt: skip
"""How a request may say each form of a filter; where None is taken, that is not to say it."""


def listing(kind: type[L], *, but: Collection[str] = (), is_page: bool = True) -> Callable[..., Awaitable[L]]:
    """What reads the parameters of a list from a request, without those that are elsewhere (`but`). `is_page`: with
    `limit` and `cursor`."""
    filters = {one.name: one for one in filters_of(kind) if one.name not in but}

    async def read(**given: Any) -> L:
        page: dict[str, Any] = {}
        if is_page:
            sort = given["sort"] or ""
            page = {"limit": given["limit"], "start": read_cursor(given["cursor"], kind.key, sort), "sort": sort}
        said = {name: given[name] for name in filters if given[name] is not None}
        if "ip" in said:
            said["ip"] = canonical(said["ip"])
        return kind(**page, **said)

    made = [*_of_page(kind)] if is_page else []
    made += [_parameter(name, *_said(one.metadata, one.default)) for name, one in filters.items()]
    read.__signature__ = Signature(made, return_annotation=kind)  # type: ignore[attr-defined]
    return read


def _of_page(kind: type[Listing]) -> Iterator[Parameter]:
    """What every list takes."""
    yield _parameter("limit", Limit, 50)
    yield _parameter("cursor", Cursor, "")
    ways, own = (kind.sorts_by, f"-{kind.sorts_by}"), f"{'-' * kind.newest_first}{kind.sorts_by}"
    about = Query(description=f"The order, with - the other way round. Without it: {own}")
    yield _parameter("sort", Annotated[Literal[ways] | None, about], None)


def _said(metadata: Any, default: Any) -> tuple[Any, Any]:
    """The annotation and the default of a parameter."""
    form = metadata["form"]
    least, most = (0, MAX_ID) if form == "id" else (None, None)
    about = Query(description=metadata["says"] or None, ge=least, le=most)
    kind = FORMS[form] if isinstance(form, str) else form | None
    may_be_left_out = default == "" and form != "text"
    return Annotated[kind, about], None if may_be_left_out else default


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def canonical(ip: str) -> str:
    """An address as the database has it. 422 for what is none."""
    try:
        return str(ip_address(ip))
    except ValueError:
        raise RequestRefused(422, "ip is not an address") from None


Hosts = Annotated[HostListing, Depends(listing(HostListing))]
Drift = Annotated[DriftListing, Depends(listing(DriftListing))]
DriftOfHost = Annotated[DriftListing, Depends(listing(DriftListing, but=("host",)))]
Applies = Annotated[ApplyListing, Depends(listing(ApplyListing))]
Drills = Annotated[DrillListing, Depends(listing(DrillListing))]
Rollouts = Annotated[RolloutListing, Depends(listing(RolloutListing))]
RolloutHosts = Annotated[RolloutHostListing, Depends(listing(RolloutHostListing, but=("rollout_id",)))]
Revisions = Annotated[RevisionListing, Depends(listing(RevisionListing))]
Events = Annotated[EventListing, Depends(listing(EventListing))]
_OF_PAGES = ("after", "newest", "since", "until")
Followed = Annotated[EventListing, Depends(listing(EventListing, but=_OF_PAGES, is_page=False))]
"""Those of a stream, which has a beginning of its own."""
Leases = Annotated[LeaseListing, Depends(listing(LeaseListing))]
LeaseHistory = Annotated[LeaseHistoryListing, Depends(listing(LeaseHistoryListing))]
Sites = Annotated[SiteListing, Depends(listing(SiteListing))]
Audit = Annotated[AuditListing, Depends(listing(AuditListing))]
Deliveries = Annotated[DeliveryListing, Depends(listing(DeliveryListing))]
Suspensions = Annotated[SuspensionListing, Depends(listing(SuspensionListing))]
