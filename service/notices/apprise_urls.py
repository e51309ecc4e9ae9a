"""Notices by Apprise, a library that knows services by which people are reached: the extra `passerelle[apprise]`.

    for channel in channels(urls_of(content)): channel.send("passerelle_41", at, {"type": …})

Each address is a channel of its own: one that fails does not have the others send twice. An address holds a secret, so
channels are named by their place in the file, and nothing that Apprise says of an address is shown.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from service.errors import InputError
from service.model.secret import Secret
from service.model.states import Json
from service.model.trees import shown
from service.notices.channel import Channel, NoticeError
from service.wire import is_this_machine

MOST = 16
TIMEOUT_S = 60.0
TITLE, TEXT = 150, 2000
LOCAL = ("syslog", "dbus", "qt", "kde", "glib", "gio", "gnome", "macosx", "windows", "blink1")
"""Services of Apprise that reach this machine alone."""


def urls_of(content: bytes) -> tuple[Secret, ...]:
    """The addresses of a file, one in a line; lines that begin with `#` are comments. InputError if none is there."""
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    found = tuple(Secret(line.encode()) for line in lines if line and not line.startswith("#"))
    if not 1 <= len(found) <= MOST:
        raise InputError(
            f"the file of the addresses for Apprise has {len(found)} addresses",
            hint=f"write 1 to {MOST}, one in a line",
        )
    return found


def channels(urls: Sequence[Secret], *, is_plain: bool = False, timeout_s: float = TIMEOUT_S) -> list[Channel]:
    """One for each address, in their order. InputError where the extra is not installed, or Apprise does not know an
    address, or one is not encrypted and is not this machine, unless `is_plain`."""
    return [_channel(number, url, is_plain, timeout_s) for number, url in enumerate(urls, 1)]


def _channel(number: int, url: Secret, is_plain: bool, timeout_s: float) -> Channel:
    text = url.reveal().decode()
    try:
        scheme, host = (parts := urlsplit(text)).scheme.lower(), parts.hostname or ""
    except ValueError:
        scheme, host = "", ""
    library = _library()
    asset = library.AppriseAsset(http_redirects=False)
    service: Any = library.Apprise.instantiate(text, asset=asset, suppress_exceptions=True)
    if service is None:
        raise InputError(
            f"Apprise does not know address {number} ({shown(scheme, 20)})",
            hint="see the list of services in Apprise's pages",
        )
    service.redirects = False  # whatever `redirect=` says: a receiver would choose where in this network a call goes
    is_safe = is_plain or scheme in LOCAL or is_this_machine(host)
    if _is_unencrypted(service, scheme) and not is_safe:
        raise InputError(
            f"notices to address {number} for Apprise ({scheme}) would go without encryption",
            hint="use a service with encryption (as jsons://… for json://…), or set PASSERELLE_NOTICE_PLAIN=true where "
            "the way to it is safe",
        )
    if not service.verify_certificate and not is_safe:
        raise InputError(
            f"notices to address {number} for Apprise ({scheme}) would go to whoever answers: `verify=no` checks no "
            "certificate",
            hint="remove `verify=no`, or set PASSERELLE_NOTICE_PLAIN=true where the way to it is safe",
        )
    one = _One(number, scheme, service, timeout_s)
    return Channel(f"apprise-{number}", one.where, one.send)


def _is_unencrypted(service: Any, scheme: str) -> bool:
    """Whether this is the word of the service for calls without encryption. A service that has one word alone, and an
    address of its own, is encrypted where that address is."""
    if not service.secure_protocol and str(getattr(service, "notify_url", "")).startswith("https://"):
        return False
    plain = service.protocol or ()
    return scheme in ((plain,) if isinstance(plain, str) else plain)


def _library() -> Any:
    said = logging.getLogger("apprise")  # its lines have addresses in them
    said.handlers, said.propagate = [logging.NullHandler()], False
    try:
        import apprise  # noqa: PLC0415  # an extra, and slow to load
    except ImportError:
        raise InputError(
            "PASSERELLE_NOTICE_APPRISE_FILE is set, and Apprise is not installed",
            hint="pip install 'passerelle[apprise]' in the service's own environment",
        ) from None
    return apprise


class _One:
    """One address."""

    def __init__(self, number: int, scheme: str, service: Any, timeout_s: float) -> None:
        self.where = f"address {number} for Apprise ({scheme})"
        self._service = service
        self._timeout_s = timeout_s
        self._running: threading.Thread | None = None

    def send(self, notice_id: str, at: datetime, body: Mapping[str, Json]) -> str:
        """Send it once. NoticeError where it was not taken. Apprise's plugins have limits of their own. One that
        ignores them is left alone after `timeout_s`, and is not called again while it still runs."""
        if self._running is not None and self._running.is_alive():
            raise NoticeError(f"{self.where} has not answered yet")
        data = body.get("data")
        text = str(data.get("text", "")) if isinstance(data, dict) else ""
        taken: list[bool] = []

        def notify() -> None:
            try:
                taken.append(bool(self._service.notify(body=shown(text, TEXT), title=shown(text, TITLE))))
            except Exception:  # whatever a plugin does: its words may hold the address
                taken.append(False)

        self._running = threading.Thread(target=notify, daemon=True, name="apprise")
        self._running.start()
        self._running.join(self._timeout_s)
        if not taken:
            raise NoticeError(f"{self.where} did not answer in {self._timeout_s:g} s")
        if not taken[0]:
            raise NoticeError(f"{self.where} did not take the notice")
        return ""
