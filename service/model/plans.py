"""The plan: a value that can be read, stored, digested and approved."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from service.model.changes import Drift
from service.model.facts import Step
from service.model.probes import Probe
from service.model.secret import Secret
from service.model.states import Json

PACKAGES_S, PACKAGE_S = 30, 10
"""What dpkg takes at the most on a slow disk: once, and for each package that goes."""

LOADING_S = 30
"""What a guest takes at the most to make certificates for new sites, to test its files and to load them."""

GuestVerb = Literal["make", "install", "start"]
"""What the host-side file does with guests: before the switch, and after it."""

RefusalRule = Literal[
    "management-path",
    "unknown",
    "not-ours",
    "too-much-change",
    "left-over",
    "sdn-clash",
    "no-way",
    "not-ifupdown",
    "vital",
    "beyond-named",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a plan must not be applied: a rule id, the numbers in words, and what to do next."""

    rule: RefusalRule
    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """What the spec no longer names and stays on the host: the fact, in words, and how to remove it."""

    fact: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that comes before the switch is armed, or goes with a step of the transaction, as apt simulated it.

    `named`: the spec names it; others come along because one of these needs them.
    """

    name: str
    action: Literal["install", "remove"]
    version: str = ""
    named: bool = True


@dataclass(frozen=True, slots=True)
class GuestChange:
    """What is done to a guest outside of the switch: created or set up before it, started for the first time after it.
    A rollback leaves it. `what` is for people, `order` is the guest as the host-side file takes it."""

    name: str
    action: Literal["create", "set", "install", "start"]
    what: str
    order: Mapping[str, Json]
    starts: bool = True
    """Whether it is started once the steps are confirmed: it has never run."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a plan does to a file, for people. `size` in bytes, None once it is gone or where it is a secret. `diff` has
    the lines that go and come, without their neighbours; None where they cannot be shown, as those of a secret. `cut`
    is how many lines more there are."""

    path: str
    size: int | None = None
    diff: tuple[str, ...] | None = None
    cut: int = 0
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Passing:
    """What a plan changes for packets, as a sentence, and how many ways it `opens` and `closes`; None where nobody can
    tell."""

    text: str
    opens: int | None = 0
    closes: int | None = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """A plan in numbers, for the line above it. `opens` and `closes` are ways for packets, None where that cannot be
    reported for all of them. `cut` are the ports that lose their bridge: the guests behind them lose their link."""

    steps: int
    packages: int
    refusals: int
    opens: int | None
    closes: int | None
    cut: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done to one host, in order. Empty when nothing differs in meaning.

    `notes` are things a person should know that stop nothing. `passing` says what opens and what closes, `cut` which
    ports lose their bridge. `derived` lists what follows from something else as (thing, cause). `keep` are facts that
    the steps must not disturb and may have to set again (default route after an address change). `blobs` are the
    contents of files to write, by SHA-256. `secrets` are contents that nobody may see, existing ones and those to
    write, by the mark in the steps. `checks` are native syntax checks by name: (program, path). `at_boot` says what the
    next boot already breaks of the SSH connection, with or without the plan. `raises` is what needs an approval by the
    operator's settings. `left_behind` left the spec and stays on the host. `files` says for reviews what becomes of
    files. `guests` are made before the steps and started after them. `proves` are probes of the apply, in addition to
    the spec's checks. `ailing` is what is in a bad state that no step of ours changes.
    """

    host: str
    commit: str
    desired_digest: str
    drifts: tuple[Drift, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    guests: tuple[GuestChange, ...] = ()
    steps: tuple[Step, ...] = ()
    keep: tuple[Step, ...] = ()
    checks: tuple[tuple[str, str], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    passing: tuple[Passing, ...] = ()
    cut: tuple[str, ...] = ()
    derived: tuple[tuple[str, str], ...] = ()
    overridden: tuple[Refusal, ...] = ()
    raises: tuple[str, ...] = ()
    at_boot: tuple[str, ...] = ()
    left_behind: tuple[Left, ...] = ()
    files: tuple[FileChange, ...] = ()
    proves: tuple[Probe, ...] = ()
    ailing: tuple[str, ...] = ()
    blobs: dict[str, bytes] = field(default_factory=dict, repr=False)
    secrets: dict[str, Secret] = field(default_factory=dict, repr=False)

    @property
    def is_empty(self) -> bool:
        """Nothing to do."""
        return not self.steps and not self.packages and not self.guests

    @property
    def reachability(self) -> tuple[str, ...]:
        """What opens and what closes, in sentences."""
        return tuple(one.text for one in self.passing)

    @property
    def summary(self) -> Summary:
        """The plan in numbers."""
        opens, closes = total(one.opens for one in self.passing), total(one.closes for one in self.passing)
        return Summary(len(self.steps), len(self.packages), len(self.refusals), opens, closes, self.cut)

    @property
    def least_deadline_s(self) -> int:
        """How long the host has to wait for the confirmation at the least; 0: as the spec says. A bridge with STP lets
        nothing through for twice its forward delay (IEEE 802.1D, listening and learning); it gets three times that.
        dpkg needs its time as well, and so does a guest that loads its sites."""
        delays = [
            float(step.after.get("forward_delay_s") or 0)  # type: ignore[arg-type]  # a number, by its kind
            for step in self.steps
            if step.fact.startswith("link:") and isinstance(step.after, dict) and step.after.get("stp") is True
        ]
        packages = sum(step.fact.startswith("package:") for step in self.steps)
        dpkg_s = PACKAGES_S + PACKAGE_S * packages if packages else 0
        loading_s = LOADING_S * sum(step.fact.startswith("proxy:") for step in self.steps)
        return min(3600, dpkg_s + loading_s + math.ceil(6 * max(delays, default=0.0)))

    def as_json(self) -> dict[str, Any]:
        """As it is recorded and shown: fields by name, without what files hold (`blobs`, `secrets`)."""
        body = asdict(replace(self, blobs={}, secrets={}))
        for name in ("blobs", "secrets", "passing", "cut", "proves"):
            del body[name]
        body["summary"] = asdict(self.summary)
        body["reachability"] = self.reachability
        body["least_deadline_s"] = self.least_deadline_s
        body["derived"] = [{"thing": thing, "cause": cause} for thing, cause in self.derived]
        body["checks"] = [{"program": program, "path": path} for program, path in self.checks]
        body["drifts"] = [asdict(d.difference) | {"moved": d.moved} for d in self.drifts]
        return body

    @property
    def digest(self) -> str:
        """SHA-256 over everything that would be done; approval and apply name it. The commit is not part of it."""
        return digest_of(
            {
                "host": self.host,
                "desired": self.desired_digest,
                "packages": [asdict(p) for p in self.packages],
                **({"guests": [asdict(g) for g in self.guests]} if self.guests else {}),
                # their values are JSON already: copying all of a large table would be most of the work
                "steps": [{item.name: getattr(s, item.name) for item in fields(s)} for s in self.steps],
                "refusals": [asdict(r) for r in self.refusals],
            }
        )


def total(counts: Iterable[int | None]) -> int | None:
    """The sum; None where one of them is not known."""
    known = [*counts]
    return None if None in known else sum(one for one in known if one is not None)


def digest_of(value: object) -> str:
    """`sha256:<hex>` of the canonical JSON of a value made of JSON types."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def coming(plan: Plan) -> list[str]:
    """The packages that the spec names and that are to be installed."""
    return [package.name for package in plan.packages if package.action == "install" and package.named]


def to_make(plan: Plan) -> list[GuestChange]:
    """The guests that are created, or set up."""
    return [guest for guest in plan.guests if guest.action in ("create", "set")]


def to_fill(plan: Plan) -> list[GuestChange]:
    """The guests that get packages."""
    return [guest for guest in plan.guests if guest.action == "install"]


def to_start(plan: Plan) -> list[GuestChange]:
    """The guests that may have never run."""
    return [guest for guest in plan.guests if guest.starts]
