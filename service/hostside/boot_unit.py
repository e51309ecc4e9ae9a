"""The unit that rolls back an armed change before networking starts."""

from __future__ import annotations

import os

from service.hostside.commands import must
from service.hostside.durable import make_folders, read_file, sync_folder, write_atomic
from service.hostside.host import UNITS, Host

RECOVER_UNIT = "passerelle-recover.service"
RECOVER_TEXT = """\
# Written by passerelle: brings back the old network if the host went down in the middle of a change.
# Whoever kills the first try, the second one finishes what it began; nothing is left to do for the others.
[Unit]
Description=passerelle: undo an unconfirmed change before networking starts
DefaultDependencies=no
Conflicts=shutdown.target
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target shutdown.target network-pre.target networking.service systemd-networkd.service
Before=systemd-sysctl.service nftables.service passerelle-nft.service
ConditionPathExists=/var/lib/passerelle/armed

[Service]
Type=oneshot
ExecStart=-/usr/bin/timeout -s KILL 40 /usr/bin/python3 -I -S /var/lib/passerelle/boot.py boot
ExecStart=-/usr/bin/timeout -s KILL 40 /usr/bin/python3 -I -S /var/lib/passerelle/boot.py boot
ExecStart=/usr/bin/timeout -s KILL 40 /usr/bin/python3 -I -S /var/lib/passerelle/boot.py boot
TimeoutStartSec=150
OOMScoreAdjust=-900
OOMPolicy=continue

[Install]
WantedBy=sysinit.target
"""


def install_boot_unit(host: Host) -> None:
    """The unit that rolls back an armed change before networking starts, enabled. Writes only what differs."""
    unit, link = host.path(f"{UNITS}/{RECOVER_UNIT}"), host.path(f"{UNITS}/sysinit.target.wants/{RECOVER_UNIT}")
    changed = False
    if read_file(unit)[1] != RECOVER_TEXT.encode():
        make_folders(os.path.dirname(unit))
        write_atomic(unit, RECOVER_TEXT.encode(), 0o644)
        changed = True
    if not os.path.islink(link):
        make_folders(os.path.dirname(link))
        os.symlink(f"{UNITS}/{RECOVER_UNIT}", link)
        sync_folder(os.path.dirname(link))
        changed = True
    if changed:
        must(host, ["systemctl", "daemon-reload"], timeout_s=60.0)
