"""What a host itself shows of whether anything was written to it: taken twice and compared; the service has no say."""

from service.lab import Host

TRANSACTIONS = "ls -1 /var/lib/passerelle/txn 2>/dev/null || true"
# Link-local addresses come and go with a bridge's carrier, and links have timers that count down.
SHOWN = (
    "find /etc /var/lib/passerelle -xdev -printf '%p %y %m %U %G %s %T@ %l\\n' 2>/dev/null | LC_ALL=C sort",
    "find /etc -xdev -type f -exec sha256sum {} + | LC_ALL=C sort",
    "ip -4 -o address; ip -6 -o address show scope global; ip -o link; bridge link",
    "ip -4 route show table all; ip -6 route show default; ip rule",
    "nft -s -j list ruleset; iptables-legacy-save 2>/dev/null | grep ^-A",
    "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding; dpkg-query -W",
    "systemctl show ssh.service dnsmasq.service named.service networking.service nftables.service "
    "-P ActiveState -P UnitFileState -P MainPID -P ActiveEnterTimestampMonotonic -P NRestarts",
    "find /run/systemd/system /run/systemd/transient /run/systemd/generator* /usr/local/lib/systemd "
    "/usr/lib/systemd/system -printf '%p %l\\n' 2>/dev/null | LC_ALL=C sort",
    "systemctl list-units --all --no-legend --plain 'passerelle*' 'run-*.timer'",
)


def evidence(host: Host) -> list[str]:
    """Every file of /etc and of the service's own folder with size, mode and time of change, what the kernel has, what
    units did. Equal before and after: nothing was written, nothing was restarted."""
    return host.sh("\n".join(SHOWN)).splitlines()


def transactions(host: Host) -> list[str]:
    """The apply ids that the host has a folder for."""
    return host.sh(TRANSACTIONS).split()
