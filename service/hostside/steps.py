"""The steps of a transaction, and the proof that the host has what was wanted."""

from __future__ import annotations

from service.hostside.capture import HostLook, capture
from service.hostside.carriers import prove_switch
from service.hostside.commands import run_command
from service.hostside.durable import worded
from service.hostside.errors import BadInput, Foreign, Json, Trouble
from service.hostside.facts import NETWORK, same
from service.hostside.host import Host, boottime_s
from service.hostside.journal import Transaction
from service.hostside.points import point
from service.hostside.restore import failed
from service.hostside.verify import differences, told, wait_until, wanted_after

MEANWHILE = "changed meanwhile"
"""The cause of a rollback that says nothing about the change: someone else changed the same thing during the apply."""


class Steps:
    """Does the steps of a transaction, each written into the journal before and after."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.document = transaction.document()
        snapshot = transaction.snapshot()
        self.old = snapshot["facts"]
        self.setter = transaction.setter("new", snapshot["detail"])
        self.named = [step["fact"] for step in self.document["steps"]]
        self.network_moved = any(
            entry["state"] != "pending" and entry["fact"].startswith(("link:", "addresses:", "routes:"))
            for entry in transaction.steps
        )

    def do(self, number: int) -> None:
        step, entry = self.document["steps"][number], self.transaction.journal["steps"][number]
        fact, host = step["fact"], self.transaction.host
        point(host, f"on-confirm-{number}" if step["on_confirm"] else f"step-{number}-before")
        entry.update(state="doing", started_s=round(boottime_s(), 3))
        self.transaction.save()
        try:
            now = capture(host, [fact])[fact]
            first = fact not in self.named[:number]
            if not self._expected(number, now, first):
                raise Foreign(f"{fact} was changed by someone else since the snapshot")
            blind = fact.startswith("nft:") and "normal" not in (step["after"] or {"normal": None})
            blind = blind or fact.startswith("leases:")  # the daemon has to start again in any case
            if blind or not same(fact, step["after"], now):
                if fact.startswith("file:"):
                    self.setter.files.set(fact[5:], step["after"], expected=self.old[fact] if first else now)
                else:
                    self.setter.set(fact, step["after"], step["restart"])
            elif step["restart"]:
                self.setter.set(fact, step["after"], True)
            if fact.startswith(("link:", "addresses:", "routes:")):
                self.network_moved = True
                self.keep()
        except (Trouble, OSError) as error:
            entry.update(error=worded(host, error), ended_s=round(boottime_s(), 3))
            if isinstance(error, Foreign):
                entry["state"] = "pending"  # not ours, so not to be rolled back either
            raise
        entry.update(state="done", ended_s=round(boottime_s(), 3))
        self.transaction.save()
        if not step["on_confirm"]:
            point(host, f"step-{number}-after")

    def _expected(self, number: int, now: Json, first: bool) -> bool:
        step = self.document["steps"][number]
        kind = step["fact"].partition(":")[0]
        if same(step["fact"], step["before"], now) or same(step["fact"], step["after"], now):
            return True
        if kind in ("unit", "leases", "proxy"):  # they move on their own, and with others
            return True
        if kind == "file" and not first:  # as the step before left it
            last = max(n for n in range(number) if self.named[n] == step["fact"])
            return same(step["fact"], self.document["steps"][last]["after"], now)
        return (kind in NETWORK and kind != "nft" and self.network_moved) or not first

    def keep(self) -> None:
        """Set again what the kernel took along. A file that is kept is never written: it is someone else's change."""
        kept = {s["fact"]: s["after"] for s in self.document["keep"] if s["fact"].partition(":")[0] in NETWORK}
        for item in differences(self.transaction.host, kept):
            value = self.old[item["fact"]] if item["fact"].startswith("nft:") else item["expected"]
            self.setter.set(item["fact"], value)
        self.setter.network.set_other_routes()


def try_gateways(host: Host) -> None:
    """Trouble where this host has a gateway's address: the gateway is answered until it forgets us, then never again.

    What the kernel remembers of its gateways is forgotten: it would carry a confirmation over a way that is no more
    (ip-neighbour(8)).
    """
    seen = HostLook(host)
    routes = seen.default_routes()
    own = {item.partition("/")[0] for items in seen.addresses().values() for item in items}
    for route in routes:
        if route["via"] in own:
            raise Trouble(f"{route['via']} is the gateway and one of this host's own addresses as well")
    for dev in sorted({route["dev"] for route in routes}):
        run_command(host, ["ip", "neigh", "flush", "dev", dev])


def apply_steps(transaction: Transaction) -> dict[str, Json]:
    """All steps that do not wait for the confirmation, then the proof that the host has what was wanted."""
    host = transaction.host
    try:
        transaction.save(state="applying")
        steps = Steps(transaction)
        for number, step in enumerate(steps.document["steps"]):
            if not step["on_confirm"]:
                steps.do(number)
        steps.setter.units.reload()
    except Foreign as error:
        return failed(transaction, MEANWHILE, worded(host, error))
    except (Trouble, BadInput, OSError, ValueError, KeyError, TypeError) as error:
        return failed(transaction, "step failed", worded(host, error))
    try:
        point(host, "verifying")
        steps.keep()
        if steps.network_moved:
            try_gateways(host)
        left = wait_until(host, wanted_after(steps.document, on_confirm=False))
        if left:
            return failed(transaction, "verify failed", told(left))
    except (Trouble, OSError) as error:
        return failed(transaction, "verify failed", worded(host, error))
    try:
        prove_switch(transaction)
        transaction.save(state="applied")
    except (Trouble, OSError) as error:
        return failed(transaction, "switch lost", worded(host, error))
    point(host, "applied")
    return transaction.answer()
