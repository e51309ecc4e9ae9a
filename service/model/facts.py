"""Facts: the small closed set of things that a transaction sets on a host.

A fact id is `TYPE:NAME`; its value is canonical JSON or None for "not there". The same words are used by
the host-side file, which captures, sets and compares them (the top of `service/hostside/__init__.py` is the
reference of every type and field). A wanted value may name fewer fields than a captured one: only what is
named is compared.

    file:/etc/x                 {"sha256", "mode": "0644", "uid", "gid"}; in a plan, of a secret, "mark" for "sha256"
    link:vmbr0                  {"type": bridge|other, "up", "mtu", "master", "stp", "forward_delay_s", "ports": […]}
    addresses:vmbr0             ["10.10.10.1/24", …] sorted, scope global, static ones
    routes:default              [{"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}, …] sorted
    sysctl:net.ipv4.ip_forward  "1"
    nft:inet passerelle_nat     {"normal": […]}, wanted also {"load": "<nft text>"}
    masquerade:10.10.10.0/24>enp1s0   number of such iptables rules in nat POSTROUTING
    leases:/var/lib/misc/x      dnsmasq's lease file: {"from": where it was until now, "unnamed": ["MAC NAME", …],
                                "named": ["MAC NAME", …]}
    package:bind9               {"version"}, None once it is gone; only goes
    proxy:proxy@bc:24:11:00:00:02   nginx in a guest: {"active": bool, "loaded": the digest of its files}
    unit:dnsmasq.service        {"enabled": "enabled"|"disabled"|"masked"|…, "active": bool}

Only observed, never set by a step (service/observe/read_guests.py has the fields):

    guest:proxy                 {"kind": lxc|pct, "own", "running", "autostart", "mac", "bridge", "mounts", …}
"""

from dataclasses import dataclass

from service.model.states import Json

FactId = str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a transaction does: bring `fact` from `before` to `after`; undo is the reverse.

    `why` names the change or the cause in words. `restart` asks for a unit's restart even where it stays active.
    `on_confirm` steps are done only when the apply is confirmed (the own nft table's file: until then a reboot
    is a rollback on its own).
    """

    fact: FactId
    before: Json
    after: Json
    why: str
    risk: str = ""
    restart: bool = False
    on_confirm: bool = False
