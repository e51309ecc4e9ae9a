"""Which packages and units stay, whatever a spec says: what the switch, the connection and the boot depend on. Pure.

The service asks the same rules when it plans, the host again before it acts.
"""

from __future__ import annotations

import re

# Which packages stay, and why: by name. A simulation shows what they depend on, because it also removes one of these.
KEPT_PACKAGES = (
    (r"openssh-(server|sftp-server|client)|dropbear(-.*)?|tinysshd", "SSH to the host needs it"),
    (
        r"python3|python3-minimal|(lib)?python3[.][0-9]+(-minimal|-stdlib)?|libpython3-stdlib",
        "the automatic rollback needs it",
    ),
    (
        r"ifupdown2|ifupdown|ifupdown-.*|bridge-utils|vlan|ifenslave|isc-dhcp-client|dhcpcd.*|udhcpc|wpasupplicant"
        r"|ppp|pppoe(conf)?|resolvconf|openresolv|ethtool|netbase|netplan[.]io|network-manager|systemd-resolved"
        r"|openvswitch-.*",
        "the network may need it to come up",
    ),
    (
        r"wireguard.*|openvpn|tinc|strongswan.*|tailscale|zerotier-one|nebula",
        "the connection to the host may use its tunnel",
    ),
    (r"iproute2", "passerelle reads and changes the network with it"),
    (
        r"systemd|systemd-sysv|libsystemd.*|libnss-systemd|libpam-systemd|dbus(-.*)?",
        "the timer of the automatic rollback needs it",
    ),
    (
        r"init|udev|kmod|sysvinit-core|runit-init|openrc|linux-(image|modules|base).*|(pve|proxmox)-.*|libpve-.*|grub.*"
        r"|systemd-boot.*|shim.*|efibootmgr|initramfs-tools.*|dracut.*|firmware-.*|lvm2|mdadm|cryptsetup.*|dmsetup"
        r"|thin-provisioning-tools|e2fsprogs|btrfs-progs|xfsprogs|zfs.*|libzfs.*|multipath-tools.*|open-iscsi"
        r"|cloud-(init|guest|initramfs)[a-z-]*",
        "the boot may need it",
    ),
    (r"apt|apt-utils|dpkg|debconf|debian-archive-keyring|perl-base|gpgv", "installing packages needs it"),
    (
        r"base-files|base-passwd|bash|dash|coreutils|util-linux|mount|login|passwd|libc6|libc-bin|libpam.*|procps|sudo",
        "a login needs it",
    ),
)
# What comes up with the next boot, or brings the network up in its own way, is not brought by a spec.
NEVER_COMES = (
    (
        r"network-manager.*|netplan.*|connman.*|cloud-init.*|ifupdown.*|dhcpcd.*|wicked.*|systemd-resolved",
        "it would take over the network at boot",
    ),
    (
        r"init|sysvinit-core|runit-init|openrc|systemd-sysv|linux-image.*|(pve|proxmox)-(default-)?kernel.*|grub.*"
        r"|systemd-boot.*|shim.*|initramfs-tools.*|dracut.*|live-boot.*|kexec-tools",
        "it would change the next boot",
    ),
)
FLAGS = ("essential", "protected", "important", "required")
PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]{1,99}"
# Units that no spec switches: on or off, by name.
POWER_UNITS = (
    r"(systemd-)?(poweroff|reboot|halt|kexec|soft-reboot|suspend|hibernate|hybrid-sleep|suspend-then-hibernate)"
    r"|rescue|rescue-ssh|emergency|initrd-.*|debug-shell|plymouth-.*|system-update.*|packagekit-offline-update|umount"
    r"|systemd-(?!timesyncd$|resolved$|oomd$|journal-(upload|remote|gatewayd)$).*"
)
SWITCH_UNITS = r"passerelle|passerelle-(?!nft$).*"  # the loader of our tables is a part of what is changed
WAY_IN_UNITS = (
    r"ssh|sshd|ssh@.*|sshd@.*|sshd-.*|dropbear|passerelle-nft|networking|ifup@.*|ifupdown.*|systemd-networkd.*|NetworkManager.*"
    r"|connman|wicked.*|netplan.*|dhcpcd.*|dhclient.*|wpa_supplicant.*|openvswitch-switch|ovs-.*|wg-quick@.*|openvpn.*"
    r"|strongswan.*|ipsec|tailscaled|zerotier-one|tinc.*|nebula.*"
)
BOOT_UNITS = (
    r"dbus|dbus-broker|udev|kmod|procps|lvm2-.*|blk-availability|mdadm.*|mdmonitor.*|zfs-.*|cryptdisks.*|multipathd?"
    r"|open-iscsi|iscsid|cloud-.*|pve.*|proxmox-.*|corosync|getty@.*|serial-getty@.*|console-getty|container-getty@.*"
)
WELL_KNOWN_UNITS = ("dnsmasq.service", "named.service", "fail2ban.service", "nftables.service")
"""What the kinds of a spec need, or have to see off: Debian's own units, known to depend on nothing of these."""
VITAL_UNITS = frozenset(
    "ssh.service sshd.service ssh.socket networking.service systemd-networkd.service NetworkManager.service "
    "dbus.service dbus.socket passerelle-recover.service sysinit.target basic.target local-fs.target "
    "local-fs-pre.target remote-fs.target network-pre.target network.target network-online.target multi-user.target "
    "graphical.target default.target sockets.target timers.target paths.target getty.target "
    "systemd-journald.service systemd-udevd.service systemd-logind.service".split()
)
EARLY_TARGETS = frozenset(
    "sysinit.target basic.target local-fs.target local-fs-pre.target remote-fs.target remote-fs-pre.target "
    "network-pre.target network.target network-online.target initrd.target ssh.service sshd.service ssh.socket "
    "networking.service systemd-networkd.service NetworkManager.service".split()
)
FINAL_TARGETS = frozenset(
    "shutdown.target final.target umount.target poweroff.target reboot.target halt.target kexec.target rescue.target "
    "emergency.target suspend.target hibernate.target sleep.target soft-reboot.target exit.target initrd.target "
    "systemd-poweroff.service systemd-reboot.service systemd-halt.service systemd-kexec.service rescue.service "
    "emergency.service".split()
)
UNIT_PROPERTIES = (
    "Id Names LoadState ActiveState UnitFileState SourcePath RequiredBy RequisiteOf BoundBy ConsistsOf UpheldBy "
    "WantedBy Requires Requisite BindsTo Wants Upholds Conflicts ConflictedBy Before OnSuccess OnFailure "
    "PropagatesStopTo SuccessAction FailureAction StartLimitAction JobTimeoutAction"
).split()
INSTALL_KEYS = ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also")


