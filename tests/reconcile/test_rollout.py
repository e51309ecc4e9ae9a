"""Laws of rollouts: no more hosts at once than a wave and `max_unavailable` allow, one host for a poisoned commit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from service.model.rollouts import Member, Policy, Rollout, Share
from service.reconcile.rollout import free_places, moved_on, why_waits
from tests.reconcile.clocks import START

WAVES = st.lists(
    st.one_of(st.integers(1, 9).map(Share), st.integers(1, 100).map(lambda n: Share(n, is_percent=True))),
    min_size=1,
    max_size=4,
).map(tuple)


class Fleet:
    """Hosts of one rollout, as rows: what the history counts is counted here one by one."""

    def __init__(self, policy: Policy, members: list[Member], away: set[str]) -> None:
        self.members = {one.host: one for one in members}
        self.away = away
        self.now = START
        self.rollout = Rollout("01R", "c" * 40, "running", policy, created_at=START)

    def counted(self) -> Rollout:
        rows = list(self.members.values())
        of: dict[str, Any] = {
            state: sum(one.state == state for one in rows) for state in ("pending", "applying", "done", "failed")
        }
        begun = [one for one in rows if one.state in ("applying", "done", "failed")]
        ended = [one.ended_at for one in rows if one.ended_at is not None]
        others = [one for one in rows if not one.is_last]
        return replace(
            self.rollout, hosts=len(rows), **of, away=sum(one.host in self.away for one in begun),
            waiting_others=sum(
                one.state == "applying" or (one.state == "pending" and one.host not in self.away) for one in others
            ),
            last_applying=sum(one.is_last and one.state == "applying" for one in rows),
            moved_at=max(ended, default=None),
        )  # fmt: skip

    def move(self) -> Rollout:
        moved = moved_on(self.counted(), self.now)
        self.rollout = replace(self.rollout, state=moved.state, wave=moved.wave, why=moved.why)
        return self.counted()

    def unavailable(self, host: str) -> int:
        return sum(
            one.state == "applying" or (one.state in ("done", "failed") and one.host in self.away)
            for one in self.members.values()
            if one.host != host
        )

    def begin(self, host: str) -> bool:
        """As a round of the host does, where it can be reached."""
        own = self.members[host]
        if host in self.away or own.state != "pending":
            return False
        before = [one for one in own.needs if self.members[one].state != "done"]
        if why_waits(self.move(), own, self.now, unavailable=self.unavailable(host), before=before):
            return False
        self.members[host] = replace(own, state="applying", wave=self.rollout.wave)
        return True

    def end(self, host: str, *, well: bool) -> None:
        own = self.members[host]
        self.members[host] = replace(own, state="done" if well else "failed", ended_at=self.now)
        self.move()


def fleet_of(draw: Any) -> Fleet:
    """A fleet with a policy. Hosts wait only for hosts before them."""
    count = draw(st.integers(1, 24))
    names = [f"pve{number}" for number in range(count)]
    lasts = draw(st.sets(st.sampled_from(names), max_size=2))
    members = []
    for number, name in enumerate(names):
        needs = draw(st.sets(st.sampled_from(names[:number]), max_size=2)) - lasts if number else set()
        members.append(Member(name, "d", needs=tuple(needs), is_last=name in lasts))
    policy = Policy(
        draw(WAVES), draw(st.sampled_from([1, 60])), draw(st.integers(1, 3)),
        draw(st.one_of(st.none(), st.integers(1, 5).map(Share))), tuple(lasts),
    )  # fmt: skip
    return Fleet(policy, members, draw(st.sets(st.sampled_from(names), max_size=count // 3)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_more_hosts_are_in_a_change_than_waves_and_unavailable_ones_allow(data: st.DataObject) -> None:
    fleet = fleet_of(data.draw)
    policy, names = fleet.rollout.policy, sorted(fleet.members)
    for _ in range(data.draw(st.integers(5, 80))):
        match data.draw(st.sampled_from(["begin", "end", "wait", "fail"])):
            case "begin":
                host = data.draw(st.sampled_from(names))
                room = fleet.unavailable(host)
                if fleet.begin(host):
                    own, now = fleet.members[host], fleet.counted()
                    assert all(fleet.members[one].state == "done" for one in own.needs)
                    assert policy.max_unavailable is None or own.is_last or room < policy.max_unavailable.number
                    assert own.is_last or now.begun <= policy.hosts_until(now.wave - 1, now.hosts)
                    if own.is_last:
                        assert now.applying == 1
                        assert not now.waiting_others
            case "end" | "fail" as how:
                applying = [name for name in names if fleet.members[name].state == "applying"]
                if applying:
                    fleet.end(data.draw(st.sampled_from(applying)), well=how == "end")
            case _:
                fleet.now += timedelta(seconds=data.draw(st.sampled_from([0.5, 2, 61])))
        now = fleet.counted()
        assert free_places(now, fleet.unavailable("")) <= now.hosts - now.begun
        assert now.failed < policy.max_failures or fleet.rollout.state == "halted"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_commit_that_fails_everywhere_touches_one_host_where_the_first_wave_is_one(data: st.DataObject) -> None:
    fleet = fleet_of(data.draw)
    policy = replace(fleet.rollout.policy, waves=(Share(1), *fleet.rollout.policy.waves))
    fleet.rollout = replace(fleet.rollout, policy=policy)
    for _ in range(60):
        host = data.draw(st.sampled_from(sorted(fleet.members)))
        if fleet.begin(host):
            fleet.end(host, well=False)
        fleet.now += timedelta(seconds=data.draw(st.sampled_from([1, 3600])))
        fleet.away = data.draw(st.sets(st.sampled_from(sorted(fleet.members))))
    assert fleet.counted().failed <= 1


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_host_that_can_be_reached_has_it_in_the_end(data: st.DataObject) -> None:
    fleet = fleet_of(data.draw)
    for one in fleet.members.values():  # what waits for a host that is away waits rightly
        if fleet.away.intersection(one.needs) or any(fleet.members[name].is_last for name in one.needs):
            fleet.members[one.host] = replace(one, needs=())
    for _ in range(400):
        begun = [host for host in sorted(fleet.members) if fleet.begin(host)]
        for host in begun:
            fleet.end(host, well=True)
        fleet.now += timedelta(seconds=61)
    left = {name for name, one in fleet.members.items() if one.state != "done"}
    only_last = all(fleet.members[name].is_last for name in fleet.members.keys() - fleet.away)
    assert left <= fleet.away or only_last


def test_a_wave_waits_for_the_time_between_and_for_hosts_that_are_away() -> None:
    policy = Policy((Share(1), Share(50, is_percent=True)), soak_s=120, max_failures=1)
    fleet = Fleet(policy, [Member(f"pve{n}", "d") for n in range(4)], set())
    assert fleet.begin("pve2")
    assert not fleet.begin("pve1")
    fleet.end("pve2", well=True)
    assert not fleet.begin("pve1")
    fleet.now += timedelta(seconds=120)
    fleet.away = {"pve2"}
    assert not fleet.begin("pve1")
    fleet.away = set()
    assert fleet.begin("pve1")
    assert not fleet.begin("pve0")
    assert fleet.counted().wave == 2
