"""The directives of dnsmasq that are known here, what each takes, and the numbers of DHCP options (dnsmasq(8) 2.90)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from service.formats.dnsmasq_range6 import HOST_PART, MODES
from service.formats.dnsmasq_servers import DOMAIN, INTERFACE, LABEL, MAX_DOMAIN, canonical_address, read_server

_IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_ADDRESS = r"[0-9A-Fa-f:.]{2,45}"
_MAC = r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"
_TAG = r"tag:!?[A-Za-z0-9_-]{1,40}"
_PATH = r"/[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}"
_LEASE = r"(?:[0-9]{1,10}[smhdw]?|infinite)"
_OPTION_VALUE = r"[A-Za-z0-9_./:+@~-]{1,255}"
MAX_VALUE_BYTES = 960
"""A line of dnsmasq's has at most 1024 bytes, the key and `=` among them."""
MAX_OPTION_BYTES = 255
"""What fits into one DHCP option (RFC 2132): dnsmasq refuses more as "dhcp-option too long"."""


def _fits(value: str) -> bool:
    """What a pattern leaves open: each IPv4 address is one, and no domain is longer than DNS takes."""
    addresses = re.findall(r"(?<![\w.-])[0-9]+(?:\.[0-9]+){3}(?![\w.-])", value)
    words = re.split(r"[,/]", value)
    return ".." not in value and all(map(is_ipv4, addresses)) and all(len(word) <= MAX_DOMAIN for word in words)


@dataclass(frozen=True, slots=True)
class ValueGrammar:
    """What a directive takes: a pattern of the whole value, the same in words; if it must have one, if a number.

    `fits` says the rest. What `takes` refuses is never written; what dnsmasq itself takes beyond it is only read.
    """

    pattern: str
    expected: str
    needed: bool = True
    number: bool = False
    fits: Callable[[str], bool] = _fits

    def takes(self, value: str) -> bool:
        """Whether passerelle writes this value."""
        whole = re.fullmatch(self.pattern, value, re.ASCII) is not None
        return whole and len(value) <= MAX_VALUE_BYTES and self.fits(value)


def takes(key: str, value: str) -> bool:
    """Whether passerelle writes a directive: the one question that lint, the writer and adopt have in common."""
    if key in FLAGS:
        return not value
    grammar = VALUES.get(key)
    return grammar is not None and (grammar.takes(value) if value else not grammar.needed)


def is_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address in its usual spelling, without leading zeros."""
    try:
        return bool(IPv4Address(text))
    except ValueError:
        return False


def _is_server(value: str) -> bool:
    return read_server(value) is not None


def _are_addresses(value: str) -> bool:
    return all(map(canonical_address, value.split(",")))


def _is_record(value: str) -> bool:
    """An address of IPv6 has colons; how that of IPv4 is written is in the pattern."""
    return all(map(canonical_address, (part for part in value.split(",") if ":" in part)))


def option_bytes(values: Sequence[str]) -> int:
    """How long an option's content gets at most: an address has four bytes, a name its length and two more."""
    return sum(4 if is_ipv4(value) else len(value) + 2 for value in values)


