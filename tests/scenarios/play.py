"""Plays scenarios: `python -m tests.scenarios.play FILE…` ends with 1 and says where one was seen otherwise."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from service.errors import AuthFailed, Garbled, HostKeyChanged, InputError, Throttled, TooMuch, Unreachable
from service.model.listings import EventListing
from service.model.secret import Secret
from service.model.states import Json, Seen
from service.observe.hints import KINDS
from tests.laws.host import OF_LINK, printed
from tests.laws.specs import head
from tests.scenarios.comparing import compared, nth_compared
from tests.scenarios.play_pauses import PlaysPauses
from tests.scenarios.play_sites import PlaysSites
from tests.scenarios.play_views import SeesViews
from tests.scenarios.script import Line, lines_of
from tests.scenarios.stage import HOST, OBSERVE_S, OTHER, Stage

FOLDER = Path(__file__).parent


def head_of(host: str, sync: str) -> str:
    """The head of a host's file; each has an address of its own."""
    whole = head(sync).replace(HOST, host)
    return whole if host == HOST else whole.replace("  address: 198.51.100.11\n", "  address: 198.51.100.12\n")


BYSTANDER = head_of(OTHER, "observe")
"""A fleet without any host is refused."""
HINTED = {"file": "files", "unit": "units", "nft": "rules", "masquerade": "rules"}
"""The kind of a hint, by the type of a fact; the others are of the network."""
UNITS = {"s": 1, "m": 60, "h": 3600}
NAMED = {"step": "fails_at", "probe": "silent"}
"""Faults that have a name of something, and where the host keeps it."""
TROUBLES: dict[str, Exception] = {
    "unreachable": Unreachable("no route"),
    "auth": AuthFailed("the key is refused"),
    "host-key": HostKeyChanged("another key is shown"),
    "throttled": Throttled("refused for a while"),
    "garbled": Garbled("that is not an answer"),
    "too-much": TooMuch("too much to read"),
    "bug": ZeroDivisionError("a bug of ours"),
}


class Otherwise(AssertionError):  # noqa: N818 (what a scenario says was not seen)
    """Something else was seen."""


