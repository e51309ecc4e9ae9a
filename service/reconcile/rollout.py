"""How a rollout moves on, and whether one host may be begun in it. Pure: a function of its numbers and the time.

moved_on(rollout, now) -> Rollout         its wave and state by what has become of its hosts
why_waits(rollout, …) -> str              why this host is not begun now; empty: it may be
free_places(rollout, …) -> int            how many hosts more may be begun now
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from service.model.rollouts import Member, Rollout

MOST_NAMED = 5


def moved_on(rollout: Rollout, now: datetime) -> Rollout:
    """A rollout halts once too many of its hosts failed, or all of the first. The next wave begins once every host of
    those before has ended, can be reached, and `soak` has passed. It ends once no host is left but those that are set
    aside."""
    if rollout.state != "running":
        return rollout
    failures = rollout.failed - rollout.forgiven
    if rollout.policy.max_failures and failures >= rollout.policy.max_failures:
        what = "host has" if failures == 1 else "hosts have"
        return replace(rollout, state="halted", by="", why=f"{failures} {what} failed in wave {rollout.wave}")
    if not (rollout.pending or rollout.applying):
        return replace(rollout, state="done", ended_at=now)
    if rollout.pending == rollout.aside and not rollout.applying:
        return replace(rollout, state="done", ended_at=now, by="", why=f"set aside: {_few(rollout.set_aside)}")
    while rollout.wave < rollout.waves and _is_passed(rollout) and is_soaked(rollout, now):
        rollout = replace(rollout, wave=rollout.wave + 1)
    return rollout


def _few(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _is_passed(rollout: Rollout) -> bool:
    """Whether all hosts of the waves so far have ended well enough for the next one: at least one has what it should
    have."""
    enough = rollout.begun >= rollout.policy.hosts_until(rollout.wave - 1, rollout.hosts)
    return enough and rollout.done > 0 and not rollout.applying and not rollout.away


def is_soaked(rollout: Rollout, now: datetime) -> bool:
    """Whether `soak` has passed since a host of it ended last."""
    return rollout.moved_at is None or now >= rollout.moved_at + timedelta(seconds=rollout.policy.soak_s)


def why_waits(
    rollout: Rollout, member: Member, now: datetime, *, unavailable: int, before: Sequence[str] = (), out: int = 0
) -> str:
    """Why `member` is not begun now, for people; empty where it may be. `unavailable` are hosts in a change now, or
    away after one, whatever rollout it was of. `out` are other hosts of this one that are suspended or quarantined:
    they count for `max_unavailable`, and the last ones do not wait for them. `before` are hosts
    that it depends on and that have not ended well."""
    name = f"rollout {rollout.id}"
    if rollout.state == "waiting":
        return f"{name} waits for an approval: {rollout.why}. Fix: `passerelle rollout resume {rollout.id}`"
    if rollout.state == "halted":
        return f"{name} is halted: {rollout.why}. Fix: correct it in Git, or `passerelle rollout resume {rollout.id}`"
    if rollout.state == "aborted" or member.state == "aborted":
        return f"{name} was aborted: {rollout.why or 'the same was not wanted before'}"
    if rollout.state == "superseded":
        return "a newer revision is in force"
    if before:
        return f"{name}: the host waits for {before[0]}, which it depends on"
    if member.state == "applying":
        return ""
    if rollout.last_applying:
        return f"{name}: a host is changed alone now"
    if member.is_last:
        return _why_last_waits(rollout, now, unavailable)
    if member.state == "pending" and _room(rollout, member.host) <= 0:
        kept = sorted(rollout.held - {member.host})
        again = f". The change of {_few(kept)} was interrupted and is tried again first" if kept else ""
        return f"{name}: the host waits for wave {min(rollout.wave + 1, rollout.waves)} of {rollout.waves}{again}"
    most = rollout.policy.max_unavailable
    if most is None or unavailable + out < most.of(rollout.hosts):
        return ""
    if out:
        why = f"{unavailable + out} hosts are in a change, away after it, suspended or quarantined"
        return f"{name}: {why}; `max_unavailable` is {most}"
    return f"{name}: {unavailable} hosts are in a change, or away after it; `max_unavailable` is {most}"


def _why_last_waits(rollout: Rollout, now: datetime, unavailable: int) -> str:
    """Why a host that comes last and alone waits. Hosts that cannot be reached hold it up only if no other host has
    shown that the revision is good."""
    others = rollout.hosts > 1 and not rollout.done
    if rollout.waiting_others or others or unavailable or not is_soaked(rollout, now):
        return f"rollout {rollout.id}: the host comes last, after all others, and alone"
    return ""


def _room(rollout: Rollout, host: str = "") -> int:
    """How many places are left for `host` and others that keep none."""
    kept = len(rollout.held - {host})
    return rollout.policy.hosts_until(rollout.wave - 1, rollout.hosts) - rollout.begun - kept


def free_places(rollout: Rollout, unavailable: int) -> int:
    """How many hosts could be begun now, besides those that come last. So many `unavailable` ones count for
    `max_unavailable`."""
    if rollout.state != "running" or rollout.last_applying:
        return 0
    room, most = _room(rollout) + len(rollout.held), rollout.policy.max_unavailable
    return max(0, room if most is None else min(room, most.of(rollout.hosts) - unavailable))
