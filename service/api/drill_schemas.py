"""What the API answers and takes about rollbacks: latches that hold, drills, quarantines that are lifted."""

from datetime import datetime

from pydantic import Field

from service.api.schemas import Answer, Asked
from service.api.values import HostName, Reason
from service.model.runs import DrillState


class Latch(Answer):
    """A desired state that was rolled back and is not tried again on its own."""

    id: int
    host: str
    desired_digest: str
    apply_id: str
    since: datetime
    cause: str = Field(description="why it was rolled back, as a fixed word")
    error: str = Field(description="why it was rolled back, in words")


class Latches(Answer):
    """The latches that hold."""

    items: list[Latch]


class Proof(Answer):
    """One thing that a drill had to prove."""

    name: str
    ok: bool
    told: str


class Drill(Answer):
    """A rollback that was let happen on purpose. Passed: every proof held."""

    id: str
    host: str
    state: DrillState
    requested_by: str
    requested_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    error: str = Field(description="what was missing")
    reboot: bool = Field(description="the host reboots, and the boot rolls the change back")
    proofs: list[Proof]


class Cleared(Answer):
    """How many latches were cleared."""

    cleared: int


class DrillAsked(Asked):
    """The host that has to prove that it can roll back. A reboot interrupts its guests: `confirm` names it again."""

    host: HostName
    reboot: bool = Field(default=False, description="reboot the host, and prove that it comes back as it was")
    confirm: str = Field(default="", max_length=253, description="with `reboot`: the name of the host once more")


class LatchClearAsked(Asked):
    """Why it may be tried again."""

    reason: Reason


class ReleaseAsked(Asked):
    """Why the quarantine may be lifted: what was found on the host, and done."""

    reason: Reason