class Play(PlaysSites, PlaysPauses, SeesViews):
    """One scenario on its stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._marked = ""
        self._agreed = ""
        self._specs: dict[str, str] = {}
        self._files = {"fleet.yaml": "passerelle: 1\n"}
        self._words: dict[str, Callable[[Line], Awaitable[None]]] = {
            name: getattr(self, f"_{name}")
            for name in (
                "commit", "wait", "approve", "apply", "release", "retry", "drill", "look", "host", "fault", "boot",
                "restart", "mark", "shared", "rename", "forget", "rewrite", "rewind", "accept", "guest", "internet",
                "hints", "suspend", "resume", "stop", "rollback", "see",
            )
        }  # fmt: skip

    async def line(self, line: Line) -> None:
        """Do or see one thing; one that begins with a host's name is about that host."""
        self.stage.at = line.word if line.word in self.stage.hosts else HOST
        line = line.inner if line.word in self.stage.hosts else line
        if line.word not in self._words:
            raise line.bad(f"unknown word {line.word!r}. Fix: one of {', '.join(self._words)}")
        await self._words[line.word](line)
        if line.word != "see":
            await self.stage.settled()

    async def _commit(self, line: Line) -> None:
        if line.rest not in ("observe", "approve", "auto", "none"):
            raise line.bad("say how the host is kept in sync. Fix: commit observe | approve | auto | none")
        if line.rest == "none":
            left = {path: spec for path, spec in self._specs.items() if path != f"hosts/{self.stage.at}.yaml"}
            self._specs = left or {f"hosts/{OTHER}.yaml": BYSTANDER}
        else:
            self._specs = {path: spec for path, spec in self._specs.items() if spec != BYSTANDER}
            self._specs[f"hosts/{self.stage.at}.yaml"] = head_of(self.stage.at, line.rest) + line.block
        self._push(is_orphan=line.word == "rewrite")

    def _push(self, *, is_orphan: bool = False) -> None:
        self.stage.forge.push({**self._files, **self._specs}, orphan=is_orphan)
        self.stage.loop.look_now()

    async def _shared(self, line: Line) -> None:
        """A commit of a file that hosts share."""
        self._files[line.rest] = line.block
        self._push()

    async def _rewrite(self, line: Line) -> None:
        """A commit that takes the place of all before it."""
        await self._commit(line)

    async def _rewind(self, _line: Line) -> None:
        """Somebody pushes the commit before the last one with force."""
        self.stage.forge.git("update-ref", "refs/heads/main", "refs/heads/main~1")
        self.stage.loop.look_now()

    async def _accept(self, line: Line) -> None:
        head = self.stage.forge.git("rev-parse", "refs/heads/main")
        await self._asked(line, lambda: self.stage.control.accept_rewrite(head[:12], "squashed", "ann"))

    async def _rename(self, line: Line) -> None:
        """The file of pve1 becomes that of pve2, which is the same machine."""
        before = self._specs.pop(f"hosts/{HOST}.yaml")
        spec = (head_of(HOST, "auto") + line.block) if line.block else before
        spec = spec.replace(f"host: {HOST}", f"host: {OTHER}\nrenamed_from: {HOST}")
        self._specs[f"hosts/{OTHER}.yaml"] = spec
        self.stage.hosts[OTHER] = self.stage.hosts[HOST]
        self._push()

    async def _forget(self, line: Line) -> None:
        await self._asked(line, lambda: self.stage.control.forget(self.stage.at, "scrapped", "ann"))

    async def _wait(self, line: Line) -> None:
        if not line.rest[:-1].isdigit() or line.rest[-1:] not in UNITS:
            raise line.bad("how long? Fix: wait 30s | 5m | 2h")
        await self.stage.wait(int(line.rest[:-1]) * UNITS[line.rest[-1]])

    async def _asked(self, line: Line, ask: Callable[[], Awaitable[Any]]) -> None:
        """What a person asks; `refused TEXT` at the end says that it is turned away."""
        _, is_refused, why = line.rest.partition("refused")
        try:
            await ask()
        except InputError as error:
            if not is_refused or why.strip() not in str(error):
                raise Otherwise(f"{line.where}: refused: {error}") from None
            return
        if is_refused:
            raise Otherwise(f"{line.where}: it was not refused")

    async def _approve(self, line: Line) -> None:
        status = self.stage.status
        digest = ""
        if status is not None and status.plan_id and (plan := self.stage.queries.plan(status.plan_id)):
            digest = plan.digest
        digest = self._agreed if "marked" in line.rest else digest
        await self._asked(line, lambda: self.stage.control.apply(self.stage.at, None, digest, "ann", may_raise=True))

    async def _apply(self, line: Line) -> None:
        await self._asked(line, lambda: self.stage.control.apply(self.stage.at, None, None, "ann"))

    async def _release(self, line: Line) -> None:
        await self._asked(line, lambda: self.stage.control.release(self.stage.at, "looked at it", "ann"))

    async def _retry(self, line: Line) -> None:
        await self._asked(line, lambda: self.stage.control.clear_latch(self.stage.at, "mended", "ann"))

    async def _drill(self, line: Line) -> None:
        await self._asked(
            line, lambda: self.stage.control.drill(self.stage.at, "ann", reboot=line.rest.startswith("reboot"))
        )

    async def _look(self, line: Line) -> None:
        await self._asked(line, lambda: self.stage.control.reconcile(self.stage.at, "ann"))

    async def _host(self, line: Line) -> None:
        verb, _, rest = line.rest.partition(" ")
        fact, value = rest, None
        if verb == "set":
            fact, value = _fact_of(line, rest, "host set")
        elif verb != "unset":
            raise line.bad("what becomes of the host? Fix: host set FACT = JSON | host unset FACT")
        self.stage.played.set(fact, value)
        self.stage.played.hint(HINTED.get(fact.partition(":")[0], "network"))

    async def _hints(self, line: Line) -> None:
        """What the host reports on its own, a storm of it, or the end of it."""
        first, _, rest = line.rest.partition(" ")
        if first == "storm":
            count, *every = rest.split()  # COUNT, or COUNT every SECONDS times TIMES
            for _ in range(int(every[3]) if every else 1):
                for _ in range(int(count)):
                    self.stage.played.hint("network")
                await self.stage.wait(int(every[1]) if every else 0)
        elif first == "cut":
            self.stage.played.deafen()
        else:
            self.stage.played.hints = KINDS if first == "whole" else () if first == "none" else (first, *rest.split())

    async def _fault(self, line: Line) -> None:
        name, _, rest = line.rest.partition(" ")
        host = self.stage.played
        if name in TROUBLES:
            host.trouble = TROUBLES[name]  # type: ignore[assignment]  # one of them is a bug
        elif name == "locks-out":
            host.locks_out = TROUBLES[rest or "unreachable"]  # type: ignore[assignment]
        elif name in NAMED:
            setattr(host, NAMED[name], rest)
        elif name == "meanwhile":
            host.edited |= [_fact_of(line, rest, "fault meanwhile")]
        elif name == "rollback":
            host.stuck = rest or "no regular file"
        elif name == "dies":
            if rest not in ("", "confirmed"):
                raise line.bad("when does it die? Fix: fault dies | fault dies confirmed")
            setattr(host, "confirmed" if rest else "began", self.stage.die)
        elif name == "doubt":
            self.stage.lines.doubted = "new logins fail"
        elif name == "other":
            host.armed, host.controller, host.generation = "01OTHER", "other", host.generation + 5
            host.journals[host.armed] = {
                "id": host.armed, "state": "applied", "deadline_boottime_s": 1e9, "steps": [], "cause": None,
            }  # fmt: skip
        elif name == "none":
            host.trouble = host.locks_out = None
            host.fails_at = host.stuck = host.silent = self.stage.lines.doubted = ""
            if host.armed == "01OTHER":
                host.armed = ""
        else:
            raise line.bad(f"unknown fault {name!r}")

    async def _boot(self, line: Line) -> None:
        self.stage.played.boot()

    async def _restart(self, line: Line) -> None:
        is_dead = self.stage.running is None or self.stage.running.done()
        await (self.stage.end() if is_dead else self.stage.stop())
        await self.stage.start()

    async def _mark(self, line: Line) -> None:
        if line.rest == "host":
            self._marked = printed(self.stage.played.host)
        elif line.rest == "plan" and self.stage.status is not None:
            plan = self.stage.queries.plan(self.stage.status.plan_id)
            self._agreed = plan.digest if plan else ""
        elif line.rest == "looks":
            self.stage.played.looks = 0
        else:
            raise line.bad("mark what? Fix: mark host | plan | looks")

    # ------------------------------------------------------------------------------------------------- what is seen

    async def _see(self, line: Line) -> None:
        what, _, rest = line.rest.partition(" ")
        is_not = what == "no"
        if is_not:
            what, _, rest = rest.partition(" ")
        seers: dict[str, Callable[[Line, str], str]] = {
            "status": self._see_status, "apply": self._see_apply, "applies": self._see_applies,
            "event": self._see_event, "events": self._see_events,
            "write": self._see_write, "drill": self._see_drill, "latches": self._see_latches, "fact": self._see_fact,
            "site": self._see_site, "permits": self._see_permits, "checks": self._see_checks,
            "marked": self._see_marked, "source": self._see_source, "host": self._see_host, "age": self._see_age,
            "looks": self._see_looks, "newest": self._see_newest,
        }  # fmt: skip
        if what not in (*seers, "view"):
            raise line.bad(f"unknown thing to see {what!r}. Fix: one of {', '.join(seers)}, view")
        wrong = await self._see_view(line, rest) if what == "view" else seers[what](line, rest)
        if bool(wrong) != is_not:
            raise Otherwise(f"{line.where}: {line.rest}: {wrong or 'it was seen'}")

    def _see_looks(self, _line: Line, rest: str) -> str:
        """How often the host was looked at since `mark looks`."""
        return "" if str(self.stage.played.looks) == rest else f"{self.stage.played.looks}"

    def _see_newest(self, _line: Line, _rest: str) -> str:
        """Whether the host is in sync with the commit in force, by what is shown and by what is recorded."""
        commit = self.stage.watcher.wanted.commit
        for known in (self.stage.status, self.stage.queries.host(self.stage.at)):
            if known is None or (known.sync, known.observed_commit, known.applied_commit) != ("Synced", commit, commit):
                return f"{commit} is in force, but {known}"
        return ""

    def _see_age(self, _line: Line, rest: str) -> str:
        """How long ago the host was seen, by its status."""
        status = self.stage.status
        if status is None or status.observed_at is None:
            return "it was never seen"
        ago_s = (self.stage.clock.now() - status.observed_at).total_seconds()
        wanted_s = int(rest[:-1]) * UNITS[rest[-1]]
        return "" if wanted_s <= ago_s < wanted_s + OBSERVE_S else f"{ago_s:g} s"

    def _see_status(self, line: Line, rest: str) -> str:
        return compared(line, self.stage.status, rest)

    def _see_apply(self, line: Line, rest: str) -> str:
        return nth_compared(line, self.stage.applies, rest)

    def _see_drill(self, line: Line, rest: str) -> str:
        return nth_compared(line, self.stage.drills, rest)

    def _see_applies(self, _line: Line, rest: str) -> str:
        told = [f"{one.trigger} {one.phase} {one.cause}".strip() for one in self.stage.applies]
        return "" if str(len(told)) == rest else f"{len(told)}: {told}"

    def _see_latches(self, _line: Line, rest: str) -> str:
        found = len(self.stage.queries.latches(self.stage.at))
        return "" if str(found) == rest else f"{found}"

    def _see_event(self, _line: Line, rest: str) -> str:
        kind, _, text = rest.partition(" ")
        told = [f"{one.type}: {one.text}" for one in self.stage.queries.events(EventListing(limit=200)).items]
        return "" if any(one.startswith(f"{kind}: ") and text in one for one in told) else f"only {told}"

    def _see_events(self, _line: Line, rest: str) -> str:
        kind, _, number = rest.partition(" ")
        told = [one.text for one in self.stage.queries.events(EventListing(limit=200, type=kind)).items]
        return "" if str(len(told)) == number else f"{len(told)}: {told}"

    def _see_write(self, _line: Line, rest: str) -> str:
        writes = self.stage.played.writes
        return "" if any(one.startswith(rest) for one in writes) else f"only {writes}"

    def _see_fact(self, line: Line, rest: str) -> str:
        fact, _, text = rest.partition(" = ")
        seen = self.stage.played.host.facts.get(fact)
        found = seen.value if isinstance(seen, Seen) else None
        wanted = json.loads(text) if text else found
        return "" if found is not None and found == wanted else f"{found}"

    def _see_marked(self, _line: Line, _rest: str) -> str:
        now = [line for line in printed(self.stage.played.host).splitlines() if not is_new(line, self._marked)]
        return "" if now == self._marked.splitlines() else "the host is another than when it was marked"

    def _see_source(self, line: Line, rest: str) -> str:
        return compared(line, self.stage.watcher.standing, rest)

    def _see_host(self, _line: Line, _rest: str) -> str:
        return "" if self.stage.at in self.stage.watcher.wanted.hosts and self.stage.status else "nobody knows the host"


