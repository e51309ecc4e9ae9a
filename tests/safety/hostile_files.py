"""Odd files on a hostile host, really there: each is made at the console before, and removed after.

FILES[name] = (made, gone)          two shell scripts
"""

PLACE = "/etc/network/interfaces.d"
LEASES = "/var/lib/misc/dnsmasq.leases"
KEEP = "cp -a /etc/network/interfaces /root/interfaces.kept"
BACK = "mv /root/interfaces.kept /etc/network/interfaces"
STOP = "kill $(cat /run/hostile.pid); "
RULE = r"\tpost-up iptables -t nat -A POSTROUTING -s 10.%d.%d.1/32 -o enp1s0 -j MASQUERADE\n"
STANZA = r"auto l%d\niface l%d inet static\n\taddress 10.9.%d.%d/24\n\tpost-up true\n"
LEASE = r"0 bc:24:11:00:%02x:%02x 10.10.%d.%d g%d *\n"


def lines(count: int, words: str, numbers: str) -> str:
    """So many lines, printed by printf with these numbers of $i."""
    return f"i=0; while [ $i -lt {count} ]; do printf '{words}' {numbers}; i=$((i + 1)); done"


HIGH, LOW = "$((i / 256))", "$((i % 256))"
UP = lines(9000, RULE, f"{HIGH} {LOW}") + " >>/etc/network/interfaces"
STANZAS = lines(7000, STANZA, f"$i $i {HIGH} {LOW}") + " >>/etc/network/interfaces"
ODD = f"cd {PLACE} && touch 'a\nb' \"$(printf 'x\\033[2J')\""
ON_AND_ON = "yes 'address \\' | head -100000 >>/etc/network/interfaces"

FILES = {
    "files: 1,900 in a watched folder": (
        f"cd {PLACE} && for i in $(seq 1900); do echo '# x' >many$i; done", f"cd {PLACE} && rm -f many*",
    ),
    "files: 3,000 in a watched folder": (
        f"cd {PLACE} && for i in $(seq 3000); do echo '# x' >many$i; done", f"cd {PLACE} && rm -f many*",
    ),
    "files: names that cannot be told": (ODD, f"cd {PLACE} && rm -f a* x*"),
    "files: a link to /dev/zero": (f"ln -s /dev/zero {PLACE}/zero", f"rm {PLACE}/zero"),
    "files: a pipe": (f"mkfifo {PLACE}/pipe", f"rm {PLACE}/pipe"),
    "files: 900 KB and 3 MB": (
        f"head -c 900000 /dev/urandom >{PLACE}/noise; head -c 3000000 /dev/zero >{PLACE}/big",
        f"rm {PLACE}/noise {PLACE}/big",
    ),
    "files: one that changes all the time": (
        f"(while :; do date >{PLACE}/moving; done) >/dev/null 2>&1 & echo $! >/run/hostile.pid",
        f"{STOP} rm {PLACE}/moving",
    ),
    "files: 900 KB of interfaces": (f"{KEEP}; {STANZAS}", BACK),
    "files: 9,000 lines of post-up": (f"{KEEP}; {UP}", BACK),
    "files: a line that goes on 100,000 times": (f"{KEEP}; {ON_AND_ON}", BACK),
    "leases: 14,000": (lines(14_000, LEASE, f"{HIGH} {LOW} {HIGH} {LOW} $i") + f" >{LEASES}", f"rm {LEASES}"),
    "leases: no text": (f"head -c 500000 /dev/urandom >{LEASES}", f"rm {LEASES}"),
}  # fmt: skip