def named_in(table: tuple[tuple[str, str], ...], name: str) -> str:
    """The reason that a table has for a name, "" for none."""
    return next((why for pattern, why in table if re.fullmatch(pattern, name)), "")


def kept_package(name: str, flags: tuple[str, ...] = ()) -> str:
    """Why a package has to stay, by its name and what dpkg says of it; "" where nothing is known against it."""
    plain = name.partition(":")[0]
    marked = [flag for flag in FLAGS if flag in flags]
    return named_in(KEPT_PACKAGES, plain) or (f"dpkg has it as {marked[0]}" if marked else "")


def package_objections(
    what: str, named: list[str], moves: list[list[str]], flags: dict[str, list[str]]
) -> list[tuple[str, str]]:
    """What speaks against a simulated run of apt-get: (rule, sentence). `moves` are [name, new version, old version]:
    no new version where it goes, no old one where it comes. Pure."""
    said: list[tuple[str, str]] = []
    for name, version, old in moves:
        kept = kept_package(name, tuple(flags.get(name, ())))
        because = f": {kept}" if kept else ""
        if what == "install" and not version:
            said.append(("beyond-named", f"to install {', '.join(named)}, apt would remove {name}{because}"))
        elif what == "install" and old and name not in named:
            said.append(
                ("beyond-named", f"to install {', '.join(named)}, apt would change {name} from {old} to {version}")
            )
        elif what == "install" and (comes := named_in(NEVER_COMES, name.partition(":")[0])):
            said.append(("vital", f"{name} would be installed: {comes}"))
        elif what == "remove" and version:
            said.append(("beyond-named", f"to remove {', '.join(named)}, apt would install {name} {version}"))
        elif what == "remove" and name not in named:
            said.append(("beyond-named", f"with {', '.join(named)}, apt would remove {name} as well{because}"))
        elif what == "remove" and kept:
            said.append(("vital", f"{name} would be removed: {kept}"))
    missing = sorted(set(named) - {move[0] for move in moves})
    if missing:
        said.append(("no-way", f"apt would not {what} {', '.join(missing)}"))
    return said


