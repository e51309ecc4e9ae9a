"""What a spec wants, and making a host's plan away from the event loop: what a host says decides how long it takes."""

import asyncio
from collections.abc import Sequence

from service.kinds.desire import desire
from service.kinds.kind import Kind
from service.model.ceilings import Ceilings
from service.model.plans import Plan
from service.plan.make import Permission, make_plan
from service.reconcile.standing import Looked, Standing
from service.reconcile.watching import Wanted
from service.resources.desired import Desired, LastApplied
from service.spec.host import HostSpec
from service.work import PLAN_CPU_S, Effort, Work


class Planning:
    """Plans in `work`; TooMuch where that takes more than one host may have."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def plan(self, standing: Standing, looked: Looked) -> Plan:
        """The last plan where nothing has changed since it had nothing to do, else a new one."""
        plan = await asyncio.to_thread(standing.still, looked)
        return plan if plan is not None else await self.anew(looked)

    async def anew(self, looked: Looked, *, cpu_s: float = PLAN_CPU_S) -> Plan:
        """A new plan. It may take `cpu_s` seconds of CPU time."""
        desired, observed = looked.desired, looked.observed
        effort = Effort(f"planning {desired.host}", observed.size, cpu_s, "deep")
        return await self._work.run(
            effort, make_plan, desired, LastApplied.from_json(looked.base), observed,
            commit=looked.commit, permission=looked.permission,
        )  # fmt: skip


def wanted_of(spec: HostSpec, kinds: Sequence[Kind]) -> Desired:
    """The desired state of the spec, with values that are needed often: its digest, and what to look at."""
    desired = desire(spec, kinds)
    desired.digest, desired.watch  # noqa: B018 (both are kept)
    return desired


def permission_of(ceilings: Ceilings, host: str, wanted: Wanted) -> Permission:
    """What a plan of this host may do by this revision."""
    return Permission(
        management_change=host in wanted.introduced,
        may_open=ceilings.may_open,
        raises_wait=ceilings.raises_wait(host),
    )
