"""The process that a harness kills: the service's own transaction against one lab host, over SSH.

    process, answer = start(order(host, plan, …))      # a process of its own; `answer` is the reading end of a pipe

It sends how it ended, as the service says it. `file` in the order takes another host-side file, `old_connection`
confirms over the connection that began it, as nobody should. Each is forked from one process that has read all modules
and done nothing else, which takes a tenth of the time of a new interpreter.
"""

import asyncio
import base64
import hashlib
import multiprocessing
import multiprocessing.process
import socket
import traceback
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service.apply.document import document, ended
from service.apply.host_file import HostFile, host_file
from service.apply.switch import Switch
from service.apply.transaction import Transaction
from service.clock import SystemClock
from service.lab import Host, Lab
from service.model.facts import Step
from service.model.plans import Plan
from service.model.telling import Ended
from service.observe.connection import Target
from service.ssh.connection import SshDialer
from service.ssh.keys import load_client_key
from service.ssh.pool import Connections


def order(host: Host, plan: Plan, **more: Any) -> dict[str, Any]:
    """What the driver reads; `more` are apply_id, generation, confirm_timeout_s, addresses, file, old_connection."""
    body = {**asdict(plan), "blobs": {name: base64.b64encode(blob).decode() for name, blob in plan.blobs.items()}}
    return {
        "lab": host.lab.name,
        "host": host.name,
        "address": host.address,
        "host_key": host.host_key,
        "plan": body,
        "addresses": [host.address],
        "file": "",
        "old_connection": False,
        **more,
    }


def plan_of(body: dict[str, Any]) -> Plan:
    return Plan(
        body["host"],
        body["commit"],
        body["desired_digest"],
        steps=tuple(Step(**step) for step in body["steps"]),
        keep=tuple(Step(**step) for step in body["keep"]),
        checks=tuple((program, path) for program, path in body["checks"]),
        blobs={name: base64.b64decode(blob) for name, blob in body["blobs"].items()},
    )


def dialer(lab: Lab, timeout_s: float = 10.0) -> SshDialer:
    """Connections made in the controller's network of the lab."""

    async def dial(to: Target) -> socket.socket:
        return await asyncio.to_thread(lab.dial, to.address, to.port, timeout_s=timeout_s)

    return SshDialer(load_client_key(Path(lab.key)), dial=dial, connect_s=timeout_s)


def target(host: str, address: str, host_key: str) -> Target:
    return Target(host, address, (host_key,))


def read_file(path: Path) -> HostFile:
    """Another host-side file than the one that is shipped."""
    content = path.read_bytes()
    return HostFile(content, hashlib.sha256(content).hexdigest())


async def drive(given: dict[str, Any]) -> Ended:
    brought = read_file(Path(given["file"])) if given["file"] else host_file()
    way = partial(Switch, file=brought)
    door = Connections(dialer(Lab.attach(given["lab"])))  # as the service does, it shows a refused key not too often
    targets = [target(given["host"], address, given["host_key"]) for address in given["addresses"]]
    connection = await door.connect(target(given["host"], given["address"], given["host_key"]))
    plan = plan_of(given["plan"])
    named = {key: given[key] for key in ("apply_id", "generation", "confirm_timeout_s")}
    if given["old_connection"]:
        body = document(plan, controller="harness", **named)
        switch = way(connection)
        await switch.ask("begin", stdin=body)
        return ended(await switch.ask("confirm", given["apply_id"])) or Ended("unconfirmed")
    transaction = Transaction(door, targets, SystemClock(), lambda _told: None, switch=way)
    return await transaction.run(connection, plan, controller="harness", **named)


def _child(given: dict[str, Any], answer: Connection) -> None:
    try:
        found = asyncio.run(drive(given))
    except BaseException:
        answer.send(["crashed", *traceback.format_exc().splitlines()[-3:]])
        raise
    answer.send({"ending": found.ending, "cause": found.cause, "error": found.error})


def start(given: dict[str, Any]) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Drive it in a process of its own: (that process, where it says a dict, or a list of what it crashed with)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(given, writing), daemon=True)
    process.start()
    writing.close()
    return process, reading
