"""The guests' names and addresses in dnsmasq's `dhcp-hostsdir`: a file of ours in a folder of ours."""

from collections.abc import Iterable

HOSTS_FOLDER = "/etc/passerelle/dhcp-hosts.d"
"""dnsmasq watches it: a new line names an existing lease at once (dnsmasq(8), dhcp-hostsdir). Only host specs count."""

GUESTS_FILE = f"{HOSTS_FOLDER}/guests"
HEADER = "# written by passerelle from `guests`: MAC, address where it is fixed, name\n"


def render_guests(guests: Iterable[tuple[str, str, str]]) -> bytes:
    """(name, mac, address or empty) of every guest, one line each, sorted by name."""
    lines = [",".join(part for part in (mac.lower(), address, name) if part) for name, mac, address in sorted(guests)]
    return (HEADER + "".join(f"{line}\n" for line in lines)).encode("ascii")
