"""A host that is a value and speaks as the host-side file does: its verbs, journals, deadlines and facts of all types.

It is what `service.observe.connection.Host` and `Dialer` are to the service, so that the real `FleetHosts` with its
transactions, probes and drills works on it. `test_played_host.py` gives the same steps to it and to the real file.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from service.clock import Clock
from service.errors import HostError
from service.hostside.facts import same
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.states import Absent, Json, Observed, Seen
from tests.laws.host import bare_host, done, hidden, masquerades, set_fact
from tests.scenarios.played_guests import VERSION, guests, packages
from tests.scenarios.played_sites import of_sites, status_text

ENDED = ("confirmed", "rolled_back", "rollback_failed", "released", "refused")

Result = dict[str, Any]


class Said(Exception):  # noqa: N818 (an answer, no error)
    """A verb's answer that ends it."""

    def __init__(self, **answer: Json) -> None:
        super().__init__(answer)
        self.answer: Result = dict(answer)


def refused(reason: str, error: str, **more: Json) -> Said:
    return Said(state="refused", reason=reason, error=error, **more)


@dataclass
class PlayedHost:
    """One host. The faults of a scenario. `trouble` affects every connection, `locks_out` new ones while a change is in
    force. `fails_at` is for the step of a fact, `stuck` for any rollback, `silent` for the probe of a name after the
    change. `edited` is what somebody else sets during the next apply that has a step for it.
    """

    clock: Clock
    host: HostObserved = field(default_factory=lambda: bare_host(Watch()))
    journals: dict[str, Result] = field(default_factory=dict)
    armed: str = ""
    generation: int = 0
    controller: str = ""
    boots: int = 1
    writes: list[str] = field(default_factory=list)
    trouble: HostError | None = None
    locks_out: HostError | None = None
    fails_at: str = ""
    stuck: str = ""
    silent: str = ""
    edited: dict[str, Json] = field(default_factory=dict)
    certificates: dict[str, Result] = field(default_factory=dict)
    permits: list[Result] = field(default_factory=list)
    hints: tuple[str, ...] = ()
    looks: int = 0
    hearers: list[tuple[Callable[[bytes], None], asyncio.Event]] = field(default_factory=list)
    began: Callable[[], None] = lambda: None
    confirmed: Callable[[], None] = lambda: None
    _snapshots: dict[str, HostObserved] = field(default_factory=dict)
    _documents: dict[str, Result] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------- observing

    def observed(self, watch: Watch) -> HostObserved:
        """What a look sees now."""
        self.looks += 1
        self.tick()
        bare = bare_host(watch)
        known = self.host
        self.host = replace(
            known,
            facts={**bare.facts, **known.facts},
            texts={**bare.texts, **known.texts},
            packages={**bare.packages, **known.packages},
            unlisted={**bare.unlisted, **known.unlisted},
        )
        seen = replace(
            self.host, armed=self.armed, boot_id=self.boot_id, observed_at=self.clock.now(), secrets=bare.secrets
        )
        text = status_text(self.certificates, self.clock)
        seen = replace(seen, guest_status={name: text for name, _, _ in watch.guests})
        return hidden(seen, watch.secrets)

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boots:08d}"

    def captured(self, fact: str) -> Json:
        """A fact as the host-side file captures it, None for not there."""
        kind, _, name = fact.partition(":")
        if kind == "masquerade":
            return sum(m.count for m in masquerades(self.host) if (m.source, m.out) == tuple(name.split(">"))) or 0
        if kind == "package":
            seen: Observed[Any] = self.host.packages.get(name, Absent())
            return {"version": seen.value} if isinstance(seen, Seen) else None
        found = self.host.facts.get(fact, Absent())
        return found.value if isinstance(found, Seen) else None

    def set(self, fact: str, value: Json, blobs: Mapping[str, bytes] | None = None) -> None:
        """Somebody at the host, or a step, sets a fact."""
        self.host = set_fact(self.host, fact, value, blobs or {})

    def hint(self, kind: str) -> None:
        """The host reports on its own that something of this kind changed."""
        for heard, _ in self.hearers:
            if kind in self.hints:
                heard(f"hint {kind}\n".encode())

    def deafen(self) -> None:
        """The channels of hints end."""
        for _, cut in self.hearers:
            cut.set()

    # ------------------------------------------------------------------------------------------------- the switch

    def sweep(self, keep: int) -> None:
        """What is left of old transactions goes, but for the last ones, as a real host deletes it."""
        for old in list(self.journals)[:-keep]:
            if old != self.armed:
                for of_each in (self.journals, self._snapshots, self._documents):
                    of_each.pop(old, None)
        self.writes.clear()

    def tick(self) -> None:
        """The host's own timer: whatever is not confirmed by its deadline is rolled back."""
        journal = self.journals.get(self.armed)
        if journal is None or journal["state"] in ENDED:
            return
        if self.clock.monotonic_s() >= journal["deadline_boottime_s"]:
            journal["woke"] = dict.fromkeys(("watch", "expire"), journal["deadline_boottime_s"])
            self.restore(journal, "deadline", "expire")

    def boot(self) -> None:
        """The host boots: what is armed is rolled back before networking starts."""
        self.boots += 1
        journal = self.journals.get(self.armed)
        if journal is not None and journal["state"] not in ENDED:
            self.restore(journal, "boot", "boot")

    def restore(self, journal: Result, cause: str, verb: str, error: str = "") -> Result:
        """Every fact as in the snapshot."""
        journal["cause"] = journal["cause"] or cause
        journal["error"] = journal["error"] or error or None
        journal.setdefault("restore_began", {"verb": verb})
        if self.stuck:
            journal.update(state="rollback_failed", verified_old=False, rollback_error=self.stuck)
            return answer(journal)
        before = self._snapshots[journal["id"]]
        self.host = replace(before, observed_at=self.host.observed_at)
        for entry in journal["steps"]:
            if entry["state"] != "pending":
                self.writes.append(f"undo {entry['fact']}")
                entry["state"] = "undone"
        journal.update(state="rolled_back", verified_old=None if verb == "boot" else True)
        self.armed = ""
        return answer(journal)

    def begin(self, document: Result, tell: Callable[[Result], None]) -> Result:
        """Gate, compare, arm, apply."""
        self._gate(document)
        entries = document["steps"] + document["keep"]
        differing = [e["fact"] for e in entries if not same(e["fact"], e["before"], self.captured(e["fact"]))]
        if differing:
            names = ", ".join(differing[:5])
            raise Said(state="conflict", reason="conflict", error=f"the host is not as planned for: {names}")
        identifier = document["id"]
        journal: Result = {
            "format": 1, "id": identifier, "state": "armed", "cause": None, "error": None, "verified_old": None,
            "generation": document["generation"],
            "deadline_boottime_s": self.clock.monotonic_s() + document["confirm_timeout_s"],
            "steps": [{"fact": step["fact"], "state": "pending"} for step in document["steps"]],
        }  # fmt: skip
        self._documents[identifier], self._snapshots[identifier] = document, self.host
        self.journals[identifier], self.armed = journal, identifier
        self.generation, self.controller = document["generation"], document["controller"]
        tell({"event": "state", "state": "armed", "id": identifier})
        for number, step in enumerate(document["steps"]):
            if not step.get("on_confirm"):
                if step["fact"] == self.fails_at:
                    journal["steps"][number].update(state="doing", error="it did not work")
                    return self.restore(journal, "step failed", "run", "it did not work")
                if step["fact"] in self.edited:
                    return self._meets_an_edit(journal, step["fact"])
                self._do(document, journal, number, tell)
        journal["state"] = "applied"
        self.began()
        return answer(journal)

    def _meets_an_edit(self, journal: Result, fact: str) -> Result:
        """Someone else has changed it since the snapshot: theirs stays, everything else goes back."""
        value = self.edited.pop(fact)
        told = self.restore(
            journal, "changed meanwhile", "run", f"{fact} was changed by someone else since the snapshot"
        )
        self.set(fact, value)
        return told

    def _gate(self, document: Result) -> None:
        if bad := self.quarantined:
            raise refused("quarantined", f"the rollback of {bad} failed; a person has to look and release it")
        if self.armed:
            raise refused("armed", f"transaction {self.armed} is armed; confirm it or roll it back first")
        if document["id"] in self.journals:
            raise refused("known", f"transaction {document['id']} was here before")
        if document["generation"] <= self.generation:
            raise refused("fenced", f"generation {document['generation']} is not above {self.generation}")

    def _do(self, document: Result, journal: Result, number: int, tell: Callable[[Result], None]) -> None:
        step, entry = document["steps"][number], journal["steps"][number]
        blobs = {digest: base64.b64decode(content) for digest, content in document["blobs"].items()}
        now_s = self.clock.monotonic_s()
        tell({"event": "step", "number": number, "fact": step["fact"], "state": "doing", "started_s": now_s})
        self.writes.append(f"set {step['fact']}")
        made = Step(step["fact"], step["before"], step["after"], step["why"])
        self.host = done(self.host, [made], blobs)
        entry.update(state="done", started_s=now_s, ended_s=now_s)
        tell({"event": "step", "number": number, **entry})

    @property
    def quarantined(self) -> str:
        """The transaction whose rollback failed."""
        return next((i for i, j in sorted(self.journals.items()) if j["state"] == "rollback_failed"), "")

    # ------------------------------------------------------------------------------------------------- verbs

    def verb(self, words: Sequence[str], stdin: bytes, tell: Callable[[Result], None]) -> Result:
        """One verb of the host-side file: its result."""
        self.tick()
        name, *rest = words
        flags = {word for word in rest if word.startswith("--")}
        rest = [word for word in rest if word not in flags] or [""]
        given = json.loads(stdin) if stdin and name in ("begin", "packages", "guests", "probe", "permit") else None
        try:
            if name == "begin":
                return self.begin(given, tell)
            if name == "status":
                return self._status(rest[0], verify="--verify" in flags)
            if name == "packages":
                return packages(self, given)
            if name == "guests":
                return guests(self, given, tell)
            if name in ("answers", "permit"):
                return of_sites(name, self.permits, given if name == "permit" else json.loads(rest[0]))
            if name == "weigh":
                return self._weighed(json.loads(rest[0]))
            if name == "probe":
                return {"state": "ok", "probes": self._probes(given)}
            return self._of(name, rest)
        except Said as said:
            return said.answer

    def _of(self, name: str, rest: Sequence[str]) -> Result:
        """A verb about one transaction."""
        journal = self.journals.get(rest[0])
        if journal is None:
            raise Said(state="invalid", error=f"there is no transaction {rest[0]} on this host")
        if name == "confirm":
            return self._confirm(journal)
        if name == "rollback":
            return self.restore(journal, f"asked: {' '.join(rest[1:])}", "rollback")
        if name == "expire":
            late = self.clock.monotonic_s() >= journal["deadline_boottime_s"] and journal["state"] not in ENDED
            return self.restore(journal, "deadline", "expire") if late else answer(journal)
        if name == "extend":
            if journal["state"] not in ("armed", "applying", "applied"):
                raise refused("ended", "its deadline cannot be extended any more")
            journal["deadline_boottime_s"] = self.clock.monotonic_s() + int(rest[1])
            return answer(journal)
        if name == "release":
            if journal["state"] not in ("rollback_failed", "released"):
                raise refused("state", f"{rest[0]} is {journal['state']}, not rollback_failed")
            journal["state"], self.armed = "released", ""
            return answer(journal)
        if name == "prove":
            return {"state": journal["state"], "proofs": [{"name": "timer", "ok": True, "told": "it runs"}]}
        raise AssertionError(f"the played host has no verb {name}")

    def _confirm(self, journal: Result) -> Result:
        if journal["state"] in ENDED:
            return answer(journal)
        document = self._documents[journal["id"]]
        for number, step in enumerate(document["steps"]):
            if step.get("on_confirm"):
                self._do(document, journal, number, lambda _: None)
        journal["state"], self.armed = "confirmed", ""
        self.confirmed()
        return answer(journal)

    def _status(self, identifier: str, *, verify: bool) -> Result:
        if identifier and identifier not in self.journals:
            raise Said(state="invalid", error=f"there is no transaction {identifier} on this host")
        if verify and (journal := self.journals[identifier])["state"] == "rolled_back":
            if journal["verified_old"] is None:
                journal["verified_old"] = True
            return answer(journal) | {"differs": []}
        found = [self.journals[identifier]] if identifier else [j for _, j in sorted(self.journals.items())][::-1]
        return {
            "state": found[0]["state"] if identifier else "ok", "generation": self.generation,
            "controller": self.controller or None, "armed": self.armed or None,
            "quarantined": self.quarantined or None, "boottime_s": self.clock.monotonic_s(), "journals": found,
        }  # fmt: skip

    def _weighed(self, order: Result) -> Result:
        plain = {"UnitFileState": "enabled", "WantedBy": "multi-user.target"}
        return {
            "state": "weighed", "unavailable": [], "flags": {},
            "install": {"moves": [[name, VERSION, ""] for name in order["install"]]},
            "remove": {"moves": [[name, "", VERSION] for name in order["remove"]]},
            "units": {name: {"Id": name, **plain} for name in order["units"]},
        }  # fmt: skip

    def _probes(self, asked: Sequence[Result]) -> list[Result]:
        in_force = bool(self.armed)
        names = ["gateway 198.51.100.1", *(probe["name"] for probe in asked)]
        return [{"name": n, "ok": not (in_force and n == self.silent), "told": "no answer"} for n in names]


def answer(journal: Result) -> Result:
    """What a verb says of a transaction."""
    return {**journal, "steps": [dict(step) for step in journal["steps"]]}
