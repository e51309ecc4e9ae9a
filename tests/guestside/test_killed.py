"""A run that is killed anywhere: nothing is lost, no order is wasted, and the next run ends in a certificate.

One in three places, by chance; all of them in `tests/run --full`.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.guestside.authority import Authority
from tests.guestside.guest import Guest, matched, verified

pytestmark = [pytest.mark.host, pytest.mark.long, pytest.mark.timeout(600)]

AFTER_BACK_OFF_S = 400


def run(guest: Guest, at: int) -> "subprocess.CompletedProcess[str]":
    words = [str(guest.config), str(guest.state), str(guest.ahead_s), str(at)]
    return subprocess.run(
        [sys.executable, "-m", "tests.guestside.killed", *words], capture_output=True, text=True, timeout=300
    )


def test_killed_at_every_change_the_next_run_ends_in_a_certificate(
    authority: Authority, new_guest: Callable[..., Guest]
) -> None:
    def ready(number: int) -> Guest:
        guest = new_guest(f"guest{number}")
        guest.certificates = [{"name": "www.example.org", "names": ["www.example.org", f"n{number}.example.org"]}]
        guest.permit()
        return guest

    whole = ready(0)
    done = run(whole, 0)
    assert done.returncode == 0, done.stderr
    verified(authority, whole)
    changes = int(done.stdout.split()[-1])
    assert changes > 20
    every = 1 if os.environ.get("TESTS_FULL") else 3
    points = range(random.randrange(every) + 1, changes + 1, every)
    guests = {at: ready(at) for at in points}
    authority.serve(*(guest.webroot for guest in guests.values()))

    def die_and_go_on(at: int) -> None:
        guest = guests[at]
        assert run(guest, at).returncode == -9
        if guest.live().exists():
            matched(guest)
        for name in ("state.json", "status.json", "permits.json"):
            if (guest.state / name).exists():
                json.loads((guest.state / name).read_text())
        guest.ahead_s = AFTER_BACK_OFF_S
        last = run(guest, 0)
        assert last.returncode == 0, last.stderr
        assert guest.status()["certificate"]["kind"] == "issued", (at, guest.status())
        verified(authority, guest)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(die_and_go_on, points))
    for at in points:
        asked = [o for o in authority.orders if any(i["value"] == f"n{at}.example.org" for i in o["identifiers"])]
        assert 1 <= len(asked) <= 2, at
    assert authority.finalized == 1 + len(points)
