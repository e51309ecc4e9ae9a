"""`passerelle wait`: until hosts are in a state, as scripts and pipelines need it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from service.cli.exit_codes import UNREACHABLE, USAGE
from service.cli.known import MOST_NAMED, fix_of
from service.cli.output import Format, complain, show_json, tell
from service.errors import PasserelleError

if TYPE_CHECKING:
    from service.cli.client import Client

Output = Annotated[Format, Parameter(name=["--output", "-o"])]
Word = Literal[
    "Synced", "OutOfSync", "Healthy", "Progressing", "Degraded", "Reachable", "Unreachable", "Idle",
    "WaitingForApproval", "WaitingForWindow", "Succeeded", "Failed", "RolledBack",
]  # fmt: skip
Host = Mapping[str, Any]
AXES = ("sync", "health", "reachability", "phase")
UNDONE = ("RolledBack", "RollbackFailed")
MOST = 100_000
NEWEST = 1000
"""So many revisions are read each time."""


def wait(
    host: str | None = None,
    /,
    *,
    every: Annotated[bool, Parameter(name="--all", negative="")] = False,
    words: Annotated[list[Word] | None, Parameter(name="--for", negative="", show_default=False)] = None,
    revision: str | None = None,
    timeout: float = 600,
    output: Output = "table",
) -> int:
    """Wait until a host, or every host, is in a state. It asks for nothing: the service looks at hosts as always.

    Exit code 0: all of it is true. 1: the time is over. 3: an apply of --revision was rolled back and is not tried
    again. 4: the time is over, and a host is not reached.

    Parameters
    ----------
    host
        One host.
    every
        Every host in Git instead.
    words
        What has to be true of each host: a word of `passerelle status`. May be given more than once. Default: Synced.
    revision
        Also: the host was compared with this commit, or with a later one. Its name, or at least the first 7 digits.
    timeout
        Longest time to wait, in seconds.
    output
        table for people, json for programs: the status of the host, or of all as a list.
    """
    import re

    from service.cli.client import Client

    if (host is None) != every:
        complain("name one host, or give --all")
        return USAGE
    if revision is not None and not re.fullmatch(r"[0-9a-f]{7,64}", revision):
        complain("--revision is not the name of a commit", "give at least the first 7 of its hexadecimal digits")
        return USAGE
    client = Client()
    wanted = Wanted(client, tuple(words or ("Synced",)), revision)
    deadline_s = time.monotonic() + timeout
    found: dict[str, Host] = {}
    for found in statuses(client, host, deadline_s, wanted.revised):
        wanted.look(found)
        wanted.progress(found)
        if wanted.is_over(found):
            break
    if output == "json":
        show_json(list(found.values()) if every else found[str(host)])
    return wanted.ended(found)


class Wanted:
    """What is waited for, and what is reported of it."""

    def __init__(self, client: "Client", words: tuple[str, ...], revision: str | None) -> None:
        self._client = client
        self._words = words
        self._revision = revision
        self._later: set[str] = set()
        self._earlier: set[str] = set()
        self._unknown: set[str] = set()
        self._is_walked = False
        self._told = ""

    def look(self, found: Mapping[str, Host]) -> None:
        """Read the revisions, if a host was compared with one that may be any. At most once for all hosts."""
        if self._revision is None:
            return
        observed = {str(one["observed_commit"]) for one in found.values() if one["observed_commit"]}
        if observed - self._later - self._earlier - self._unknown:
            self._read_revisions(self._revision)
            self._unknown = observed - self._later - self._earlier

    def revised(self) -> None:
        """There is a new revision: what was not known may be known now."""
        self._unknown.clear()

    def holds(self, host: Host) -> bool:
        """Whether a host is as wanted."""
        here = {host[axis] for axis in AXES}
        return all(word in here for word in self._words) and self._is_at(host)

    def is_over(self, found: Mapping[str, Host]) -> bool:
        """Whether there is nothing to wait for any more. Where there is no host, one may come."""
        return bool(found) and all(self.holds(one) or self._is_undone(one) for one in found.values())

    def progress(self, found: Mapping[str, Host]) -> None:
        """Tell how many are as wanted, when that is another number."""
        count = sum(self.holds(one) for one in found.values())
        line = f"  {count} of {len(found)} host{'s' * (len(found) != 1)}: {self._what}"
        if line != self._told:
            self._told = line
            tell(line)

    def ended(self, found: Mapping[str, Host]) -> int:
        """The exit code; the hosts that are not as wanted are named."""
        if not found:
            complain("no host is in Git", "commit one, or use a token that may see the hosts")
            return 1
        missing = [one for one in found.values() if not self.holds(one)]
        for one in missing[:MOST_NAMED]:
            state = ", ".join(str(one[axis]) for axis in AXES)
            complain(f"{one['host']} is {state}: {one['message'] or one['reason'] or 'no more is known'}", fix_of(one))
        if len(missing) > MOST_NAMED:
            complain(f"{len(missing) - MOST_NAMED} more are not {self._what}", "see `passerelle status`")
        if not missing:
            return 0
        if any(self._is_undone(one) for one in missing):
            return 3
        return UNREACHABLE if any(one["reachability"] != "Reachable" for one in missing) else 1

    @property
    def _what(self) -> str:
        return " and ".join(self._words) + (f" at {self._revision[:10]} or later" if self._revision else "")

    def _is_undone(self, host: Host) -> bool:
        """Whether the revision was rolled back on the host, and is not tried again."""
        is_last = self._revision is not None and host["reason"] == "RolledBackLatched" and host["phase"] in UNDONE
        return is_last and self._is_at(host)

    def _is_at(self, host: Host) -> bool:
        """Whether the host was compared with the revision, or with a later one."""
        return self._revision is None or host["observed_commit"] in self._later

    def _read_revisions(self, revision: str) -> None:
        """Sort the revisions into those from this one on and those before. The newest ones, and once all of them."""
        known = self._commits(NEWEST)
        place = _place(revision, known)
        if place is None and self._later:  # it is older than all of these
            self._later |= set(known) - self._earlier
            return
        if place is None and len(known) == NEWEST and not self._is_walked:
            self._is_walked = True
            known = self._commits(MOST)
            place = _place(revision, known)
        if place is not None:  # the service knows it by now
            self._later, self._earlier = set(known[: place + 1]), set(known[place + 1 :])

    def _commits(self, most: int) -> list[str]:
        from service.model.listings import RevisionListing

        return [str(one["commit"]) for one in self._client.items("revisions", RevisionListing(), most=most)]


def _place(revision: str, known: Sequence[str]) -> int | None:
    return next((number for number, one in enumerate(known) if one.startswith(revision)), None)


def statuses(
    client: "Client", host: str | None, deadline_s: float, revised: Callable[[], None]
) -> Iterator[dict[str, Host]]:
    """The hosts by name, each time when anything may be different, until the time is over. Calls `revised` when there
    may be a new revision."""
    from service.cli.client import ApiError
    from service.model.listings import EventListing, HostListing

    def read() -> dict[str, Host]:
        if host is not None:
            return {host: client.get(f"hosts/{host}")}
        found = client.items("hosts", HostListing(), most=MOST)
        return {one["host"]: one for one in found if one["reason"] != "Orphaned"}

    if host is not None:
        for found in one_host(client, host, deadline_s):
            revised()
            yield found
        return
    found = read()
    yield found
    for message in _messages(client, EventListing(), deadline_s):
        try:
            name, kind = _about(message.data)
            if not kind or kind.startswith("revision."):
                revised()
            found = {**found, name: client.get(f"hosts/{name}")} if name in found else read()
        except ApiError as error:
            if error.status != 404:
                raise
            found = read()  # the host is gone
        yield found


def one_host(client: "Client", host: str, deadline_s: float) -> Iterator[dict[str, Host]]:
    """One host, each time when its status is another one: the service answers when it is."""
    found, tag = client.news(f"hosts/{host}", "", 0)
    yield {host: found}
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            found, tag = client.news(f"hosts/{host}", tag, left_s, known=found)
        except PasserelleError as error:
            _again(error, deadline_s)
            continue
        yield {host: found}


def _messages(client: "Client", asked: Any, deadline_s: float) -> Iterator[Any]:
    """The messages of the stream, also over a restart of the service, until the time is over."""
    from service.cli.streamed import SILENT_S

    after: int | None = None
    while (left_s := deadline_s - time.monotonic()) > 0:
        try:
            for message in client.stream(asked, after, silent_s=min(SILENT_S, left_s)):
                after = after if message.id is None else message.id
                yield message
                if time.monotonic() >= deadline_s:
                    return
        except PasserelleError as error:
            _again(error, deadline_s)


def _again(error: PasserelleError, deadline_s: float) -> None:
    """Let a moment pass while the service is away, for example during its restart. Raises what does not pass."""
    from service.cli.client import ApiError
    from service.cli.streamed import AGAIN_S

    if isinstance(error, ApiError) and error.status < 500 and error.status != 429:
        raise error
    time.sleep(max(0.0, min(AGAIN_S, deadline_s - time.monotonic())))


def _about(data: str) -> tuple[str, str]:
    """The host and the type of an event; empty where it is of none, or where there is no event."""
    import json

    said = json.loads(data) if data else {}
    return str(said.get("host", "")), str(said.get("type", ""))
