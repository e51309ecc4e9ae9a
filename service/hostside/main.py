"""The command line: one verb, its result as the last line."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Callable

from service.hostside.begin import verb_begin, verb_run
from service.hostside.confirm import verb_confirm
from service.hostside.deadline import verb_expire, verb_watch
from service.hostside.errors import BadInput, Json, Refused, Trouble, need
from service.hostside.host import Host
from service.hostside.lines import emit
from service.hostside.verbs import (
    verb_boot,
    verb_capture,
    verb_extend,
    verb_prove,
    verb_release,
    verb_rollback,
    verb_status,
)


def dispatch(host: Host, words: list[str]) -> dict[str, Json]:
    """Run one verb; its result."""
    flags = {word for word in words if word in ("--console", "--verify")}
    verb, *rest = [word for word in words if word not in flags] or [""]
    first = rest[0] if rest else ""
    host.verb = verb
    if verb not in ("capture", "status", "probe", "answers", "prove", "weigh"):
        with contextlib.suppress(OSError):
            os.setsid()  # a group of our own, so that whoever must end us ends our commands as well
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reason = " ".join(rest[1:])
    verbs: dict[str, Callable[[], dict[str, Json]]] = {
        "begin": lambda: verb_begin(host),
        "run": lambda: verb_run(host, first),
        "confirm": lambda: verb_confirm(host, first, "--console" in flags),
        "rollback": lambda: verb_rollback(host, first, reason),
        "expire": lambda: verb_expire(host, first),
        "watch": lambda: verb_watch(host, first),
        "extend": lambda: verb_extend(host, first, *[*rest[1:3], "", ""][:2]),
        "boot": lambda: verb_boot(host),
        "status": lambda: verb_status(host, first, "--verify" in flags),
        "capture": lambda: verb_capture(host),
        "release": lambda: verb_release(host, first, reason),
        "prove": lambda: verb_prove(host, first),
        "packages": lambda: packages(host),
        "guests": lambda: guests(host),
        "weigh": lambda: weigh(host, first),
        "probe": lambda: probe(host),
        "answers": lambda: answers(first),
        "permit": lambda: permit(host, first),
        "handover": lambda: handover(host, first, *rest[1:2] or [""]),
        "retire": lambda: retire(host, first),
    }
    need(verb in verbs, f"no verb {verb[:40]!r}; one of {', '.join(verbs)}")
    return verbs[verb]()


# What a transaction does not need is read when it is called: to read all of it takes longer than most verbs.


def packages(host: Host) -> dict[str, Json]:
    from service.hostside.install import verb_packages

    return verb_packages(host)


def guests(host: Host) -> dict[str, Json]:
    from service.hostside.guests import verb_guests

    return verb_guests(host)


def weigh(host: Host, order: str) -> dict[str, Json]:
    from service.hostside.weigh import verb_weigh

    return verb_weigh(host, order)


def probe(host: Host) -> dict[str, Json]:
    from service.hostside.probes import verb_probe

    return verb_probe(host)


def answers(order: str) -> dict[str, Json]:
    from service.hostside.sites import verb_answers

    return verb_answers(order)


def permit(host: Host, guest: str) -> dict[str, Json]:
    from service.hostside.sites import verb_permit

    return verb_permit(host, guest)


def handover(host: Host, guest: str, word: str) -> dict[str, Json]:
    from service.hostside.sites import verb_handover

    return verb_handover(host, guest, word)


def retire(host: Host, order: str) -> dict[str, Json]:
    from service.hostside.retire import verb_retire

    return verb_retire(host, order)


def main(argv: list[str], archive: str) -> int:
    """0 a clean answer, 2 bad input, 1 a crash; the last line on stdout is the result. `archive` is our own file."""
    words, root, bin_dir = list(argv), "", None
    while words[:1] in (["--root"], ["--bin"]) and len(words) > 1:
        if words[0] == "--root":
            root = os.path.abspath(words[1])
        else:
            bin_dir = os.path.abspath(words[1])
        words = words[2:]
    os.umask(0o022)
    try:
        result, code = dispatch(Host(root, bin_dir, archive), words), 0
    except Refused as refused:
        result, code = refused.answer, 0
    except BadInput as error:
        result, code = {"state": "invalid", "error": str(error)}, 2
    except (Trouble, OSError) as error:
        result, code = {"state": "error", "error": str(error)}, 1
    except Exception as error:
        result, code = {"state": "error", "error": f"{type(error).__name__}: {error}"}, 1
    emit(event="result", **result)
    return code
