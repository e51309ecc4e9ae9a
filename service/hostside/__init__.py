"""What runs on hosts: the dead-man's switch and the transaction.

    python3 -I -S FILE [--root DIR] [--bin DIR] VERB [ARGUMENT…]

All rooms ship as one zip archive, which `service.apply.host_file` makes of them and Python runs as it is. Run as root;
Python >= 3.9 and its standard library only: nothing else of ours is imported. The service imports five of the rooms:
`canonical`, `facts`, `guest_nginx`, `vital` and `probes`.

A transaction is a list of steps `fact: before -> after`. Apply sets every fact to `after`; rollback sets every fact to
its snapshot, whatever state it is in now. Both can be cut anywhere and started again. Before the first step there are a
journal, two wakers (a process that watches the boot clock, a timer of systemd's) and a unit that runs before
networking. So a killed process, a cut connection, a passed deadline or a power cut all end in the old state. Only a
confirmation over a new connection keeps the new one. All of that is proven when it is armed, after the steps, and again
before a confirmation counts. Kernel facts are set with `ip` and `nft` directly: ifreload and ifup detach guests' ports
and repeat post-up lines.

Facts (`TYPE:NAME`; canonical JSON, None is "not there"; a wanted value may name fewer fields than a captured one):

    file:/abs/path      {"sha256", "mode": "0644", "uid", "gid"}; captured also "size", "xattrs": {name: base64}
    link:NAME           {"type": "bridge"|"bond"|"vlan"|"other", "up", "mtu", "master"}, bridges also "stp",
                        "forward_delay_s", "ports": [{"name", "up"}]: each wanted port is there (ports that came are
                        guests'); a VLAN also "parent" (a link's name, None if it is elsewhere) and "id"; a bond also
                        "mode", "miimon", what its mode has of "hash_policy", "lacp_rate" and "primary", and "ports":
                        these and no other
    addresses:NAME      ["10.10.10.1/24", …] sorted, scope global, without dynamic ones
    routes:default      [{"family": 4|6, "via": "198.51.100.1"|null, "dev"}] sorted, table main, without proto ra
    sysctl:KEY          "1" (net.* only; net.bridge.* are "0" without the module br_netfilter)
    nft:FAMILY TABLE    {"normal": […]}, wanted also {"load": "table … {…}"}; tables passerelle and passerelle_* only
    masquerade:SRC>OUT  number of such rules in iptables' nat POSTROUTING
    unit:NAME           {"enabled": "enabled"|"disabled"|"masked"|…, "active": bool}
    package:NAME        {"version"}; a Debian package goes (None), and comes back from a copy that is made before
    proxy:NAME@WHERE    nginx in a guest, found by its MAC address or its number on Proxmox: {"active", "loaded"}, the
                        digest of the files that this nginx has loaded, "" where it does not say. Captured of a guest
                        that is down or does not answer: {"away": why}
    leases:/abs/path    dnsmasq's lease file. Captured {"named": ["MAC NAME", …], "nameless": ["MAC", …]}; wanted
                        {"from": a path that it was at until now, "unnamed": ["MAC NAME", …] that go, "named" that
                        leases without a name get}: it moves all the time, only these count

Verbs (JSON lines on stdout, the last one is {"event": "result", …}; exit 0 clean answer, 2 bad input, 1 crash):

    begin <doc   run ID   confirm ID [--console]   rollback ID [REASON]   expire ID   watch ID
    extend ID SECONDS [GENERATION]   boot   status [ID] [--verify]   capture <["fact", …]
    packages <{"install", "promised", "timeout_s", "guest"}   guests <{"action", "guests", "timeout_s"}
    weigh {"install", "remove", "units", "refresh"}
    release ID REASON   prove ID
    probe <[{"kind", "name", "address", …}]   answers [{"name", "address", "port", "tls"}, …]
    permit GUEST@MAC|NUMBER <{"SITE": {"ok", "why"}, …}
"""
