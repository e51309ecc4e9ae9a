"""What can go wrong, and whose problem it is.

PasserelleError
├── InputError          the person or the repository gave something that cannot be used; retrying changes nothing
│   ├── NotFound        there is no such thing, or not for whoever asks
│   │   └── NoHost      there is no such host; it may have another name now
│   ├── NotKnown        the host was not compared with what Git wants now: there is nothing to answer by
│   │   ├── NeverSeen   it was never seen at all
│   │   └── LeftGit     it is no longer in Git
│   ├── WaitsAlready    somebody else requested the same of this host, and that waits for its turn
│   └── Stale           what was agreed to is not what would be done now: look at the new plan
│       └── SourceChanged  the branch is not where it was when somebody looked
├── SourceError         Git: not reachable, rewound, emptied; the last good revision stays in force
├── HostError           a host: the next round tries again, but for a changed host key
│   ├── Unreachable     no connection, or it died; try later
│   │   └── Throttled   its sshd refuses every login from our address for a while (PerSourcePenalties)
│   ├── HostKeyChanged  the host shows another key than the spec pins; a person must look
│   ├── AuthFailed      the host refuses our key, or the user cannot become root
│   ├── Garbled         the host answered something that is not an answer (bounds, framing)
│   ├── TooMuch         what the host says takes too much time or memory to read or to plan
│   └── HostRefused     the host-side file said no (conflict, fenced off, armed already, check failed)
├── StoreError          the database: locked, newer than us, damaged
└── LabError            the lab could not do what was asked of it
"""


class PasserelleError(Exception):
    """What happened, why, and what to do next. `hint` is the next command or step for a person, may be empty."""

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})" if self.hint else self.what


class InputError(PasserelleError):
    """Bad input from a person, a file or a request."""


class NotFound(InputError):  # noqa: N818
    """There is no such thing, or not for whoever asks."""


class NoHost(NotFound):
    """No host has this name, or not for whoever asks. `now` is the name that the host was given since."""

    def __init__(self, host: str, *, now: str = "") -> None:
        if now:
            super().__init__(f"{host} is now called {now}", hint=f"write {now} instead of {host}")
        else:
            super().__init__(f"no host {host}")


class NotKnown(InputError):  # noqa: N818
    """The host was not compared with what Git wants now. Never answered by an empty list or by an old plan."""


class NeverSeen(NotKnown):
    """The host was never seen."""


class LeftGit(NotKnown):
    """The host is no longer in Git."""


class WaitsAlready(InputError):  # noqa: N818
    """The same was requested of this host by somebody else, and waits for its turn. Of two at once one gets this."""


class Stale(InputError):  # noqa: N818
    """What was agreed to (a plan, a digest) is not what would be done now."""


class Held(InputError):  # noqa: N818
    """No apply may begin on the host now: it is suspended, outside of its windows, or the stop file is there."""


class SourceChanged(Stale):
    """The branch of the source is not where it was when somebody looked."""


class SourceError(PasserelleError):
    """The Git source cannot be used now."""


class HostError(PasserelleError):
    """A host did not do what was requested."""


class Unreachable(HostError):  # noqa: N818 (the word users see)
    """No connection to the host, or it was lost."""


class Throttled(Unreachable):
    """The host's sshd refuses all connections from the service's address for a while, after failed logins from it."""


class HostKeyChanged(HostError):  # noqa: N818
    """The host's key is not one of those its spec pins. Never retried on its own: a commit or a person has to ask."""


class AuthFailed(HostError):  # noqa: N818
    """The host does not accept the service's key, or its user cannot become root. `login` is who tried where."""

    def __init__(self, what: str, *, hint: str = "", login: str = "") -> None:
        super().__init__(what, hint=hint)
        self.login = login


class Garbled(HostError):  # noqa: N818
    """The host's answer breaks the framing or a bound."""


class TooMuch(HostError):  # noqa: N818
    """What the host says takes more CPU time or memory than one host may have."""


class HostRefused(HostError):  # noqa: N818
    """The host-side file refused. `reason` is one of its words: conflict, fenced, armed, check, space, quarantined."""

    def __init__(self, what: str, *, reason: str, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.reason = reason


class StoreError(PasserelleError):
    """The database cannot be used."""


class LabError(PasserelleError):
    """The lab could not do what was requested."""
