"""The outside of a migration: the service's API, the name servers, the sites, the hosts, and the user's program."""

import asyncio
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.errors import HostError, InputError, PasserelleError
from service.internet.resolver import Found, Resolver, parse_servers
from service.internet.serving import answer_of
from service.migrate.judging import NameSeen, RecordChange, Silent, Stopped
from service.model.sites.seen import Answer
from service.model.sites.wanted import SiteWanted
from service.model.trees import shown
from service.spec.host import HostSpec

if TYPE_CHECKING:
    from service.cli.client import Client

AT_ONCE = 8
HOOK_TIMEOUT_S = 300


@dataclass(slots=True)
class Outside:
    """`hook` is the user's program that changes a DNS record, `key` the private key for the hosts."""

    client: "Client"
    resolvers: str
    key: Path
    hook: Path | None = None

    def status(self, host: str) -> Mapping[str, Any]:
        """The host's status."""
        return self._get(f"hosts/{host}")

    def facts(self, host: str) -> Mapping[str, Any]:
        """What was last seen on the host."""
        facts = self._get(f"hosts/{host}/observed")["content"].get("facts")
        return facts if isinstance(facts, dict) else {}

    def leases(self, host: str) -> Mapping[str, str]:
        """The guests' addresses by their leases. A lease that two guests share is nobody's."""
        items = self._get(f"hosts/{host}/guests")["items"]
        return {one["mac"]: one["address"] for one in items if one["address"] and one["state"] != "shared"}

    def _get(self, path: str) -> dict[str, Any]:
        """One document. Silent where the service does not answer, as while it starts again."""
        try:
            found: dict[str, Any] = self.client.get(path)
        except PasserelleError as error:
            if getattr(error, "status", 500) < 500 or isinstance(error, InputError):
                raise
            raise Silent(error.what, hint=error.hint) from error
        return found

    def answers(self, sites: Sequence[SiteWanted]) -> Sequence[Answer]:
        """Each site through the first of its addresses, from this machine."""
        return asyncio.run(_answers(sites))

    def names(self, names: Sequence[str]) -> Sequence[NameSeen]:
        """By the name servers of the settings, never by this machine's own."""
        return asyncio.run(_names(Resolver(parse_servers(self.resolvers)), names))

    def hand_over(self, giver: HostSpec, taker: HostSpec, sites: tuple[SiteWanted, SiteWanted]) -> None:
        """Over SSH, host by host; the service is not needed for it."""
        from service.once import carry_once

        keys = (sites[0].guest_key, sites[1].guest_key)
        try:
            asyncio.run(carry_once(giver, taker, keys, self.key))
        except HostError as error:
            raise Stopped(error.what, hint=error.hint) from error

    def change(self, record: RecordChange) -> bool:
        """`PROGRAM NAME A|AAAA OLD NEW`, addresses with commas; its exit code says whether it did."""
        if self.hook is None:
            return False
        argv = [str(self.hook), record.name, record.kind, ",".join(record.old), ",".join(record.new)]
        try:
            ran = subprocess.run(
                argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=HOOK_TIMEOUT_S
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Stopped(f"{self.hook} cannot change the record of {record.name}: {error}") from error
        if ran.returncode != 0:
            said = shown((ran.stderr or ran.stdout).decode("utf-8", "replace").strip().rpartition("\n")[2], 200)
            raise Stopped(
                f"{self.hook} did not change the record of {record.name}: {said or f'exit code {ran.returncode}'}",
                hint="correct the cause, and start the command again",
            )
        return True

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(time.time())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)


async def _answers(sites: Sequence[SiteWanted]) -> list[Answer]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(site: SiteWanted) -> Answer:
        if not site.addresses:
            return Answer("", error=f"{site.host} has no public address in Git")
        async with turn:
            return await answer_of(site.addresses[0], site.name, port=site.port, is_https=site.is_https)

    return list(await asyncio.gather(*map(one, sites)))


async def _names(resolver: Resolver, names: Sequence[str]) -> list[NameSeen]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> NameSeen:
        async with turn:
            found = [await resolver.addresses(name, family) for family in (4, 6)]
        return _seen(name, found)

    return list(await asyncio.gather(*map(one, names)))


def _seen(name: str, found: Sequence[Found]) -> NameSeen:
    """A name that does not exist has no record that leads anywhere; one of which no server spoke is not known."""
    why = next((one.why for one in found if one.why and one.exists), "")
    return NameSeen(name, tuple(str(record) for one in found for record in one.records), why)
