"""`fail2ban`: an address with too many failed logins is banned for some time, unless it manages the host."""

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.kinds.claims import Claim, NeedsPackage, NeedsUnit, PackageState
from service.kinds.packet_rules.admins import admin_sources
from service.model.observed import Watch
from service.model.trees import quoted
from service.resources.bans import FILTER_FILE, JAILS_FILE, UNIT, Jails
from service.resources.packages import Package
from service.resources.resource import Resource
from service.resources.units import Unit
from service.spec import patterns
from service.spec.findings import Hit, LintRule
from service.spec.grammar import check_address, one_or_many, text, wrong
from service.spec.host import HostSpec
from service.spec.patterns import whole

JailName: TypeAlias = Literal["sshd", "proxmox"]
PACKAGES = ("fail2ban", "python3-systemd")
"""Without the second there is no systemd backend, and Debian 12 has no log file for sshd."""
HEARS_SSHD = {
    "filter": 'sshd[mode=%(mode)s, _daemon="sshd(?:-session)?"]',
    "journalmatch": "_SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session",
}
"""OpenSSH 9.8 and later log failed logins as sshd-session; fail2ban 1.0.2's own filter knows sshd only."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"([1-9][0-9]{0,7})([smhd])")
MAX_TIME_S = 366 * 86_400


def check_time(value: str) -> str:
    """A time as in 10m, 1h or 2d."""
    match = _TIME.fullmatch(value)
    if match is None or int(match[1]) * _SECONDS[match[2]] > MAX_TIME_S:
        wrong(f"{quoted(value)} is not a time span", "write a number with s, m, h or d, up to 366d")
    return value


def check_spared(value: str) -> str:
    """An address or a network of either family, in canonical form."""
    if "/" not in value:
        return check_address(value)
    if not re.fullmatch(r"[0-9A-Fa-f.:]+/[0-9]{1,3}", value):
        wrong(
            f"{quoted(value)} is not an address or network",
            "write an address or network such as 203.0.113.7 or 203.0.113.0/24",
        )
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        wrong(
            f"{quoted(value)} is not an address or network",
            "write an address or network such as 203.0.113.7 or 203.0.113.0/24",
        )
    if str(network) != value.lower():
        wrong(f"{quoted(value)} has host bits set, or is not in canonical form", f"write {network}")
    return str(network)


_TIME_TYPE = Annotated[
    str, *text(check_time, whole(patterns.durations(1, MAX_TIME_S, _SECONDS), "a time with s, m, h or d"))
]


_SPARED: dict[str, Any] = {
    "type": "string",
    **whole(
        f"{patterns.ADDRESS}|{patterns.ANY_IPV4}/{patterns.number(0, 32)}"
        f"|{patterns.ANY_IPV6}/{patterns.number(0, 128)}",
        "an address or a network",
    ),
}


class Fail2banSection(BaseModel):
    """Jails of fail2ban, each watching the journal of one service."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    jails: tuple[JailName, ...] = Field(
        min_length=1, max_length=8, description="sshd, and on a Proxmox host proxmox: logins to its web interface."
    )
    ignoreip: Annotated[
        tuple[Annotated[str, AfterValidator(check_spared)], ...],
        Field(max_length=256),
        BeforeValidator(one_or_many),
        WithJsonSchema({"anyOf": [_SPARED, {"type": "array", "items": _SPARED, "maxItems": 256}]}),
    ] = Field(
        (),
        description="Addresses that are never banned, besides the service and the sources of firewall rules for SSH.",
    )
    maxretry: int | None = Field(None, ge=1, le=100, description="Failures until the ban; default 5.")
    findtime: _TIME_TYPE | None = Field(None, description="Time in which failures count, such as 10m.")
    bantime: _TIME_TYPE | None = Field(None, description="Length of a ban, such as 1h.")


JAIL_TWICE = LintRule("fail2ban.jail-twice", "error", "a jail is named once")
NO_PROXMOX = LintRule("fail2ban.no-proxmox", "error", "the jail proxmox is for hosts with Proxmox")
SPARES_EVERYBODY = LintRule("fail2ban.spares-everybody", "error", "not everybody is spared")


class Fail2ban:
    """Jails of fail2ban: an address with too many failed logins is banned for some time."""

    name = "fail2ban"
    section: Any = Fail2banSection
    rules: tuple[LintRule, ...] = (JAIL_TWICE, NO_PROXMOX, SPARES_EVERYBODY)

    def lint(self, section: Fail2banSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        for index, jail in enumerate(section.jails):
            if jail in section.jails[:index]:
                yield JAIL_TWICE.hit(("jails", index), f"the jail {jail} is already in the list", "keep one of the two")
            if jail == "proxmox" and host.platform != "proxmox":
                what = "the jail proxmox watches the logins of Proxmox, and this host does not run Proxmox"
                yield NO_PROXMOX.hit(("jails", index), what, "remove the jail, or write `platform: proxmox`")
        for index, network in enumerate(section.ignoreip):
            if network.endswith("/0"):
                yield SPARES_EVERYBODY.hit(
                    ("ignoreip", index),
                    f"{network} contains every address, so nobody would be banned",
                    "name the addresses from which the host is managed",
                )

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: Fail2banSection) -> Iterator[Claim]:
        for package in (*PACKAGES, "nftables"):
            yield NeedsPackage(package, "fail2ban")
        yield NeedsUnit(UNIT, "fail2ban")

    def desire(self, section: Fail2banSection | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        if section is None:
            yield Jails(self.name)
            return
        named = {claim.package for claim in claims if isinstance(claim, PackageState)}
        for package in PACKAGES:
            if package not in named:
                yield Package(self.name, package, "present")
        spared = tuple(dict.fromkeys([*section.ignoreip, *admin_sources(host)]))
        yield Jails(self.name, tuple(_jails(section, host)), spared)
        yield Unit(self.name, UNIT, "enabled", cause="fail2ban", reads=(JAILS_FILE, FILTER_FILE))

    def watch(self) -> Watch:
        return Watch()


def _jails(section: Fail2banSection, host: HostSpec) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """sshd in any case: Debian enables it automatically, in a form that does not start without a log file."""
    usual = {"backend": "systemd", "banaction": "nftables[type=multiport]"}
    if section.maxretry is not None:
        usual["maxretry"] = str(section.maxretry)
    usual |= {key: value for key in ("findtime", "bantime") if (value := getattr(section, key)) is not None}
    ports = "ssh" if host.connection.port == 22 else f"ssh,{host.connection.port}"
    yield "sshd", _options({**usual, **HEARS_SSHD, "port": ports}, enabled="sshd" in section.jails)
    if "proxmox" in section.jails:
        own = {
            "filter": "passerelle-proxmox",
            "port": "https,http,8006",
            "maxretry": "3",
            "findtime": "2d",
            "bantime": "1h",
        }
        yield "proxmox", _options({**own, **usual}, enabled=True)


def _options(options: Mapping[str, str], *, enabled: bool) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**options, "enabled": "true" if enabled else "false"}.items()))
