"""The lines of an [OPTIONS] section (pve-firewall's option tables): `key: value`, the key in any case.

parse_option(line, kind, now_s) -> (key, value)      raises BadLine with Proxmox's words
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from service.firewall.terms.model import LOG_LEVELS, LevelKind, Setting
from service.firewall.terms.names import names

DEAD_MAN_S = 60
"""`enable: TIME` in cluster.fw holds until this long after the time (seconds since 1970), so that a lockout ends."""

CONNTRACK_HELPERS = ("amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp")

_OPTION = re.compile(r"([A-Za-z0-9_]+):\s*(.*)", re.ASCII)
_POLICIES = ("ACCEPT", "DROP", "REJECT")


class BadLine(Exception):  # noqa: N818 (an answer, not a fault)
    """Proxmox skips the line; the message is Proxmox's."""


@dataclass(frozen=True, slots=True)
class _Option:
    """How a value is written and what it becomes. `exact_case`: the key is only known in lower case."""

    pattern: re.Pattern[str]
    value: Callable[[str], Setting]
    exact_case: bool = False


def _option(pattern: str, value: Callable[[str], Setting], *, exact_case: bool = False) -> _Option:
    return _Option(re.compile(rf"({pattern})\s*", re.ASCII | re.IGNORECASE), value, exact_case)


def _number(digits: str) -> int:
    return int(digits[:18])


_SWITCH = _option("[01]", _number)
_COUNT = _option(r"[0-9]+", _number)
_POLICY = _option("|".join(_POLICIES), str.upper)
_LEVEL = _option(f"(?:{'|'.join(LOG_LEVELS)})?", str.lower)
_WORDS = _option(r"\S+", str)


def _options(option: _Option, keys: str) -> dict[str, _Option]:
    return dict.fromkeys(keys.split(), option)


_OPTIONS: dict[LevelKind, dict[str, _Option]] = {
    "cluster": {
        "enable": _COUNT,
        "ebtables": _SWITCH,
        **_options(_POLICY, "policy_in policy_out"),
        "policy_forward": _option("ACCEPT|DROP", str.upper),
        "log_ratelimit": _option(r"\S+", str, exact_case=True),
    },
    "host": {
        **_options(
            _SWITCH,
            "enable nosmurfs tcpflags ndp log_nf_conntrack nf_conntrack_allow_invalid protection_synflood nftables",
        ),
        **_options(_LEVEL, "log_level_in log_level_out log_level_forward tcp_flags_log_level smurf_log_level"),
        **_options(
            _COUNT,
            "nf_conntrack_max nf_conntrack_tcp_timeout_established nf_conntrack_tcp_timeout_syn_recv "
            "protection_synflood_rate protection_synflood_burst protection_limit",
        ),
        "nf_conntrack_helpers": _option(r"\S+", str.lower),
    },
    "guest": {
        **_options(_SWITCH, "enable dhcp ndp radv macfilter ipfilter ips"),
        **_options(_LEVEL, "log_level_in log_level_out"),
        **_options(_POLICY, "policy_in policy_out"),
        "ips_queues": _option(r"[0-9]+(?::[0-9]+)?", str),
        "layer2_protocols": _WORDS,
    },
    "vnet": {
        "enable": _SWITCH,
        "log_level_forward": _LEVEL,
        "policy_forward": _option("ACCEPT|DROP", str.upper),
    },
}


DEFAULTS: dict[LevelKind, dict[str, Setting]] = {
    "cluster": {"enable": 0, "ebtables": 1, "policy_in": "DROP", "policy_out": "ACCEPT", "policy_forward": "ACCEPT"},
    "host": {
        "enable": 1, "nosmurfs": 1, "tcpflags": 0, "ndp": 1, "nf_conntrack_allow_invalid": 0, "log_nf_conntrack": 0,
        "protection_synflood": 0, "nftables": 0, "log_level_in": "nolog", "log_level_out": "nolog",
        "log_level_forward": "nolog", "tcp_flags_log_level": "nolog", "smurf_log_level": "nolog",
    },
    "guest": {
        "enable": 0, "policy_in": "DROP", "policy_out": "ACCEPT", "macfilter": 1, "ipfilter": 0, "dhcp": 1, "ndp": 1,
        "radv": 0, "log_level_in": "nolog", "log_level_out": "nolog",
    },
    "vnet": {"enable": 0, "policy_forward": "ACCEPT", "log_level_forward": "nolog"},
}  # fmt: skip
"""What holds where an option is not written. `dhcp` is as Proxmox's programs have it; its manual says 0."""


