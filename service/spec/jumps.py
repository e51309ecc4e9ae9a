"""Hosts that are reached through other hosts of the fleet.

    with_jumps(hosts, described) -> findings       puts the way into each spec that names a jump host

A jump host gets a check for each host behind it: a change there is confirmed only if these still answer from it.
"""

import difflib
import ipaddress
from collections.abc import Collection, Iterator
from dataclasses import replace

from service.model.probes import Probe
from service.spec.connections import Jump
from service.spec.findings import Finding, Hit, LintRule
from service.spec.host import HostSpec

UNKNOWN = LintRule("connection.unknown-jump", "error", "a jump host is a host of the fleet")
LOOP = LintRule("connection.jump-loop", "error", "no host is reached through itself")
TOO_LONG = LintRule("connection.jump-too-long", "error", "a host is reached through at most three jump hosts")
RULES = (UNKNOWN, LOOP, TOO_LONG)

MOST_JUMPS = 3
MOST_CHECKED = 16
"""Hosts behind one jump host that are checked around a change of it."""
PATH = ("connection", "jump")


def with_jumps(hosts: dict[str, HostSpec], described: Collection[str]) -> Iterator[Finding]:
    """Findings about names of jump hosts. `described` are the hosts that have a file, also one with errors."""
    before = dict(hosts)
    for spec in before.values():
        if not spec.connection.jump_host:
            continue
        way, hit = _way(spec, before, described)
        if hit is not None:
            yield hit
        elif way:
            hosts[spec.name] = replace(spec, connection=replace(spec.connection, jump=_jump(way)))
    behind: dict[str, list[HostSpec]] = {}
    for spec in before.values():
        behind.setdefault(spec.connection.jump_host, []).append(spec)
    for name, reached in behind.items():
        if name in hosts:
            hosts[name] = replace(hosts[name], checks=(*hosts[name].checks, *_checks(hosts[name], reached)))


def _way(
    spec: HostSpec, hosts: dict[str, HostSpec], described: Collection[str]
) -> tuple[list[HostSpec], Finding | None]:
    """The jump hosts, the last one before the host first; or what is wrong. Neither where one of them has errors."""
    way: list[HostSpec] = []
    here = spec
    while name := here.connection.jump_host:
        if name == spec.name or any(one.name == name for one in way):
            what = f"{spec.name} would be reached through {' and '.join(dict.fromkeys([*_names(way), name]))}"
            right = "remove `jump` from one of them, or move it from the shared file to a group without that host"
            return [], spec.finding(LOOP.hit(PATH, what, right))
        if name not in hosts:
            return [], None if name in described else spec.finding(_unknown(name, described))
        here = hosts[name]
        way.append(here)
        if len(way) > MOST_JUMPS:
            what = f"{spec.name} is reached through more than {MOST_JUMPS} hosts: {', '.join(_names(way))}"
            return [], spec.finding(TOO_LONG.hit(PATH, what, "name a host that is reached more directly"))
    return way, None


def _names(way: list[HostSpec]) -> list[str]:
    return [one.name for one in way]


def _unknown(name: str, described: Collection[str]) -> Hit:
    close = difflib.get_close_matches(name, sorted(described)[:1000], n=1, cutoff=0.6)
    right = f"write `{close[0]}`, if you mean that" if close else "write the address and host_keys of the jump host"
    return UNKNOWN.hit(PATH, f"no file of hosts/ describes `{name}`", right)


def jumps_of(spec: HostSpec) -> tuple[str, ...]:
    """The names of the jump hosts of a host, the nearest first."""
    names: list[str] = []
    jump = spec.connection.jump
    while jump is not None:
        names.append(jump.name)
        jump = jump.jump
    return tuple(names)


def jump_of(spec: HostSpec) -> Jump:
    """A host of the fleet as the jump host of another one."""
    held = spec.connection
    return Jump(spec.name, held.address, held.host_keys, held.user, held.port, held.jump)


def _jump(way: list[HostSpec]) -> Jump:
    """The nearest jump host, with the way to it."""
    last = way[-1].connection
    jump = last.jump  # a jump host that is not of the fleet
    for spec in reversed(way):
        held = spec.connection
        jump = Jump(spec.name, held.address, held.host_keys, held.user, held.port, jump)
    if jump is None:
        raise AssertionError("a way has a host")
    return jump


def _checks(jump: HostSpec, behind: list[HostSpec]) -> Iterator[Probe]:
    """What must continue to answer from the jump host: the sshd of each host behind it, where its address is known."""
    known = {check.name for check in jump.checks}
    for spec in sorted(behind, key=lambda one: one.name)[:MOST_CHECKED]:
        try:
            address = str(ipaddress.ip_address(spec.connection.address))
        except ValueError:
            continue  # a DNS name, which the jump host resolves for each connection
        probe = Probe("tcp", address, port=spec.connection.port)
        if probe.name not in known:
            yield probe
