"""One run: placeholders, renewal windows, orders that are due, nginx's reload, the status.

Each step is written down before it is made, so the next run continues where one died. A key is written before its
order, and an order's URL before its challenges. An order is counted before it is finalised. A certificate is on disk
before it is live.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from typing import Iterator, Optional

from . import client, openssl, settings, status, store
from .due import heard, poll_after, polls
from .durable import Json, locked, make_folder, read_bytes, sync_folder
from .errors import Trouble
from .record import Record, outcome, permits
from .settings import Settings, Wanted
from .world import World

PENDING_S = 7 * 86400
"""How long an order that was begun is worth a look (Let's Encrypt's live 7 days)."""
MOST_PASSES = 20
STAGING_LOST = 3
"""After so many attempts in a row that did not reach the staging directory, the order is made without it."""
WEBROOT = ("webroot", ".well-known", "acme-challenge")


def prepare(world: World) -> None:
    """Folders with their modes. nginx's workers pass through the top one to the challenges, and read nothing else.

    Trouble where the host's folder is not mounted: an account that is written elsewhere is lost with the guest.
    """
    if not world.is_mounted(world.state):
        raise Trouble(f"{world.state} is not mounted from the host. Fix: restart this guest")
    make_folder(world.state, 0o711)
    os.chmod(world.state, 0o711)  # noqa: S103 as said above
    for names in (WEBROOT[:1], WEBROOT[:2], WEBROOT):
        make_folder(world.kept(*names), 0o755)
    for name in ("kept", "live", "pending", "accounts"):
        make_folder(world.kept(name))


def log(line: str) -> None:
    """One line for the journal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def changing(world: World) -> Iterator[None]:
    """Hold the lock of `kept` and `live`: placeholders are made while a run is at work."""
    with locked(world.kept("files.lock"), 60) as free:
        if not free:
            raise Trouble("another process has held the certificates' files for more than 60 s. Fix: try again")
        yield


def placeholders(world: World, wanted: Settings) -> list[str]:
    """A self-signed certificate for every name that has nothing; the names."""
    made = []
    with changing(world):
        for left in os.listdir(world.state):
            if left.startswith("scratch-"):
                shutil.rmtree(world.kept(left), ignore_errors=True)
        for each in wanted.certificates:
            if store.placeholder(world, each):
                made.append(each.name)
    return made


