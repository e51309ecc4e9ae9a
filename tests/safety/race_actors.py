"""Two controllers and an operator, each with hands of their own, who know nothing of each other."""

import base64
import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from tests.safety.race_history import Answer, Edit, Said, version

LENGTH = 64  # of every content: an editor that keeps the inode writes all of it at once
MODES = ("0600", "0640", "0644", "0755")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
OPERATOR_SHARE = 0.35
KILLED = (-9, 137, 255)  # by SIGKILL: here, as a shell says it, and as ssh does
RESCUES = ("rollback", "expire")
VERBS = {"begin": 40, "confirm": 22, "rollback": 12, "expire": 12, "extend": 7, "status": 7}
EDITS = {"edit": 35, "replace": 35, "chmod": 20, "delete": 10}


class Target(Protocol):
    """The raced host; each call is a process of its own there. It takes `slowness` times as long as here."""

    slowness: int

    def verb(self, *words: str, give: Any = None) -> tuple[int, list[Answer], str]: ...

    def edit(self, kind: str, path: str, content: str, mode: str) -> Answer: ...


def content_of(author: str, number: int) -> bytes:
    """Bytes that nobody else writes and that are written once."""
    return f"{author} {number}".encode().ljust(LENGTH - 1, b".") + b"\n"


class Race:
    """The operations and their history; `run` returns when all are done."""

    def __init__(self, target: Target, paths: list[str], operations: int, seed: int, patience: int = 0) -> None:
        self.target, self.paths, self.seed, self.patience = target, paths, seed, patience
        self.step: Callable[[], None] = lambda: None
        self.said: list[Said] = []
        self.edits: list[Edit] = []
        self.counts: Counter[str] = Counter()  # of answers and edits
        self.ends: Counter[str] = Counter()  # of transactions, as their journals say
        self.crashes: list[str] = []
        self.mutex = threading.Lock()
        self.written = 0
        self.by_hand = round(operations * OPERATOR_SHARE)
        self.by_verb = operations - self.by_hand
        self.left = self.by_verb

    def run(self) -> None:
        controllers = [Controller(self, name) for name in ("one", "two")]
        hands = [threading.Thread(target=self._guarded, args=(self.operator,))]
        for controller in controllers:
            for hand in (1, 2):  # a controller asks twice when it is not sure of an answer
                hands.append(threading.Thread(target=self._guarded, args=(controller.work, hand)))
        for thread in hands:
            thread.start()
        for thread in hands:
            thread.join()
        for controller in controllers:
            controller.end()

    def _guarded(self, work: Callable[..., None], *arguments: int) -> None:
        try:
            work(*arguments)
        except Exception as error:
            self.crash(f"an actor of the harness fell: {error!r}")

    def crash(self, told: str) -> None:
        with self.mutex:
            self.crashes.append(told)

    def take(self) -> bool:
        """One more operation of the controllers: those requested, then `patience` times as many until `met`."""
        with self.mutex:
            self.left -= 1
            return self.left >= (0 if self.met() else -self.patience * self.by_verb)

    def met(self) -> bool:
        """Whether the race proves anything: something was confirmed, rolled back, in conflict, and edited by hand."""
        wanted = ("confirm: confirmed", "rollback: rolled_back", "begin: conflict")
        return bool(self.edits) and all(self.counts[kind] for kind in wanted)

    def operations(self) -> int:
        """How many were done: of the controllers and by hand."""
        return len(self.said) + len(self.edits)

    def fresh(self, author: str) -> bytes:
        with self.mutex:
            self.written += 1
            return content_of(author, self.written)

    def note(self, one: Said | Edit, kind: str) -> None:
        with self.mutex:
            self.counts[kind] += 1
            if isinstance(one, Said):
                self.said.append(one)
            else:
                self.edits.append(one)
        self.step()

    def told(self) -> dict[str, int]:
        """What came of it so far."""
        wanted = {"applied": "begin: applied", "confirmed": "confirm: confirmed", "conflicts": "begin: conflict"}
        counts = {name: self.counts[kind] for name, kind in wanted.items()}
        return {**counts, "edits": len(self.edits), "crashed": len(self.crashes)}

    def operator(self) -> None:
        """Edits by hand, spread over the operations of the controllers."""
        dice = random.Random(f"{self.seed} operator")
        for number in range(self.by_hand):
            if self.crashes:
                return
            while self.left > self.by_verb * (1 - number / self.by_hand) and not self.crashes:
                time.sleep(0.005)
            time.sleep(dice.random() * 0.1)
            kind = dice.choices(list(EDITS), list(EDITS.values()))[0]
            path, mode = dice.choice(self.paths), dice.choice(MODES)
            done = self.target.edit(kind, path, self.fresh("operator").decode(), mode)
            self.note(Edit(path, version(done["before"]), version(done["after"]), bool(done["certain"])), kind)
            self.counts["uncertain"] += not done["certain"]


