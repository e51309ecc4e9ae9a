"""`passerelle migrate`: give the guests and sites of a host to another host."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from service.cli.output import Format, complain, printable, show_json, tell

if TYPE_CHECKING:
    from service.cli.migrate_outside import Outside
    from service.cli.migrating import Migration, Order, Wishes
    from service.model.states import Json

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Surroundings:
    """The internet and the hosts, as the command meets them.

    Parameters
    ----------
    address
        The public IPv4 address of the host that gets the guests. Default: its address in Git.
    dns_hook
        A program that changes a DNS record: PROGRAM NAME TYPE OLD NEW. Without it, you change the records that the
        command prints.
    resolvers
        Name servers that are queried for the sites' names. Default: those of the service's settings.
    grace
        How long both hosts serve after the names have changed, such as 5m: at least the TTL of the records.
    timeout
        Longest time to wait for a step, such as 1h.
    ssh_key
        The private key for the hosts, to carry certificates. Default: the service's own key.
    """

    address: str = ""
    dns_hook: Path | None = None
    resolvers: str | None = None
    grace: str = "5m"
    timeout: str = "1h"
    ssh_key: Path | None = None


DEFAULT = Surroundings()


def migrate(
    host: str,
    /,
    *,
    to: str,
    back: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(name="--dry-run", negative="")] = False,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="")] = False,
    repo: Path = Path(),
    world: Surroundings = DEFAULT,
    output: Output = "table",
) -> int:
    """Give the guests, their names and the sites of a host to another host, without a gap.

    The command prints the whole order with the changes of both specs, asks, and carries it out. It commits to the
    branch that is checked out in your clone, with your own rights. Killed at any point, it continues when you start it
    again, or goes back with --back. Data inside guests is not copied: see deploy/docs/migrate.md.
    Exit codes: 0 done, 1 error, refused, not ready, or not in time.

    Parameters
    ----------
    host
        The host that has the guests.
    to
        The host that gets them.
    back
        Take the migration back, from where it is.
    dry_run
        Print the order and the changes, and do nothing.
    yes
        Do not ask for a confirmation.
    repo
        Your clone of the config repository.
    output
        table for people, json for programs: the order alone.
    """
    from service.cli.migrating import Migration, Wishes
    from service.git.clone import Clone
    from service.kinds import KINDS

    grace_s, timeout_s = _seconds(world.grace), _seconds(world.timeout)
    wishes = Wishes(host, to, back, _checked_address(world.address), grace_s, timeout_s)
    migration = Migration(Clone.of(repo), _outside(world), KINDS, wishes)
    order = migration.order()
    if output == "json":
        show_json(as_json(order, wishes))
    else:
        print("\n".join(printable(line) for line in as_text(order, migration)))
    if dry_run:
        left = migration.in_the_way(order)
        for sentence in left:
            tell(f"not ready: {sentence}")
        return 1 if left else 0
    if not yes and not _is_agreed(wishes):
        return 1
    return _carried_out(migration, order)


def _carried_out(migration: "Migration", order: "Order") -> int:
    try:
        migration.run(order)
    except KeyboardInterrupt:
        complain(
            "the migration was interrupted, and nothing is lost",
            "start the command again to continue, or add --back to go back",
        )
        raise
    tell(f"{migration.giver} -> {migration.taker}: done")
    return 0


def _seconds(text: str) -> float:
    from service.cli.state import lifetime

    return lifetime(text).total_seconds()


def _outside(given: Surroundings) -> "Outside":
    from service.cli.client import Client
    from service.cli.migrate_outside import Outside
    from service.errors import InputError
    from service.internet.resolver import parse_servers
    from service.settings import settings_beside

    own = settings_beside()
    try:
        parse_servers(given.resolvers or own.resolvers)
    except ValueError as error:
        raise InputError(f"--resolvers: {error}") from None
    key = given.ssh_key or own.host_key_path
    return Outside(Client(), given.resolvers or own.resolvers, key, given.dns_hook)


def _checked_address(address: str) -> str:
    import ipaddress

    from service.errors import InputError

    try:
        return str(ipaddress.IPv4Address(address)) if address else ""
    except ValueError:
        raise InputError(f"--address: {address!r} is not an IPv4 address", hint="write it as in 192.0.2.10") from None


def _is_agreed(wishes: "Wishes") -> bool:
    """Whether a person at the terminal agrees; without one, the answer is no."""
    from service.cli.apply import is_yes

    if not sys.stdin.isatty():
        complain("no terminal to ask on, so nothing was done", "add --yes")
        return False
    what = f"take the migration of {wishes.source} to {wishes.target} back" if wishes.is_back else "carry this out"
    if is_yes(f"{what}? [y/N] "):
        return True
    tell("nothing was done")
    return False


def as_text(order: "Order", migration: "Migration") -> list[str]:
    """The order of events, and what each commit changes."""
    from service.spec.editing import unified

    lines = [f"From {migration.giver} to {migration.taker}, {len(order.steps)} steps:"]
    for number, step in enumerate(order.steps, 1):
        lines += [f"{number:>3}  {step.does}", f"     taken back by: {step.undone}", f"     done when:     {step.seen}"]
    for name, edits in order.edits:
        step = next(one for one in order.steps if one.name == name.removesuffix("-back"))
        lines += ["", f"Step {order.steps.index(step) + 1} changes:"]
        lines += [line for edit in edits for line in unified(edit.path, edit.before, edit.after).splitlines()]
    return [*lines, *([""] if order.notes else []), *(f"Note: {note}" for note in order.notes)]


def as_json(order: "Order", wishes: "Wishes") -> "Json":
    """The same for programs."""
    from service.spec.editing import unified

    patches: dict[str, str] = {
        name.removesuffix("-back"): "".join(unified(edit.path, edit.before, edit.after) for edit in edits)
        for name, edits in order.edits
    }
    return {
        "host": wishes.source, "to": wishes.target, "back": wishes.is_back,
        "steps": [
            {
                "name": step.name, "does": step.does, "undone": step.undone, "done_when": step.seen,
                "patch": patches.get(step.name),
            }
            for step in order.steps
        ],
        "notes": list(order.notes),
    }  # fmt: skip
