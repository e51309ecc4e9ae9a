"""`state.json`: what was tried and heard, written before each step that an authority counts.

An attempt is written as open before it is made, and closed afterwards. One that stayed open, because the guest died,
counts as a failure. `permits.json` is written by the service's permits alone, so that a permit never waits for a run.
"""

from __future__ import annotations

from typing import Optional, Sequence

from .due import DAY_S, EQUAL_ORDERS_S, HOUR_S, Ari, Past, retry_at, within
from .durable import Json, locked, read_json, write_json
from .errors import Trouble
from .settings import Wanted
from .world import World

KEPT_ATTEMPTS_S = DAY_S
WHY_CHARS = 1000


class Record:
    """All of `state.json`; each method that changes it writes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        try:
            found = read_json(world.kept("state.json"))
        except ValueError as error:
            raise Trouble(
                f"{world.kept('state.json')} is damaged: {error}. No order is made, because orders of the past are not"
                " known. Fix: restore the file, or move it away if no certificate was ordered in the last 7 days"
            ) from error
        self.all: Json = found or {"version": 1, "attempts": [], "orders": [], "certificates": {}}

    def write(self) -> None:
        """Write it, without what is too old to count."""
        now = self.world.now()
        self.all["attempts"] = [each for each in self.all["attempts"] if abs(now - each["at"]) < KEPT_ATTEMPTS_S]
        self.all["orders"] = [each for each in self.all["orders"] if abs(now - each["at"]) < EQUAL_ORDERS_S]
        write_json(self.world.kept("state.json"), self.all)

    def of(self, name: str) -> Json:
        """What is known about one certificate; a value to change, then `write`."""
        return self.all["certificates"].setdefault(name, {"in_a_row": 0})

    def begin(self, wanted: Wanted, chance: float) -> Json:
        """Count an attempt, before it is made."""
        now, known = self.world.now(), self.of(wanted.name)
        attempt = {"at": now, "names": list(wanted.names)}
        self.all["attempts"].append(attempt)
        known["in_a_row"] += 1
        known["not_before"] = retry_at(now, known["in_a_row"], None, chance)
        known["tried_at"] = now
        known["under_way"] = True
        self.write()
        return attempt

    def succeeded(self, wanted: Wanted, attempt: Json, *, issued: bool) -> None:
        """The attempt did not fail. Only a certificate that was issued ends a row of failures."""
        known = self.of(wanted.name)
        self.all["attempts"].remove(attempt)
        known["in_a_row"] = 0 if issued else known["in_a_row"] - 1
        known["not_before"] = None
        known.pop("under_way", None)
        self.write()

    def failed(self, wanted: Wanted, attempt: Json, event: Json, chance: float) -> None:
        """The attempt failed: why, and when the next one may come."""
        known = self.of(wanted.name)
        now, row, wait_s = self.world.now(), known["in_a_row"], event["retry_after_s"]
        known["not_before"] = retry_at(now, row, wait_s, chance, unsaid=event["type"] is None)
        known["told_to_wait"] = bool(event["retry_after_s"]) or str(event["type"]).endswith(":rateLimited")
        known["last_attempt"] = outcome(attempt["at"], "failed", event["stage"], event["type"], event["detail"])
        known.pop("under_way", None)
        self.write()

    def interrupted(self) -> None:
        """A run begins, and there is one at a time: what is still marked as under way died with the run before."""
        for known in self.all["certificates"].values():
            known.pop("under_way", None)

    def ordered(self, wanted: Wanted) -> None:
        """Count an order for exactly these names, before the certificate is requested to be made."""
        self.all["orders"].append({"at": self.world.now(), "key": wanted.key})
        self.write()

    def past(self, wanted: Wanted, permits: Json) -> Past:
        """What limits this certificate now."""
        permit = permits.get(wanted.name) or {}
        known = self.of(wanted.name)
        return Past(
            failures=[[each["at"] for each in self.all["attempts"] if name in each["names"]] for name in wanted.names],
            orders=[each["at"] for each in self.all["orders"] if each["key"] == wanted.key],
            in_a_row=known["in_a_row"],
            not_before=None if self.released(known, permit) else known.get("not_before"),
            permitted=bool(permit.get("ok")) and sorted(permit.get("names", ())) == sorted(wanted.names),
        )

    def released(self, known: Json, permit: Json) -> bool:
        """Did the preflight begin to pass after the last attempt? Then no back-off counts but the authority's."""
        return bool(
            permit.get("ok") and permit.get("since", 0) > known.get("tried_at", 0) and not known.get("told_to_wait")
        )

    def failures_in_the_hour(self, wanted: Wanted) -> int:
        """Of the name that failed most often; the attempt that is under way has not failed."""
        now, under_way = self.world.now(), "under_way" in self.of(wanted.name)
        return max(len(within(times, now, HOUR_S)) for times in self.past(wanted, {}).failures) - under_way

    def ari(self, name: str) -> Optional[Ari]:
        """What the authority last said about this certificate's renewal."""
        found = self.of(name).get("ari")
        return Ari(**found) if found else None


def outcome(at: float, word: str, stage: str, kind: Optional[str], detail: Optional[str]) -> Json:
    """`last_attempt` of the status."""
    return {"at": int(at), "outcome": word, "stage": stage, "type": kind, "detail": detail}


def permits(world: World) -> Json:
    """{name: {"ok", "why", "names", "since"}}; a damaged file is none, and so are names that it does not have."""
    try:
        found = read_json(world.kept("permits.json"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def permit(world: World, wanted: Sequence[Wanted], given: Json) -> None:
    """Keep what the service's preflight found: {name: {"ok": true}} or {name: {"ok": false, "why": "sentence"}}.

    A permit is for the names that the certificate has now. Trouble when the document is another one.
    """
    if not isinstance(given, dict) or not all(isinstance(each, dict) for each in given.values()):
        raise Trouble("permits are a JSON object of objects by name")
    with locked(world.kept("permits.lock"), 20) as free:
        if not free:
            raise Trouble("another process has held the permits for more than 20 s. Fix: try again")
        kept = permits(world)
        for each in wanted:
            new, old = given.get(each.name), kept.get(each.name) or {}
            if new is None:
                continue
            ok, names = new.get("ok") is True, sorted(each.names)
            since = old.get("since") if old.get("ok") and ok and old.get("names") == names else world.now()
            why = None if ok else str(new.get("why") or "the preflight gave no reason")[:WHY_CHARS]
            kept[each.name] = {"ok": ok, "why": why, "names": names, "since": since}
        names_now = {each.name for each in wanted}
        write_json(world.kept("permits.json"), {name: each for name, each in kept.items() if name in names_now})
