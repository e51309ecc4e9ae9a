"""A played host that answers as a test wants, and the service's side of it: `FleetHosts`, as production has it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.apply.fleet import FleetHosts
from service.errors import HostError, Unreachable
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Plan
from service.model.telling import Ended, Told
from service.observe.connection import Answer, Target
from tests.laws.host import printed
from tests.laws.specs import head, spec_of
from tests.reconcile.clocks import PassingClock, StoppedClock
from tests.scenarios.played_host import PlayedHost, Result
from tests.scenarios.played_lines import Line, Lines, Looks

FACT = "sysctl:net.ipv4.ip_forward"
ID = "01TEST"
PLAN = Plan("pve1", "c" * 40, "sha256:1", steps=(Step(FACT, "0", "1", "a test"),))


@dataclass
class Wilful(PlayedHost):
    """`instead`: the next answers of a verb, which is not carried out, or the connection breaks before the host
    receives it. `lost` verbs are carried out, and the connection breaks before the answer. `after` happens once a verb
    is carried out. `says` is what other commands do, by their last word.
    """

    instead: dict[str, list[Result | HostError]] = field(default_factory=dict)
    lost: dict[str, HostError] = field(default_factory=dict)
    after: dict[str, Callable[[], None]] = field(default_factory=dict)
    says: dict[str, Callable[[], Answer]] = field(default_factory=dict)
    verbs: list[str] = field(default_factory=list)
    has_timer: bool = True

    def tick(self) -> None:
        if self.has_timer:
            super().tick()

    def verb(self, words: Sequence[str], stdin: bytes, tell: Callable[[Result], None]) -> Result:
        self.verbs.append(words[0])
        if left := self.instead.get(words[0]):
            answer = left.pop(0)
            if isinstance(answer, HostError):
                raise answer
            return answer
        result = super().verb(words, stdin, tell)
        self.after.get(words[0], lambda: None)()
        if words[0] in self.lost:
            raise self.lost[words[0]]
        return result


class Wire(Line):
    """A connection on which other commands than verbs are answered as the host wants, too."""

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:  # fmt: skip
        if isinstance(self.host, Wilful) and argv[-1] in self.host.says:
            return self.host.says[argv[-1]]()
        return await super().run(argv, stdin=stdin, timeout_s=timeout_s, on_line=on_line)


class Ways(Lines):
    """`shut` keeps every new connection out, `moved_from` is an address where nobody is any more; `dropped` are hosts
    whose kept connection was given up, `tried` where one was looked for."""

    def __init__(self, host: PlayedHost) -> None:
        super().__init__({"pve1": host})
        self.shut: HostError | None = None
        self.moved_from = ""
        self.dropped: list[str] = []
        self.tried: list[str] = []

    async def connect(self, target: Target) -> Line:
        if self.shut is not None:
            raise self.shut
        return await super().connect(target)

    async def host(self, target: Target) -> Line:
        self.tried.append(target.address)
        if target.address == self.moved_from:
            raise Unreachable("no route")
        return Wire((await super().host(target)).host)

    async def drop(self, name: str) -> None:
        self.dropped.append(name)


class Dying(Looks):
    """The next looks find the line dead."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: list[HostError] = []

    async def observe(self, host: Line, name: str, watch: Watch) -> HostObserved:
        if self.dead:
            raise self.dead.pop(0)
        return await super().observe(host, name, watch)


class Fleet:
    """One host, and what the loop sees of it."""

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.host = Wilful(self.clock)
        self.host.set(FACT, "0")
        self.before = printed(self.host.host)
        self.ways, self.looks = Ways(self.host), Dying()
        self.hosts = FleetHosts(self.ways, self.looks, PassingClock(self.clock), controller="test")
        self.spec = spec_of(head())
        self.told: list[Told] = []
        self.on_told: Callable[[Told], None] = lambda _: None

    async def apply(self, *, generation: int = 1) -> Ended:
        return await self.hosts.apply(
            self.spec, PLAN, apply_id=ID, generation=generation, known_addresses=[self.spec.connection.address],
            told=self._hear,
        )  # fmt: skip

    def _hear(self, told: Told) -> None:
        self.told.append(told)
        self.on_told(told)

    def shuts(self) -> None:
        """From now on no new connection comes in."""
        self.ways.shut = Unreachable("no route")

    @property
    def is_as_before(self) -> bool:
        return printed(self.host.host) == self.before

    @property
    def state(self) -> str:
        """How the host's journal says that it ended."""
        return str(self.host.journals[ID]["state"])