class Run:
    """What one run knows. `wanted` and the permits are read again for each pass."""

    def __init__(self, world: World, wanted: Settings) -> None:
        self.world = world
        self.wanted = wanted
        self.record = Record(world)
        self.out_of_reach: dict[str, Json] = {}
        """By directory ("": any): how it failed in this run. The other certificates need not find out one by one."""
        self.trouble: Optional[str] = None

    def whole(self) -> None:
        """Pass after pass, until nothing is due."""
        self.record.interrupted()
        for name in os.listdir(self.world.kept(*WEBROOT)):
            with contextlib.suppress(OSError):
                os.unlink(self.world.kept(*WEBROOT, name))
        self.make_ready()
        for _ in range(MOST_PASSES):
            self.write_status()
            self.poll()
            done = [self.one(each) for each in self.wanted.certificates]
            if not any(done):
                break
            self.wanted = settings.read(self.world.configured("certificates.json"))
            if placeholders(self.world, self.wanted):
                with contextlib.suppress(Trouble):  # the next certificate's install says it
                    self.world.reload()
        self.record.write()
        self.write_status()

    def make_ready(self) -> None:
        """Make the client's environment while the first order still waits for its permit."""
        served = [store.live(self.world, each.name) for each in self.wanted.certificates]
        if all(each and each.facts["kind"] != "self-signed" for each in served):
            return
        try:
            client.environment(self.world)
        except Trouble as trouble:
            self.trouble = str(trouble)
            self.out_of_reach[""] = client.failed_before(trouble, "client")

    def due_in_s(self) -> Optional[float]:
        """Seconds until the first attempt that waits for the end of a back-off; None where none does."""
        given = permits(self.world)
        found = [
            status.decision(self.world, self.record, self.wanted, each, given) for each in self.wanted.certificates
        ]
        times = [each.at for each in found if each.waits_for == "back-off" and each.at is not None]
        return min(times) - self.world.now() if times else None

    def write_status(self) -> None:
        status.write(self.world, status.of(self.world, self.record, self.wanted, self.trouble))

    # Renewal windows

    def poll(self) -> None:
        """Fetch the renewal windows, where it is time to. A failure leaves what was fetched before."""
        now, directory = self.world.now(), self.wanted.acme.directory
        asked = {}
        for each in self.wanted.certificates:
            held = status.held(self.world, each.name)
            version = store.live(self.world, each.name)
            if held and version and polls(held, self.record.ari(each.name), directory, now):
                asked[held.serial] = (each.name, held, version.chain)
        if not asked:
            return
        for name, held, _ in asked.values():  # noted first: a request that fails is repeated later, not in each run
            known = self.record.of(name).get("ari")
            if known is None or known["serial"] != held.serial:
                known = {"serial": held.serial, "start": None, "end": None, "at": None}
            self.record.of(name)["ari"] = {**known, "poll_at": poll_after(now, None)}
        self.record.write()
        chains = {serial: chain for serial, (_, _, chain) in asked.items()}
        acme = self.wanted.acme
        request = client.request_of("windows", directory=directory, ca_file=acme.ca_file, chains=chains)
        with contextlib.suppress(Trouble):  # the orders will tell
            for event in client.conversation(self.world, request, lambda _: None):
                if event.get("serial") in asked:
                    self.hear(asked[event["serial"]][0], event["serial"], event)
        self.record.write()

    def hear(self, name: str, serial: str, event: Json) -> None:
        """Keep the renewal window that an event names for a certificate."""
        poll_at = poll_after(self.world.now(), event["retry_after_s"])
        start, end = event["start"] or 0.0, event["end"] or 0.0
        found = heard(serial, self.record.ari(name), start, end, poll_at, self.world.chance())
        self.record.of(name)["ari"] = dict(found.__dict__)

    # Orders

    def one(self, wanted: Wanted) -> bool:
        """Do what is due for one certificate; True when something was done."""
        known = self.record.of(wanted.name)
        if "install" in known:
            return self.install(wanted)
        found = status.decision(self.world, self.record, self.wanted, wanted, permits(self.world))
        if found.order is None:
            return False
        staging, directory = self.wanted.acme.staging, self.wanted.acme.directory
        if found.order == "first" and staging and staging != directory:
            proof = {"directory": staging, "key": wanted.key, "hook": self.wanted.acme.dns_hook}
            if known.get("staged") != proof and known.get("staging_lost", 0) < STAGING_LOST:
                if not self.attempt(wanted, staging, replaces=None, real=False):
                    return True
                known["staged"] = proof
                self.record.write()
        served = store.live(self.world, wanted.name)
        replaces = served.chain if found.order == "renewal" and served else None
        if self.attempt(wanted, directory, replaces=replaces, real=True):
            self.install(wanted)
        return True

    def attempt(self, wanted: Wanted, directory: str, *, replaces: Optional[str], real: bool) -> bool:
        """One attempt at one directory: counted, made, and its outcome written down. True when it succeeded."""
        known = self.record.of(wanted.name)
        attempt = self.record.begin(wanted, self.world.chance())
        self.write_status()
        event = self.out_of_reach.get(directory) or self.out_of_reach.get("")
        if event is None:
            event = self.converse(wanted, directory, replaces=replaces, real=real)
        where = "" if real else " in staging"
        if event["event"] == "issued":
            log(f"{wanted.name}: issued{where}")
            if real:
                self.issued(wanted, event)
            known.pop("pending", None)
            known.pop("staging_lost", None)
            self.record.succeeded(wanted, attempt, issued=real)
            return True
        log(f"{wanted.name}: failed{where} at {event['stage']}: {event['detail']}")
        if event["type"] is None and event["stage"] in ("client", "directory"):
            self.out_of_reach["" if event["stage"] == "client" else directory] = event
        if not real:
            known["staging_lost"] = known.get("staging_lost", 0) + 1 if event["stage"] == "directory" else 0
        if event["over"]:
            known.pop("pending", None)
            if event["stage"] == "challenge":  # what was proved to staging is not true any more
                known.pop("staged", None)
        self.record.failed(wanted, attempt, event, self.world.chance())
        return False

    def converse(self, wanted: Wanted, directory: str, *, replaces: Optional[str], real: bool) -> Json:
        """Talk to the authority; the event that is the outcome."""
        acme = self.wanted.acme
        if not acme.terms_agreed:
            return client.failed_before(Trouble("`terms_agreed` is not true in the host's `web` section"), "account")
        try:
            pending = self.pending(wanted, directory)

            def noted(heard: Json) -> None:
                if heard["event"] == "order":
                    pending["url"] = heard["url"]
                    self.record.write()
                elif real:
                    self.record.ordered(wanted)

            request = client.request_of(
                "order",
                directory=directory,
                ca_file=acme.ca_file,
                account_key=self.account_key(directory),
                email=acme.email,
                names=list(wanted.names),
                key=self.key(wanted),
                profile=acme.profile,
                replaces=replaces,
                webroot=self.world.kept(*WEBROOT),
                dns_hook=acme.dns_hook,
                order=pending.get("url"),
            )
            event, *more = client.conversation(self.world, request, noted)
        except Trouble as trouble:
            return client.failed_before(trouble, "client")
        for window in more:
            if window["event"] == "window":
                self.hear(wanted.name, window["serial"], window)
        return event

    def key(self, wanted: Wanted) -> str:
        """The path of the key of the order that is under way."""
        return self.world.kept("pending", wanted.name + ".pem")

    def pending(self, wanted: Wanted, directory: str) -> Json:
        """The order that was begun before, or the place of a new one, with a key of its own."""
        known, now = self.record.of(wanted.name), self.world.now()
        found: Json = known.get("pending")
        same = found and found["directory"] == directory and found["key"] == wanted.key
        if same and abs(now - found["at"]) < PENDING_S and os.path.exists(self.key(wanted)):
            return found
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.key(wanted))
        openssl.new_key(self.key(wanted))
        found = known["pending"] = {"directory": directory, "key": wanted.key, "at": now}
        self.record.write()
        return found

    def account_key(self, directory: str) -> str:
        """The path of the account's key at this directory; made once, and kept for good."""
        path = self.world.kept("accounts", hashlib.sha256(directory.encode()).hexdigest()[:16] + ".pem")
        if not os.path.exists(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".new")
            openssl.new_key(path + ".new")
            os.rename(path + ".new", path)
            sync_folder(os.path.dirname(path))
        return path

    # Certificates

    def issued(self, wanted: Wanted, event: Json) -> None:
        """Write the certificate next to the earlier ones. `install` makes it live."""
        acme = self.wanted.acme
        facts = {**event["facts"], "kind": acme.issues, "names": list(wanted.names), "directory": acme.directory}
        with changing(self.world):
            version = store.keep(self.world, wanted.name, event["chain"].encode(), read_bytes(self.key(wanted)), facts)
        known = self.record.of(wanted.name)
        known["install"] = version.number
        known["last_attempt"] = outcome(self.world.now(), "issued", "download", None, None)

    def install(self, wanted: Wanted) -> bool:
        """Make the newest certificate live; True when nginx took it. The one before stays live otherwise."""
        known = self.record.of(wanted.name)
        before = store.live(self.world, wanted.name)
        there = [each for each in store.versions(self.world, wanted.name) if each.number == known["install"]]
        if there:
            try:
                with changing(self.world):
                    store.make_live(self.world, wanted.name, there[0])
                self.world.reload()
            except Trouble as trouble:
                log(f"{wanted.name}: nginx does not take the new certificate: {trouble}")
                with changing(self.world):
                    store.make_live(self.world, wanted.name, before)
                known["last_attempt"] = outcome(self.world.now(), "failed", "install", None, str(trouble))
                self.record.write()
                return False
        del known["install"]
        if known["last_attempt"]["outcome"] == "failed":
            known["last_attempt"] = outcome(self.world.now(), "issued", "install", None, None)
        self.record.write()
        with changing(self.world):
            store.prune(self.world, wanted.name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.key(wanted))
        self.write_status()
        return True