def _is_option(value: str) -> bool:
    words = [word for word in value.split(",") if not word.startswith("tag:")]
    addresses = [word for word in words[1:] if re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", word)]
    return all(map(is_ipv4, addresses)) and option_bytes(words[1:]) <= MAX_OPTION_BYTES


def _many(pattern: str) -> str:
    return rf"{pattern}(?:,{pattern}){{0,15}}"


_COUNT = ValueGrammar(r"[0-9]{1,9}", "a number", number=True)
_INTERFACES = ValueGrammar(_many(INTERFACE), "interface names")
_SERVER = ValueGrammar(
    r"[A-Za-z0-9_.:#@/-]+",
    "an address, as in 1.1.1.1 or 1.1.1.1#53@eth0, /domain/ with or without one",
    fits=_is_server,
)

FLAGS = frozenset({
    "all-servers", "bind-dynamic", "bind-interfaces", "bogus-priv", "dhcp-authoritative", "dhcp-ignore-clid",
    "dhcp-rapid-commit", "dhcp-sequential-ip", "domain-needed", "enable-ra", "expand-hosts", "filterwin2k",
    "localise-queries", "log-dhcp", "no-hosts", "no-negcache", "no-ping", "no-poll", "no-resolv", "quiet-dhcp",
    "read-ethers", "rebind-localhost-ok", "stop-dns-rebind", "strict-order",
})  # fmt: skip
"""Directives without a value."""

VALUES: dict[str, ValueGrammar] = {
    "cache-size": _COUNT,
    "dhcp-lease-max": _COUNT,
    "dns-forward-max": _COUNT,
    "local-ttl": _COUNT,
    "max-cache-ttl": _COUNT,
    "max-ttl": _COUNT,
    "min-cache-ttl": _COUNT,
    "neg-ttl": _COUNT,
    "port": ValueGrammar(r"[0-9]{1,5}", "a port", number=True),
    "interface": _INTERFACES,
    "except-interface": _INTERFACES,
    "no-dhcp-interface": _INTERFACES,
    "listen-address": ValueGrammar(_many(_ADDRESS), "addresses", fits=_are_addresses),
    "domain": ValueGrammar(
        rf"{DOMAIN}(?:,{_IPV4}(?:/[0-9]{{1,2}}|,{_IPV4})?(?:,local)?)?", "a domain such as example.lan"
    ),
    "local": _SERVER,
    "server": _SERVER,
    "dhcp-leasefile": ValueGrammar(_PATH, "an absolute path"),
    "dhcp-hostsdir": ValueGrammar(_PATH, "an absolute path"),
    "log-facility": ValueGrammar(rf"{_PATH}|-|[a-z0-9]{{1,20}}", "an absolute path, a syslog facility or -"),
    "log-queries": ValueGrammar("extra|proto", "nothing, extra or proto", needed=False),
    "dhcp-range": ValueGrammar(
        rf"(?:{_TAG},|set:[A-Za-z0-9_-]{{1,40}},){{0,4}}{_IPV4},(?:{_IPV4}|static|proxy)(?:,{_IPV4}){{0,2}}(?:,{_LEASE})?"
        rf"|{HOST_PART}(?:,{HOST_PART})?,constructor:{INTERFACE}(?:,(?:{'|'.join(sorted(MODES))})){{0,2}},64,{_LEASE}",
        "start,end[,netmask[,broadcast]][,lease time], or ::start,::end,constructor:interface[,modes],64,lease time",
    ),
    "dhcp-option": ValueGrammar(
        rf"(?:{_TAG},){{0,4}}(?:option:[a-z0-9+-]{{1,40}}|[0-9]{{1,3}})(?:,{_OPTION_VALUE}){{0,63}}",
        "option number or option:name, then its values",
        fits=_is_option,
    ),
    "dhcp-host": ValueGrammar(rf"{_MAC}(?:,{_IPV4})?(?:,{LABEL})?", "mac[,address][,name]"),
    "dhcp-ignore-names": ValueGrammar(_many(_TAG), "nothing, or tags", needed=False),
    "dhcp-ignore": ValueGrammar(_many(_TAG), "tags"),
    "host-record": ValueGrammar(
        rf"{DOMAIN}(?:,{DOMAIN}){{0,8}},(?:{_IPV4}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)(?:,[0-9]{{1,9}})?",
        "name[,name…],address[,ttl]",
        fits=_is_record,
    ),
}
"""Directives with a value. What is in neither table is read and compared, but never written."""

SINGLE = frozenset({
    "cache-size", "dhcp-lease-max", "dhcp-leasefile", "dns-forward-max", "local-ttl", "log-facility",
    "max-cache-ttl", "max-ttl", "min-cache-ttl", "neg-ttl", "port",
})  # fmt: skip
"""Directives that dnsmasq takes once: given twice, it refuses to start."""

LISTS = frozenset({"interface", "except-interface", "no-dhcp-interface", "listen-address"})
"""Directives whose value is a list, which may as well be on several lines."""

OPTION_NUMBERS = {
    "netmask": 1, "time-offset": 2, "router": 3, "dns-server": 6, "log-server": 7, "lpr-server": 9, "hostname": 12,
    "boot-file-size": 13, "domain-name": 15, "swap-server": 16, "root-path": 17, "extension-path": 18,
    "ip-forward-enable": 19, "non-local-source-routing": 20, "policy-filter": 21, "max-datagram-reassembly": 22,
    "default-ttl": 23, "mtu": 26, "all-subnets-local": 27, "broadcast": 28, "router-discovery": 31,
    "router-solicitation": 32, "static-route": 33, "trailer-encapsulation": 34, "arp-timeout": 35, "ethernet-encap": 36,
    "tcp-ttl": 37, "tcp-keepalive": 38, "nis-domain": 40, "nis-server": 41, "ntp-server": 42, "netbios-ns": 44,
    "netbios-dd": 45, "netbios-nodetype": 46, "netbios-scope": 47, "x-windows-fs": 48, "x-windows-dm": 49, "t1": 58,
    "t2": 59, "vendor-class": 60, "nis+-domain": 64, "nis+-server": 65, "tftp-server": 66, "bootfile-name": 67,
    "mobile-ip-home": 68, "smtp-server": 69, "pop3-server": 70, "nntp-server": 71, "irc-server": 74, "user-class": 77,
    "rapid-commit": 80, "posix-timezone": 100, "tzdb-timezone": 101, "ipv6-only": 108, "domain-search": 119,
    "sip-server": 120, "classless-static-route": 121, "vendor-id-encap": 125, "tftp-server-address": 150,
    "server-ip-address": 255,
}  # fmt: skip
"""Names of DHCP options as `dnsmasq --help dhcp` lists them, in lower case."""
