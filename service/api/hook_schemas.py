"""Answers about webhooks."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.api.schemas import Answer
from service.model.access import DeliveryOutcome, ReceiverType


class Delivered(Answer):
    """A delivery was taken. `accepted`: the repository is looked at soon. Otherwise nothing follows from it."""

    status: Literal["accepted", "duplicate", "ping", "other-event", "other-branch"]
    message: str


class Receiver(Answer):
    """A receiver of webhooks, without its secrets. Without `events` and `branches` it obeys pushes to the source's
    branch. The secret before the last rotation is good until `old_until`."""

    name: str
    type: ReceiverType
    created_at: datetime
    events: list[str]
    branches: list[str]
    suspended: str = Field(description="The reason why it takes nothing now; empty where it does")
    suspended_by: str
    old_until: datetime | None


class Delivery(Answer):
    """A call to a receiver. `event`, `branch` and `commit` are as the forge reported them."""

    id: int
    receiver: str
    delivery: str = Field(description="The forge's own id of it")
    at: datetime
    outcome: DeliveryOutcome
    event: str
    branch: str
    commit: str
    message: str
    repeats: int = Field(description="How often it came again")
    last_at: datetime
