"""A played host's proxy: what its program says, how its sites answer, which permits it got."""

import json
from collections.abc import Mapping
from typing import Any

from service.clock import Clock
from service.model.states import Absent, Observed, Seen

Result = dict[str, Any]


def status_text(certificates: Mapping[str, Result], clock: Clock) -> Observed[bytes]:
    """The status that the program wrote, Absent before it says anything."""
    said = {"version": 1, "written_at": int(clock.now().timestamp()), "certificates": dict(certificates)}
    return Seen(json.dumps(said).encode()) if certificates else Absent()


def of_sites(name: str, permits: list[Result], given: Any) -> Result:
    """The verbs `answers` and `permit`."""
    if name == "permit":
        permits.append(given)
        return {"state": "permitted"}
    rows = [{"name": one["name"], "status": 200, "error": "", "certificate": ""} for one in given]
    return {"state": "answers", "answers": rows}
