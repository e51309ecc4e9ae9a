"""What a lab host is made of: packages, files and switched-off units. Constants only; they are part of the cache key.

One recipe for every Debian release: a provider's plain host, with sshd, ifupdown2, BIND running,
dnsmasq not installed.
"""

PACKAGES = (
    "bind9",
    "bind9-dnsutils",
    "bridge-utils",
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "curl",
    "dbus",
    "ethtool",
    "ifupdown2",
    "ipset",
    "iproute2",
    "iptables",
    "iputils-ping",
    "isc-dhcp-client",
    "logrotate",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tcpdump",
    "udhcpc",
)

INSTALLABLE = ("dnsmasq", "fail2ban", "git", "lxc", "mmdebstrap", "python3-systemd", "uidmap")
"""With what they need and the image lacks: the repository of the lab's internet offers these."""
INSTALLABLE_AGAIN = ("bind9", "bind9-libs", "bind9-utils", "dns-root-data")
"""Already in the image, offered too, so that removing them can be rolled back."""

GUEST_BASE = ("?essential", "?priority(required)", "apt")
GUEST_PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "logrotate",
    "netbase",
    "nginx-light",
    "openssl",
    "python3",
    "python3-venv",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udhcpc",
)
GUEST_OTHER_WAY = ("usr-is-merged",)  # instead of usrmerge, for whoever makes the folders of the root file system
"""What a container's template can be made of on a host: the repository has these and all that they need."""

REPOSITORY_HOST = "deb.lab.example"

UPLINK_SCRIPT = """\
#!/bin/sh
# Before the network starts: give the NIC the name a real host has, and make mtu and friends writable as they are
# on a real host (a container's /sys is read-only). Only /sys/devices/virtual/net: the rest belongs to the machine.
ip link set host0 down
ip link set host0 name enp1s0
mkdir -p /run/sysfs
mount -t sysfs sysfs /run/sysfs && mount -o remount,rw /run/sysfs
mount --bind /run/sysfs/devices/virtual/net /sys/devices/virtual/net
umount /run/sysfs
rmdir /run/sysfs
"""

UPLINK_UNIT = """\
[Unit]
Description=Name the uplink enp1s0
DefaultDependencies=no
Before=networking.service network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/lab/uplink

[Install]
WantedBy=sysinit.target
"""

FILES: dict[str, str] = {
    "/etc/apt/apt.conf.d/99lab": ('Acquire::http::Timeout "5";\nAcquire::Retries "0";\nAcquire::Languages "none";\n'),
    "/etc/ssh/sshd_config.d/lab.conf": (
        "HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\nUseDNS no\n"
    ),
    "/etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\n",
    "/etc/systemd/system/lab-uplink.service": UPLINK_UNIT,
    "/usr/local/lib/lab/uplink": UPLINK_SCRIPT,
    "/etc/fstab": "# the lab mounts the root file system\n",
    "/etc/machine-id": "",
}

LINKS: dict[str, str] = {
    "/etc/systemd/system/sysinit.target.wants/lab-uplink.service": "/etc/systemd/system/lab-uplink.service",
}

MASKED = (  # hardware, clocks of the machine, and timers that would wake up in the middle of a test
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "kmod-static-nodes.service",
    "ldconfig.service",
    "modprobe@.service",
    "remote-fs.target",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-flush.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-sysusers.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udevd.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)

REMOVED = (  # made at build time, must differ from host to host, or names the machine's package source
    "/etc/apt/apt.conf.d/99mmdebstrap",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/etc/ssh/ssh_host_*",
    "/var/lib/dbus/machine-id",
)

NOT_UNPACKED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")


def text() -> str:
    """Everything above that decides the image's content, for the cache key."""
    guests = (GUEST_BASE, GUEST_PACKAGES, GUEST_OTHER_WAY)
    return repr((PACKAGES, INSTALLABLE, INSTALLABLE_AGAIN, guests, FILES, LINKS, MASKED, REMOVED, NOT_UNPACKED))
