"""The verbs that begin a transaction and run its steps."""

from __future__ import annotations

import contextlib
import os
import time

from service.hostside.arming import arm
from service.hostside.canonical import as_bytes
from service.hostside.commands import must, run_command
from service.hostside.deadline import rescue
from service.hostside.document import check_document
from service.hostside.durable import worded, write_atomic
from service.hostside.errors import Json, Refused, Trouble
from service.hostside.host import Host
from service.hostside.journal import ENDED, Transaction, armed_id, discard, find
from service.hostside.lines import emit, read_input
from service.hostside.lock import RESCUE_PATIENCE_S, locked
from service.hostside.points import point
from service.hostside.restore import failed, restore
from service.hostside.staging import check, gate, observe, stage
from service.hostside.steps import apply_steps
from service.hostside.tidy import tidy
from service.hostside.wakers import own_command


def verb_begin(host: Host) -> dict[str, Json]:
    document = read_input()
    blobs = check_document(document)
    with locked(host):
        tidy(host)
        gate(host, document)
        emit(event="reached", moment="locked")
        point(host, "locked")
        found = observe(host, document)
        point(host, "observed")
        transaction = stage(host, document, blobs, found)
        emit(event="reached", moment="snapshot")
        point(host, "staged")
        try:
            check(transaction, document)
            kept = {"generation": document["generation"], "controller": document["controller"]}
            write_atomic(host.state("generation"), as_bytes(kept))
        except (Refused, Trouble, OSError) as error:
            discard(host, transaction.id)
            if isinstance(error, Refused):
                raise
            raise Refused("check", f"nothing was changed: {worded(host, error)}") from None
        point(host, "checked")
        arm(transaction, document["confirm_timeout_s"])
    emit(
        event="state", state="armed", id=transaction.id, deadline_boottime_s=transaction.journal["deadline_boottime_s"]
    )
    argv = ["systemd-run", "--quiet", "--collect", f"--unit=passerelle-apply-{transaction.id}"]
    argv += ["--property=OOMScoreAdjust=-900"]
    if "PASSERELLE_STOP_AT" in os.environ and os.path.exists(host.path("/run/passerelle-test")):
        argv.append("--setenv=PASSERELLE_STOP_AT=" + os.environ["PASSERELLE_STOP_AT"])
    try:
        must(host, argv + own_command(transaction, "run"))
    except (Trouble, OSError) as error:
        with locked(host, RESCUE_PATIENCE_S, rescue=True):
            transaction.load()
            return (
                transaction.answer() if transaction.state in ENDED else failed(transaction, "step failed", str(error))
            )
    return follow(transaction)


def follow(transaction: Transaction) -> dict[str, Json]:
    """Print each step as the journal has it, until the run ends. The run does not need us."""
    told_states: dict[int, str] = {}
    asked = time.monotonic()
    dead = 0
    while True:
        transaction.load()
        for number, step in enumerate(transaction.steps):
            if step["state"] != "pending" and told_states.get(number) != step["state"]:
                told_states[number] = step["state"]
                emit(event="step", number=number, **step)
        if transaction.state in (*ENDED, "applied", "confirming"):
            return transaction.answer()
        if time.monotonic() - asked > 1:
            asked = time.monotonic()
            unit = f"passerelle-apply-{transaction.id}.service"
            with contextlib.suppress(Trouble):
                ran = run_command(transaction.host, ["systemctl", "is-active", "--quiet", unit])
                dead = dead + 1 if ran.code != 0 else 0
        if dead >= 2 or transaction.past_deadline():  # the timer does it too; the first one does it
            return rescue(transaction, "deadline" if transaction.past_deadline() else "run died")
        time.sleep(0.03)


def verb_run(host: Host, identifier: str) -> dict[str, Json]:
    with locked(host):
        transaction = find(host, identifier)
        if transaction.state != "armed" or armed_id(host) != identifier:
            return transaction.answer()
        if transaction.past_deadline():
            return restore(transaction, "deadline")
        return apply_steps(transaction)
