"""`python3 /etc/passerelle/certs.py VERB`: the verbs of the program."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import Optional, Sequence

from . import handover, run, settings, status
from .durable import Json, locked, read_json
from .errors import Trouble
from .record import Record, permit
from .world import World

VERBS = {
    "placeholders": "make a self-signed certificate for every name that has nothing; needs no network",
    "run": "do what is due: ask for renewal windows, order, renew; the timer of passerelle-certs.service does this",
    "permit": 'read {"NAME": {"ok": true}} from stdin: the preflight of passerelle allows the first order; then run',
    "status": "print the state of all certificates as JSON",
    "offer": "make a key pair, to get certificates from the guest of another host; print its certificate as JSON",
    "pack": "read what `offer` printed from stdin; print certificates, keys and accounts, sealed for that guest",
    "unpack": "read what `pack` printed from stdin, and use it",
}
MOST_PERMITS_BYTES = 1 << 20
MOST_ROUNDS = 5
NEAR_S = 60


def main(argv: Optional[Sequence[str]] = None, world: Optional[World] = None) -> int:
    """Run one verb; 0, or 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(prog="certs.py", description="Certificates of this guest, kept by passerelle.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, text in VERBS.items():
        verbs.add_parser(name, help=text, description=text)
    verb = parser.parse_args(argv).verb
    os.umask(0o077)
    here = world or World()
    try:
        run.prepare(here)
        {
            "placeholders": placeholders, "run": whole_run, "permit": permits, "status": show, "offer": offer,
            "pack": pack, "unpack": unpack,
        }[verb](here)  # fmt: skip
    except Trouble as trouble:
        sys.stderr.write(f"certs.py {verb}: {trouble}\n")
        if verb == "run":
            note(here, str(trouble))
        return 1
    return 0


def placeholders(world: World) -> None:
    """`placeholders`: also for names that a run at work does not know yet."""
    wanted = settings.read(world.configured("certificates.json"))
    made = run.placeholders(world, wanted)
    for name in made:
        sys.stdout.write(f"{name}: self-signed until a certificate is issued\n")
    status.write(world, status.of(world, Record(world), wanted))
    if made:
        with contextlib.suppress(Trouble):  # a run gets the client ready meanwhile; the timer starts one, too
            world.start()


def whole_run(world: World) -> None:
    """`run`: one at a time. What came while a run was at its end is seen to before this returns. The timer comes every
    minute or two; an attempt that is due before is not left to it."""
    due_s = None
    for _ in range(MOST_ROUNDS):
        with locked(world.kept("run.lock"), 0) as free:
            if not free:
                sys.stdout.write("another run is at work\n")
                return
            seen = signature(world)
            wanted = settings.read(world.configured("certificates.json"))
            if run.placeholders(world, wanted):
                world.reload()
            this = run.Run(world, wanted)
            this.whole()
            due_s = this.due_in_s()
        if signature(world) == seen:
            break
    if due_s is not None and due_s < NEAR_S:
        with contextlib.suppress(Trouble):  # the timer comes, too
            world.start_in(max(due_s, 0) + 1)


def signature(world: World) -> list[Optional[tuple[int, int]]]:
    """Changes when a run's input does."""
    found: list[Optional[tuple[int, int]]] = []
    for path in (world.configured("certificates.json"), world.kept("permits.json")):
        try:
            at = os.stat(path)
            found.append((at.st_ino, at.st_mtime_ns))
        except OSError:
            found.append(None)
    return found


def permits(world: World) -> None:
    """`permit`."""
    wanted = settings.read(world.configured("certificates.json"))
    try:
        given: Json = json.loads(sys.stdin.buffer.read(MOST_PERMITS_BYTES))
    except ValueError as error:
        raise Trouble(f"stdin is not JSON: {error}") from error
    permit(world, wanted.certificates, given)
    status.write(world, status.of(world, Record(world), wanted))
    world.start()


def show(world: World) -> None:
    """`status`: as it is now, which may be newer than the file."""
    wanted = settings.read(world.configured("certificates.json"))
    json.dump(status.of(world, Record(world), wanted), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


def offer(world: World) -> None:
    """`offer`."""
    _tell(handover.offer(world))


def pack(world: World) -> None:
    """`pack`."""
    wanted = settings.read(world.configured("certificates.json"))
    _tell(handover.pack(world, wanted, _given()))


def unpack(world: World) -> None:
    """`unpack`."""
    wanted = settings.read(world.configured("certificates.json"))
    _tell(handover.unpack(world, wanted, _given()))


def _given() -> Json:
    try:
        return json.loads(sys.stdin.buffer.read(handover.MOST_BYTES + 1024))
    except ValueError as error:
        raise Trouble(f"stdin is not JSON: {error}") from error


def _tell(value: Json) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def note(world: World, trouble: str) -> None:
    """Put what stopped a run into the status, together with what was known."""
    try:
        before = read_json(world.kept("status.json"))
    except ValueError:
        before = None
    known = before["certificates"] if isinstance(before, dict) and "certificates" in before else {}
    status.write(world, {"version": 1, "written_at": int(world.now()), "trouble": trouble, "certificates": known})