def _fact_of(line: Line, text: str, verb: str) -> tuple[str, Json]:
    """FACT = JSON."""
    fact, _, value = text.rpartition(" = ")
    try:
        return fact, json.loads(value)
    except ValueError:
        raise line.bad(f"no JSON. Fix: {verb} FACT = JSON") from None


def is_new(line: str, marked: str) -> bool:
    """Whether a line of a host is the forwarding of an interface that nobody looked at when the host was marked."""
    fact = line.partition(" ")[0]
    return OF_LINK.fullmatch(fact) is not None and f"\n{fact} " not in f"\n{marked}"


async def play(path: Path, folder: Path, url: Secret | None = None) -> None:
    """Play one scenario in a folder, on the database there or at an address. Unreadable, or Otherwise."""
    lines = lines_of(path)
    ceilings = {}
    while lines and lines[0].word == "ceiling":
        name, _, value = lines.pop(0).rest.partition("=")
        ceilings[name] = value
    stage = Stage(folder, ceilings, url)
    await stage.start()
    try:
        acted = Play(stage)
        for line in lines:
            try:
                await acted.line(line)
            except TimeoutError as error:
                raise Otherwise(f"{line.where}: {error}") from None
    finally:
        await stage.end()


def main(names: list[str]) -> int:
    """0: all went as said."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                asyncio.run(play(FOLDER / name, Path(folder)))
            except Otherwise as error:
                print(error)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
