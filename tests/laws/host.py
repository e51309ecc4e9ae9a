"""A host as a value: what an observation would hold, and what a plan's steps would make of it. It prints itself."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network

from service.apply.document import by_digest, contents
from service.formats import fail2ban
from service.formats.interfaces import CONF_FILE
from service.formats.sysctl_files import MAIN_LINK
from service.model.facts import Step
from service.model.guests import FILES_INSIDE, KEPT_INSIDE, proxy_id
from service.model.observed import Card, HostObserved, ManagementPath, MasqueradeInForce, Watch
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.weighed import PackageMove, Weighed
from service.observe.read_files import as_secret, without_digest
from tests.laws.sockets import SSHD, binds_anew, is_running, waiting

INTERFACES = b"""auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress 198.51.100.11/24
\tgateway 198.51.100.1
"""
IFUPDOWN2_CONF = b"template_enable=1\nmultiple_vlan_aware_bridge_support=0\n"
SPARE = ("enp2s0", "enp3s0", "enp4s0")
"""Cards without an address."""
WAYS = ((("1.0", ""), "present"), (("", "1.0"), "absent"))
NOW_S = 1000.0
OF_LINK = re.compile(r"sysctl:net\.ipv4\.conf\..*\.forwarding")
RULE = re.compile(r'ip saddr (\S+) oifname "(\S+)" masquerade')


def file_fact(content: bytes, mode: str = "0644") -> dict[str, Json]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "mode": mode, "uid": 0, "gid": 0, "size": len(content)}


def link(**fields: Json) -> dict[str, Json]:
    return {"type": "other", "up": True, "mtu": 1500, "master": None, **fields}


def bare_host(watch: Watch, files: Mapping[str, bytes] | None = None) -> HostObserved:
    """A provider's Debian: one card with an address, BIND running, nothing of ours."""
    texts: dict[str, Observed[bytes]] = {"/etc/network/interfaces": Seen(INTERFACES), "/etc/sysctl.conf": Seen(b"")}
    texts[CONF_FILE] = Seen(IFUPDOWN2_CONF)
    texts |= {path: Seen(content) for path, content in (files or {}).items()}
    facts: dict[str, Observed[Json]] = {
        "link:lo": Seen(link(mtu=65536)),
        "link:enp1s0": Seen(link()),
        **{f"link:{name}": Seen(link()) for name in SPARE},
        "addresses:lo": Seen([]),
        **{f"addresses:{name}": Seen([]) for name in SPARE},
        "addresses:enp1s0": Seen(["198.51.100.11/24"]),
        "routes:default": Seen([{"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}]),
        "unit:named.service": Seen({"enabled": "enabled", "active": True}),
        "unit:ssh.service": Seen({"enabled": "enabled", "active": True}),
        "unit:networking.service": Seen({"enabled": "enabled", "active": True}),
        "nft:inet passerelle_nat": Absent(),
        "nft:inet passerelle": Absent(),
        "nft:inet passerelle_forwards": Absent(),
        "nft:bridge passerelle": Absent(),
    }
    texts[MAIN_LINK] = Unknown("it is not a plain file but a symbolic link")
    for path in watch.files:
        if not path.endswith("/*"):
            texts.setdefault(path, Absent())
    facts |= {f"file:{p}": Seen(file_fact(t.value)) if isinstance(t, Seen) else Absent() for p, t in texts.items()}
    facts[f"file:{MAIN_LINK}"] = Seen({"type": "symlink"})
    there = {name for name, _ in watch.inside}  # guests with packages; the others are nowhere yet
    for name, mac, number in watch.guests:
        known: dict[str, Json] = {"name": name, "mac": mac, "bridge": "vmbr0", "autostart": True}
        facts[f"guest:{name}"] = Seen(guest_fact(known)) if name in there else Absent()
        facts[proxy_id(name, mac, number)] = Seen({"active": True, "loaded": ""}) if name in there else Absent()
    for key in watch.sysctls:
        facts[f"sysctl:{key}"] = Seen("0")
    for unit in watch.units:
        facts.setdefault(f"unit:{unit}", Absent())
    host = HostObserved(
        host="pve1",
        observed_at=datetime(2026, 1, 1, tzinfo=UTC),
        path=ManagementPath("198.18.0.10", "198.51.100.11", 22),
        facts=facts,
        texts=texts,
        masquerades=Seen(()),
        listeners=Seen((SSHD,)),
        packages={
            **{name: Absent() for name in (*watch.packages, *("/".join(pair) for pair in watch.inside))},
            **{name: Seen("4.4.3") for name in watch.packages & {"isc-dhcp-client"}},
        },
        weighed=Seen(weighed(watch)),
        leases=Seen(()),
        cards={"enp1s0": Card("bc:24:11:0a:00:01", "bc:24:11:0a:00:01", carrier=True)},
        bans=Absent(),
        unlisted={
            "link:": Absent(),
            "addresses:": Absent(),
            **{f"file:{p[:-1]}": Absent() for p in watch.files if p[-1] == "*"},
        },
    )
    return hidden(host, watch.secrets)


def hidden(host: HostObserved, paths: Collection[str]) -> HostObserved:
    """The host as it is seen where nobody may see what some of its files hold."""
    there = {path: as_secret(host.texts[path]) for path in paths if path in host.texts}
    return replace(
        host,
        facts={**host.facts, **{f"file:{path}": without_digest(host.facts[f"file:{path}"]) for path in there}},
        texts={path: text for path, text in host.texts.items() if path not in there},
        secrets={**host.secrets, **there},
    )


def weighed(watch: Watch) -> Weighed:
    """The answer of a host without dependencies: each package comes and goes alone, each unit is a plain one."""
    names = {state: sorted(t[8:] for t, s in watch.weighed if s == state and t[:8] == "package:") for _, state in WAYS}
    come, gone = (tuple(PackageMove(name, new, old) for name in names[state]) for (new, old), state in WAYS)
    units = {thing[5:] for thing, _ in watch.weighed if thing.startswith("unit:")}
    plain = {"UnitFileState": "enabled", "WantedBy": "multi-user.target"}
    return Weighed(Seen(come), Seen(gone), units={name: {"Id": name, **plain} for name in units})


def after_plan(host: HostObserved, plan: Plan) -> HostObserved:
    """The host once everything in a plan is done, packages and guests first."""
    units = {f"unit:{p.name}.service": Seen({"enabled": "disabled", "active": False}) for p in plan.packages}
    facts = {**host.facts, **{u: s for u, s in units.items() if isinstance(host.facts.get(u), Absent)}}
    packages: dict[str, Observed[str]] = {
        **host.packages,
        **{p.name: Seen("1.0") if p.action == "install" else Absent() for p in plan.packages},
        **{f"{g.name}/{name}": Seen("1.0") for g in plan.guests for name in inside_of(g.order)},
    }
    facts |= {f"guest:{g.name}": Seen(guest_fact(g.order)) for g in plan.guests if g.action != "install"}
    changed = done(replace(host, facts=facts, packages=packages), plan_steps(plan), contents(plan))
    return hidden(changed, host.secrets)


def inside_of(order: Mapping[str, Json]) -> list[Json]:
    """The packages that an order brings into a guest."""
    names = order.get("install")
    return names if isinstance(names, list) else []


def guest_fact(order: Mapping[str, Json]) -> Json:
    """A guest that runs, as the host reports it."""
    inside: list[Json] = [FILES_INSIDE, KEPT_INSIDE]
    known = {"mac": order["mac"], "bridge": order["bridge"], "autostart": order["autostart"]}
    return {
        "kind": "lxc", "own": order["name"], "running": True, "answers": True, "new": False, "trouble": "",
        "mounts": inside, "mounted": inside, **known,
    }  # fmt: skip


def plan_steps(plan: Plan) -> list[Step]:
    """The steps as the host gets them: with digests where people see marks."""
    return [
        replace(step, before=by_digest(step.before, plan.secrets), after=by_digest(step.after, plan.secrets))
        for step in plan.steps
    ]


def done(host: HostObserved, steps: Iterable[Step], blobs: Mapping[str, bytes]) -> HostObserved:
    """The host after some steps."""
    for step in steps:
        was_running = is_running(host)
        host = set_fact(host, step.fact, step.after, blobs)
        if binds_anew(host, step, was_running=was_running):
            host = replace(host, listeners=Seen(waiting(host)))
        if step.fact == "unit:fail2ban.service":
            host = replace(host, bans=jails_up(host))
    return host


def undone(host: HostObserved, steps: Iterable[Step], kept: Mapping[str, bytes]) -> HostObserved:
    """The host after all steps in reverse: every fact has the value that its step had recorded before, whatever it is
    now. `kept` are the bytes that the files had, by their digest: what a host keeps next to its snapshot.
    """
    for step in reversed(list(steps)):
        host = set_fact(host, step.fact, step.before, kept)
    return replace(host, listeners=Seen(waiting(host)))


def kept_bytes(host: HostObserved) -> dict[str, bytes]:
    """The bytes of all files that a host has, by their digest."""
    texts = [text.value for text in host.texts.values() if isinstance(text, Seen)]
    return {hashlib.sha256(content).hexdigest(): content for content in texts}


def set_fact(host: HostObserved, fact: str, value: Json, blobs: Mapping[str, bytes]) -> HostObserved:
    """One fact, set as the host-side file sets it. An unknown type of fact is a bug of the test."""
    kind, _, name = fact.partition(":")
    facts: dict[str, Observed[Json]] = {**host.facts, **links_along(host, fact, value)}
    texts = dict(host.texts)
    facts[fact] = Absent() if value is None else Seen(value)
    if kind == "file":
        content = blobs[value["sha256"]] if isinstance(value, dict) else None  # type: ignore[index]
        texts[name] = Absent() if content is None else Seen(content)
        facts |= without_its_file(facts, name) if content is None else {}
        if content is not None and isinstance(value, dict):
            facts[fact] = Seen({**file_fact(content), **value})
    elif kind == "link":
        before = facts_of(host, fact)
        if isinstance(value, dict):
            facts[fact] = Seen({**link(), **before, **value})
        else:
            facts.pop(f"addresses:{name}", None)
        if value is not None:
            facts.setdefault(f"addresses:{name}", Seen([]))
    elif kind == "nft":
        return set_table(host, facts, name, value)
    elif kind == "masquerade":
        source, _, out = name.partition(">")
        others = tuple(m for m in masquerades(host) if (m.source, m.out, m.table) != (source, out, "iptables nat"))
        count = int(value) if isinstance(value, int) else 0
        made = (MasqueradeInForce(source, out, "iptables nat", count),) if count else ()
        facts.pop(fact)
        return replace(host, facts=facts, masquerades=Seen((*others, *made)))
    elif kind in ("unit", "proxy"):
        facts[fact] = Absent() if value is None else Seen({**facts_of(host, fact), **value})  # type: ignore[dict-item]
    elif kind == "leases":
        facts.pop(fact)
    elif kind == "package":
        facts.pop(fact)
        seen = Absent() if value is None else Seen(str(facts_version(value)))
        return replace(host, facts=facts, packages={**host.packages, name: seen})
    elif kind not in ("addresses", "routes", "sysctl", "guest"):
        raise AssertionError(f"no host has facts of type {kind}")
    return replace(host, facts=facts, texts=texts)


def links_along(host: HostObserved, fact: str, value: Json) -> dict[str, Observed[Json]]:
    """The kernel sets the forwarding of every interface when that of the host changes."""
    if fact != "sysctl:net.ipv4.ip_forward" or host.facts.get(fact) == Seen(value):
        return {}
    return {name: Seen(value) for name in host.facts if OF_LINK.fullmatch(name)}


def without_its_file(facts: Mapping[str, Observed[Json]], path: str) -> dict[str, Observed[Json]]:
    """The unit that goes with its file, if there is one."""
    folder, _, name = path.rpartition("/")
    unit = f"unit:{name}"
    return {unit: Absent()} if folder == "/etc/systemd/system" and unit in facts else {}


def facts_version(value: Json) -> Json:
    """The version in a package's fact."""
    return value.get("version") if isinstance(value, dict) else None


def set_table(host: HostObserved, facts: dict[str, Observed[Json]], name: str, value: Json) -> HostObserved:
    """An nft table; that of NAT masquerades."""
    load = str(value.get("load", "")) if isinstance(value, dict) else ""
    if isinstance(value, dict):
        facts[f"nft:{name}"] = Seen({"normal": value["normal"]})
    if name != "inet passerelle_nat":
        return replace(host, facts=facts)
    ours = tuple(MasqueradeInForce(str(ip_network(s)), o, "nft inet passerelle_nat") for s, o in RULE.findall(load))
    others = tuple(m for m in masquerades(host) if m.table != "nft inet passerelle_nat")
    return replace(host, facts=facts, masquerades=Seen((*others, *ours)))


def jails_up(host: HostObserved) -> Observed[Mapping[str, tuple[str, ...]]]:
    """fail2ban's jails once it runs: those that its files switch on."""
    text = host.texts.get("/etc/fail2ban/jail.d/zz-passerelle.local", Absent())
    jails = fail2ban.parse(text.value) if isinstance(text, Seen) else {}
    return Seen({name: () for name, keys in jails.items() if keys.get("enabled") == "true"})


def facts_of(host: HostObserved, fact: str) -> dict[str, Json]:
    """The captured fields of a fact, none if it is absent."""
    seen = host.facts.get(fact, Absent())
    return dict(seen.value) if isinstance(seen, Seen) and isinstance(seen.value, dict) else {}


def masquerades(host: HostObserved) -> tuple[MasqueradeInForce, ...]:
    return host.masquerades.value if isinstance(host.masquerades, Seen) else ()


def printed(host: HostObserved) -> str:
    """The host as text, one fact a line: what tests compare."""
    lines = [f"{name} {seen}" for name, seen in sorted(host.facts.items())]
    lines += [f"{path} {seen}" for path, seen in sorted(host.texts.items())]
    return "\n".join([*lines, f"masquerades {sorted(map(str, masquerades(host)))}"])


def differing(one: HostObserved, other: HostObserved) -> set[str]:
    """The facts in which two hosts differ."""
    pairs = [
        (one.facts, other.facts, ""),
        ({f"file:{p}": t for p, t in one.texts.items()}, {f"file:{p}": t for p, t in other.texts.items()}, ""),
        (one.packages, other.packages, "package:"),
    ]
    return {
        prefix + name
        for here, there, prefix in pairs
        for name in {*here, *there}
        if here.get(name, Absent()) != there.get(name, Absent())
    }
