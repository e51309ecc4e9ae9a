"""What goes wrong with SSH, in words for the person who must do something about it.

trouble_connecting(target, error, phase, timeout_s, seen, pins, key) -> HostError
trouble_running(target, error, what, timeout_s) -> HostError
"""

import errno
import socket
from collections.abc import Sequence
from typing import Literal

import asyncssh

from service.errors import AuthFailed, HostError, HostKeyChanged, Throttled, Unreachable
from service.model.trees import shown
from service.observe.connection import Answer, Target
from service.ssh.greeting import TurnedAway

Phase = Literal["tcp", "greeting", "login"]

_TIMED_OUT: dict[Phase, tuple[str, str]] = {
    "tcp": (
        "no TCP connection within {s:g} s",
        "check that the host is up, that the address is right, and that no firewall drops the port",
    ),
    "greeting": (
        "TCP connects, but no SSH server greets within {s:g} s",
        "use the console: sshd or the whole host hangs",
    ),
    "login": (
        "SSH answers, but the login did not end within {s:g} s",
        "try `ssh -v` by hand: the host hangs, or large packets are lost (MTU)",
    ),
}

_REFUSED: dict[int, tuple[str, str]] = {
    errno.ECONNREFUSED: ("the connection is refused", "sshd is not running there, or listens on another port"),
    errno.EHOSTUNREACH: ("there is no route to it", "it is down, or the network between is"),
    errno.ENETUNREACH: ("there is no route to its network", "check the service's own network"),
    errno.ECONNRESET: ("the connection was reset", "a firewall, or sshd refuses new connections (MaxStartups)"),
}


def where(target: Target) -> str:
    """Host, address and port as they are in every message."""
    return f"{'jump host ' if target.is_jump else ''}{target.name} ({target.address} port {target.port})"


def trouble_connecting(
    target: Target,
    error: Exception,
    *,
    phase: Phase,
    timeout_s: float,
    seen: asyncssh.SSHKey | None,
    pins: Sequence[str],
    key: asyncssh.SSHKey,
) -> HostError:
    """The typed error for a connection that did not come about. `seen` is the host key that was not a pinned one."""
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _other_key(target, seen, pins)
    if isinstance(error, asyncssh.PermissionDenied):
        options = "restrict,port-forwarding" if target.is_jump else "restrict"
        return AuthFailed(
            f"{where(target)} does not accept the service's key {key.get_fingerprint()} for {target.user}",
            hint=f"add to ~{target.user}/.ssh/authorized_keys there: "
            f"{options} {key.export_public_key().decode().strip()}",
            login=target.login,
        )
    if isinstance(error, asyncssh.ChannelOpenError) and target.jump is not None:
        return _not_forwarded(target, target.jump, error)
    if isinstance(error, TurnedAway):
        return turned_away(where(target), error)
    what, hint = _unreachable(error, phase, timeout_s)
    return Unreachable(f"{where(target)}: {what}", hint=hint)


def no_sudo(target: Target, answer: Answer) -> AuthFailed:
    """The login works, but root's rights do not come with it."""
    said = shown(answer.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2], 120) or "no reason was given"
    return AuthFailed(
        f"{where(target)}: {target.user} logs in but cannot become root: {said}",
        hint=f"allow it there without a password: echo '{target.user} ALL=(root) NOPASSWD: ALL' "
        f"> /etc/sudoers.d/passerelle; test it with `sudo -n true`",
        login=target.login,
    )


def _not_forwarded(target: Target, jump: Target, error: asyncssh.ChannelOpenError) -> Unreachable:
    """The jump host was reached, and opens no connection to the host behind it (RFC 4254, 5.1 and 7.2)."""
    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return Unreachable(
            f"{where(target)}: {where(jump)} forwards no connection to it",
            hint="set `AllowTcpForwarding local` in its sshd_config, check PermitOpen, and add the key there with the "
            "line of `passerelle key --jump`: `restrict` alone forbids forwarding",
        )
    return Unreachable(
        f"{where(target)}: {where(jump)} does not reach it: {_said(error)}",
        hint="is the host up, and is connection.address right as seen from the jump host?",
    )


def turned_away(where_: str, error: TurnedAway) -> Unreachable:
    """sshd said that it takes no login from here now."""
    if not error.is_penalty:
        return Unreachable(
            f"{where_}: sshd has too many logins under way and takes no more (MaxStartups)",
            hint="somebody floods it with connections, or MaxStartups in its sshd_config is too low",
        )
    return Throttled(
        f"{where_}: sshd rejects every login from {error.own} for a while (PerSourcePenalties), because too many "
        "logins from this address failed, of passerelle or of others. passerelle waits and tries again",
        hint=f"exempt passerelle with `PerSourcePenaltyExemptList {error.own}` in its sshd_config, and reload sshd",
    )


def _unreachable(error: Exception, phase: Phase, timeout_s: float) -> tuple[str, str]:
    if isinstance(error, TimeoutError):
        what, hint = _TIMED_OUT[phase]
        return what.format(s=timeout_s), hint
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved", "use an IP address, or fix DNS"
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return _REFUSED[error.errno]
    if isinstance(error, asyncssh.KeyExchangeFailed):
        hint = "its sshd is too old, or its configuration forbids curve25519 and AES-GCM"
        return f"no common SSH algorithm ({shown(str(error), 120)})", hint
    step = {"tcp": "connecting", "greeting": "greeting", "login": "logging in"}[phase]
    return f"the connection ended while {step}: {_said(error)}", "try `ssh -v` by hand"


def trouble_running(target: Target, error: Exception, what: str, timeout_s: float) -> HostError:
    """The typed error for a command on an open connection that came to no end."""
    if isinstance(error, TimeoutError):
        return Unreachable(
            f"{where(target)}: {what} did not end within {timeout_s:g} s, so the connection was closed",
            hint="the host hangs, is very busy, or was cut off meanwhile",
        )
    if isinstance(error, asyncssh.ChannelOpenError):
        return Unreachable(
            f"{where(target)}: sshd opened no session for {what}: {_said(error)}",
            hint="MaxSessions, or a forced command, in its sshd_config",
        )
    return Unreachable(f"{where(target)}: the connection was lost during {what}: {_said(error)}")


def _other_key(target: Target, seen: asyncssh.SSHKey | None, pins: Sequence[str]) -> HostKeyChanged:
    shows = f"{seen.get_algorithm()} {seen.get_fingerprint()}" if seen else "a key that cannot be read"
    if target.is_jump:
        hint = (
            "compare the fingerprint on its console. If the host was reinstalled, commit the new key. Otherwise "
            "somebody intercepts the connection. passerelle tries again after the next commit"
        )
        what = f"{where(target)} shows the host key {shows}; pinned: {', '.join(pins)}. Nothing was sent to it"
        return HostKeyChanged(what, hint=hint)
    return HostKeyChanged(
        f"{where(target)} shows the host key {shows}; pinned: {', '.join(pins)}. Nothing was sent to it",
        hint="if the host was reinstalled, compare the fingerprint on its console, and commit the new key under "
        "connection.host_keys. Otherwise somebody may be intercepting the connection. passerelle tries again after the "
        f"next commit, or with `passerelle look {target.name}`",
    )


def _said(error: Exception) -> str:
    return shown(str(error), 120) or type(error).__name__
