"""Units of systemd: their enablement and whether they run."""

from __future__ import annotations

import os

from service.hostside.capture import HostLook
from service.hostside.commands import must, run_command
from service.hostside.durable import remove
from service.hostside.errors import Json, Trouble
from service.hostside.host import UNITS, Host


class Units:
    """Brings units to values. After files below /etc/systemd/system changed, systemd reads its units again before the
    next one (`reload_due`)."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.reload_due = False
        self.no_block = False  # at boot: a start is requested, not waited for
        self.unsure: set[str] = set()  # units whose enablement was cut half way: systemd sees less of it than there is

    def set(self, name: str, wanted: Json, restart: bool) -> None:
        self.reload()
        now = HostLook(self.host).units([name])[name]
        if wanted is None:
            if now is not None and now["active"]:
                self.systemctl("stop", name)
            self._forget_unit(name)
            run_command(self.host, ["systemctl", "reset-failed", name])  # it would stay in the list of failed units
            return
        if now is None:
            raise Trouble(f"there is no unit {name}")
        self._set_enablement(name, wanted.get("enabled"), now["enabled"])
        if "active" not in wanted:
            return
        if not wanted["active"]:
            if now["active"] or self.no_block:
                self.systemctl("stop", name)
        elif restart and now["active"]:
            self.systemctl("restart", name)
        elif not now["active"] or self.no_block:
            self.systemctl("start", name)

    def _set_enablement(self, name: str, wanted: Json, now: str) -> None:
        if wanted is None or (wanted == now and name not in self.unsure):
            return
        if now == "masked" and wanted != now:
            self.systemctl("unmask", name)
            now = (HostLook(self.host).units([name])[name] or {}).get("enabled", "")
        if wanted in ("enabled", "disabled", "masked") and (wanted != now or name in self.unsure):
            self.systemctl({"enabled": "enable", "disabled": "disable", "masked": "mask"}[wanted], name)

    def _forget_unit(self, name: str) -> None:
        """Remove what `enable` made: systemctl cannot any more once the unit's file is gone."""
        top = self.host.path(UNITS)
        for folder in sorted(os.listdir(top)) if os.path.isdir(top) else []:
            link = os.path.join(top, folder, name)
            if folder.endswith((".wants", ".requires")) and os.path.islink(link):
                remove(link)
                self.reload_due = True

    def reload(self) -> None:
        """Let systemd read its units again if files of them changed."""
        if self.reload_due:
            self.systemctl("daemon-reload")
            self.reload_due = False

    def systemctl(self, *words: str) -> None:
        blocking = ["--no-block"] if self.no_block and words[0] in ("start", "stop", "restart") else []
        if words[0] in ("start", "restart"):
            # several applies in a few seconds are not a crash loop: systemd would reject the sixth (StartLimitBurst)
            run_command(self.host, ["systemctl", "reset-failed", *words[1:]])
        must(self.host, ["systemctl", *blocking, *words], timeout_s=90.0)