class Controller:
    """One controller with two hands: what it knows of the host is what it was informed."""

    def __init__(self, race: Race, name: str) -> None:
        self.race, self.name = race, name
        self.generation = 0
        self.known: list[str] = []  # transactions it has heard of, its own or not
        self.numbers = 0

    def work(self, hand: int) -> None:
        dice = random.Random(f"{self.race.seed} {self.name} {hand}")
        while self.race.take() and not self.race.crashes:
            verb = dice.choices(list(VERBS), list(VERBS.values()))[0]
            if verb == "begin" or not self.known:
                self.begin(dice)
            else:
                latest = dice.random() < 0.8
                self.ask(verb, self.known[-1] if latest else dice.choice(self.known[-6:]), dice)

    def end(self) -> None:
        """Whatever is on trial goes back."""
        answer = self.call("status")
        if answer.get("armed"):
            armed = str(answer["armed"])
            self.race.said.append(Said("rollback", armed, self.call("rollback", armed, "the end")))

    def note(self, verb: str, identifier: str, answer: Answer) -> None:
        told = str(answer.get("reason") or answer.get("state"))
        self.race.note(Said(verb, identifier, answer), f"{verb}: {told}")

    def call(self, *words: str, give: Any = None) -> Answer:
        code, lines, said = self.race.target.verb(*words, give=give)
        answer = lines[-1] if lines else {}
        if code in KILLED and words[0] not in RESCUES:  # a rollback does not wait for who holds the lock too long
            return {"state": "killed"}
        crashed = code not in (0, 1) or said or answer.get("event") != "result"
        if crashed or "Error: " in str(answer.get("error")):
            self.race.crash(f"{' '.join(words)} ended with {code}: {answer.get('error')} {said[-500:]}")
        for line in lines[:-1]:
            if line.get("state") == "armed":
                answer["deadline"] = line["deadline_boottime_s"]
        return answer

    def begin(self, dice: random.Random) -> None:
        """Look, plan from what was seen (or, at times, from what was seen before), begin."""
        paths = dice.sample(self.race.paths, dice.randint(1, min(3, len(self.race.paths))))
        facts = self.call("capture", give=[f"file:{path}" for path in paths]).get("facts", {})
        steps, blobs = [], {}
        for path in paths:
            found = facts.get(f"file:{path}")
            before = found and {key: found[key] for key in ("sha256", "mode", "uid", "gid")}
            after = None
            if before is None or dice.random() < 0.85:
                content = self.race.fresh(self.name)
                after = {"sha256": hashlib.sha256(content).hexdigest(), "mode": dice.choice(MODES), "uid": 0, "gid": 0}
                blobs[after["sha256"]] = base64.b64encode(content).decode()
            late = dice.random() < 0.2
            steps.append({"fact": f"file:{path}", "before": before, "after": after, "on_confirm": late})
        with self.race.mutex:
            self.numbers += 1
            identifier = self.identifier(dice)
        timeout_s = dice.choice((1, 3, 30)) * self.race.target.slowness
        document = {
            "format": 1,
            "id": identifier,
            "generation": max(1, self.generation + dice.choice((-1, 0, 1, 1, 1, 1, 1, 1, 2, 3))),
            "controller": self.name,
            "plan_digest": "sha256:0",
            "confirm_timeout_s": timeout_s,
            "steps": steps,
            "blobs": blobs,
        }
        answer = self.call("begin", give=document)
        if "deadline" in answer:
            answer["armed_at"] = answer["deadline"] - timeout_s
        self.generation = max(self.generation, int(answer.get("generation") or 0))
        if answer.get("armed"):
            self.known.append(str(answer["armed"]))
        if answer.get("state") in ("applied", "rolled_back"):
            self.known.append(identifier)
        self.note("begin", identifier, answer)
        if answer.get("state") == "applied" and dice.random() < 0.6 and self.race.take():
            self.ask("confirm", identifier, dice)

    def identifier(self, dice: random.Random) -> str:
        stamp, text = int(time.time() * 1000), ""
        for _ in range(10):
            stamp, digit = divmod(stamp, 32)
            text = ALPHABET[digit] + text
        return text + "".join(dice.choice(ALPHABET) for _ in range(16))

    def ask(self, verb: str, identifier: str, dice: random.Random) -> None:
        more = {"rollback": ["a person asked"], "extend": [str(dice.choice((1, 5, 60)))]}.get(verb, [])
        answer = self.call(verb, identifier, *more)
        self.generation = max(self.generation, int(answer.get("generation") or 0))
        self.note(verb, identifier, answer)


def parsed(said: bytes) -> list[Answer]:
    """The JSON lines that a verb printed."""
    lines = []
    for line in said.decode(errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            lines.append({"event": "no JSON", "error": line[:200]})
    return lines
