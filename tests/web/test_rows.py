"""Rows of long tables: where they are made."""

import threading

import pytest

from service.web.pages import fleet, leases
from service.web.rows import Rows
from tests.web.visitor import Visitor


@pytest.mark.parametrize(("page", "path"), [(leases, "/leases"), (leases, "/hosts/pve1/leases"), (fleet, "/")])
async def test_rows_are_made_off_the_event_loop(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, page: object, path: str
) -> None:
    threads = []

    class Seen(Rows):
        def _bound(self) -> None:
            threads.append(threading.current_thread())
            super()._bound()

    name = "lease_row.html" if page is leases else "fleet_row.html"
    monkeypatch.setattr(page, "_ROWS", Seen(name, "one" if page is leases else "host"))
    await visitor.look(path)
    assert threads
    assert threading.main_thread() not in threads