def power_unit(name: str) -> str:
    """Why nobody's spec switches this unit, in either direction; "" for others."""
    stem = name.removesuffix(".service")
    if re.fullmatch(SWITCH_UNITS, stem):
        return "passerelle's automatic rollback needs it"
    return "it stops, isolates or starts the host" if re.fullmatch(POWER_UNITS, stem) else ""


def way_in_unit(name: str) -> str:
    """Why this unit stays as it is; "" for others."""
    stem = name.removesuffix(".service")
    if re.fullmatch(WAY_IN_UNITS, stem):
        return "the connection to the host may need it"
    return "the boot or the console needs it" if re.fullmatch(BOOT_UNITS, stem) else ""


def unit_objections(name: str, state: str, shown: dict[str, str]) -> list[str]:
    """What speaks against bringing a unit to `enabled`, `disabled` or `masked`, in words. Pure.

    `shown` are `UNIT_PROPERTIES` of systemctl-show(1) and, as `[Install] WantedBy` and so on, what its file says there.
    """
    words = {key: set(value.split()) for key, value in shown.items()}
    known = name in WELL_KNOWN_UNITS
    said = [why for why in (power_unit(name), way_in_unit(name)) if why][:1]
    if (real := shown.get("Id", "")) != name:
        said.append(f"it is another name of {real}" if real else "systemd does not say what it is")
    file = shown.get("UnitFileState", "")
    scripted = file == "generated" and shown.get("SourcePath", "").startswith("/etc/init.d/")
    if file in ("masked", "masked-runtime") and state != "masked" and not known:
        said.append("it is masked, so what it does cannot be seen")
    elif file not in ("enabled", "enabled-runtime", "disabled", "masked", "masked-runtime") and not (
        scripted and state == "masked"
    ):
        said.append(f"it has no [Install] section (systemd: {file or 'no unit file'})")
    held = set().union(
        *(words.get(key, set()) for key in ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "UpheldBy"))
    )
    if state != "enabled" and held:
        said.append(f"{', '.join(sorted(held)[:4])} cannot run without it")
    early = (words.get("WantedBy", set()) | words.get("[Install] WantedBy", set())) & EARLY_TARGETS
    if early and not known:
        said.append(f"it is a part of the boot ({', '.join(sorted(early)[:4])})")
    others = set().union(*(words.get(f"[Install] {key}", set()) for key in ("RequiredBy", "UpheldBy", "Alias", "Also")))
    if vital := others & (VITAL_UNITS | FINAL_TARGETS):
        said.append(f"its [Install] section names {', '.join(sorted(vital)[:4])}")
    if state == "enabled":
        said += _start_objections(words, shown, known)
    return said


def _start_objections(words: dict[str, set[str]], shown: dict[str, str], known: bool) -> list[str]:
    """What speaks against starting a unit now and at every boot."""
    said = []
    keys = ("Requires", "Requisite", "BindsTo", "Wants", "Upholds", "OnSuccess", "OnFailure", "PropagatesStopTo")
    pulled = set().union(*(words.get(key, set()) for key in keys))
    if final := pulled & FINAL_TARGETS:
        said.append(f"it leads to {', '.join(sorted(final)[:4])}")
    if stops := (words.get("Conflicts", set()) | words.get("ConflictedBy", set())) & VITAL_UNITS:
        said.append(f"its start stops {', '.join(sorted(stops)[:4])}")
    actions = ("SuccessAction", "FailureAction", "StartLimitAction", "JobTimeoutAction")
    if ends := sorted({shown.get(key, "") for key in actions} - {"", "none"}):
        said.append(f"its end would {', '.join(ends)} the host")
    if (before := words.get("Before", set()) & (EARLY_TARGETS | {"passerelle-recover.service"})) and not known:
        said.append(f"{', '.join(sorted(before)[:4])} would wait for it at boot")
    return said