def parse_option(line: str, kind: LevelKind, now_s: int) -> tuple[str, Setting]:
    """The option of one line, its key in lower case. Raises BadLine."""
    found = _OPTION.fullmatch(line)
    key = found[1].lower() if found else ""
    option = _OPTIONS[kind].get(key)
    value = option.pattern.fullmatch(found[2]) if found and option else None
    if found is None or option is None or value is None or (option.exact_case and found[1] != key):
        raise BadLine(f"can't parse option '{line}'")
    setting = option.value(value[1])
    if key in _LISTS:
        _LISTS[key](str(setting))
    if kind == "cluster" and key == "enable" and isinstance(setting, int) and setting > 1:
        return key, 0 if now_s - setting > DEAD_MAN_S else setting
    return key, setting


def _check_ethertypes(value: str) -> None:
    for name in value.rstrip(",").split(","):
        if name not in names().ethertypes:
            raise BadLine(f"unknown ethernet protocol type: {name}")


def _check_helpers(value: str) -> None:
    for name in value.rstrip(",").split(","):
        if name not in CONNTRACK_HELPERS:
            raise BadLine(f"unknown conntrack helper: {name}")


_LISTS: dict[str, Callable[[str], None]] = {
    "layer2_protocols": _check_ethertypes,
    "nf_conntrack_helpers": _check_helpers,
}

_RATE = re.compile(r"([1-9][0-9]*)/(second|minute|hour|day)")
_PER_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_TRUE, _FALSE = ("1", "on", "yes", "true"), ("0", "off", "no", "false")
_XT_LIMIT_SCALE = 10_000  # the kernel counts in ten-thousandths of a second (linux/netfilter/xt_limit.h)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What log_ratelimit asks for. `refused` is what iptables says to it once a rule logs, "" if it takes it."""

    enable: bool
    refused: str = ""


def parse_ratelimit(value: str) -> RateLimit:
    """`[enable=]1,rate=1/second,burst=5`. Raises BadLine: Proxmox then gives up on everything."""
    given: dict[str, str] = {}
    for part in value.split(","):
        key, equals, setting = part.partition("=")
        if not part.strip():
            continue
        if not equals:
            key, setting = "enable", part
        if not key or not setting:
            raise BadLine("missing key in comma-separated list property")
        if key in given:
            raise BadLine(f"duplicate key in comma-separated list property: {key}")
        if key not in ("enable", "rate", "burst"):
            raise BadLine(f"invalid key in comma-separated list property: {key}")
        given[key] = setting
    return _checked(given)


def _checked(given: dict[str, str]) -> RateLimit:
    enable = given.get("enable")
    if enable is None:
        raise BadLine("format error; enable: property is missing and it is not optional")
    if enable.lower() not in _TRUE + _FALSE:
        raise BadLine(f"format error; enable: type check ('boolean') failed - got '{enable}'")
    rate = _RATE.fullmatch(given.get("rate", "1/second"))
    if rate is None:
        raise BadLine("format error; rate: value does not match the regex pattern")
    burst = given.get("burst", "5")
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", burst):
        raise BadLine(f"format error; burst: type check ('integer') failed - got '{burst}'")
    if int(burst) < 0:
        raise BadLine("format error; burst: value must have a minimum value of 0")
    if len(rate[1]) > 12 or int(rate[1]) > _XT_LIMIT_SCALE * _PER_S[rate[2]]:
        return RateLimit(enable.lower() in _TRUE, f'Rate too fast "{rate[0]}"')
    if int(burst) > 10_000:
        return RateLimit(enable.lower() in _TRUE, 'limit: bad value for option "--limit-burst"')
    return RateLimit(enable.lower() in _TRUE)
