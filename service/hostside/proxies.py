"""nginx in guests: what it has loaded, and how it comes to load the files that the host has for it now."""

from __future__ import annotations

import contextlib
import os
import time

from service.hostside.commands import safe_line
from service.hostside.errors import Json, Trouble
from service.hostside.guest_nginx import LOOK, SET, NotKnown, is_not_running, nginx_of
from service.hostside.host import Host
from service.hostside.inside import find_guest, inside, is_running

LOOK_TIMEOUT_S = 8.0
SET_TIMEOUT_S = 90.0
START_TIMEOUT_S = 30.0
START_POLL_S = 0.2
MOST_SAID = 1 << 16


def proxy_fact(host: Host, key: str) -> Json:
    """None where the host has no such guest, {"away": why} where nobody can tell what its nginx has loaded."""
    guest = find_guest(host, key)
    if guest is None:
        return None
    try:
        if not is_running(host, guest):
            return {"away": is_not_running(guest.name)}
        ran = inside(host, guest, ["/bin/sh", "-c", LOOK], timeout_s=LOOK_TIMEOUT_S, most=MOST_SAID)
        return nginx_of(guest.name, ran.out)
    except (Trouble, NotKnown) as error:
        return {"away": str(error)}


def away(fact: str, found: Json) -> str:
    """Why nobody can tell what nginx in a guest has loaded, "" for all else. It is neither restored nor compared: a
    guest that is down loads its files when it starts, and one that does not answer shows as drift once it does."""
    return str((found or {}).get("away", "")) if fact.startswith("proxy:") else ""


class Proxies:
    """Brings the nginx of guests to values. Which files it loads is up to the files that the host has at that time."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def set(self, key: str, wanted: Json) -> None:
        """Load the files, or forget them where the host has none any more. Trouble with nginx's own line where it does
        not accept them."""
        guest = find_guest(self.host, key)
        if guest is None:
            if wanted is None:
                return
            raise Trouble(f"the host has no guest {key.partition('@')[0]}")
        if not is_running(self.host, guest):
            raise Trouble(is_not_running(guest.name))
        stop = ["stop"] if (wanted or {}).get("active") is False else ["load"]
        ran = inside(self.host, guest, ["/bin/sh", "-c", SET, "sh", *stop], timeout_s=SET_TIMEOUT_S, most=MOST_SAID)
        if ran.code != 0:
            raise Trouble(f"guest {guest.name}: {safe_line(ran.err)}")


def load_once_up(host: Host, key: str, name: str) -> None:
    """The nginx of a guest that just started for the first time loads what the host has for it. If it does not, that is
    drift: the next look sees it, and a transaction tries again and says why."""
    if not os.path.exists(host.path(f"/etc/passerelle/guests/{name}/nginx.conf")):
        return
    ends_s = time.monotonic() + START_TIMEOUT_S
    while away(f"proxy:{key}", proxy_fact(host, key)) and time.monotonic() < ends_s:
        time.sleep(START_POLL_S)
    with contextlib.suppress(Trouble):
        Proxies(host).set(key, {"active": True})
