"""Every host and every file that the tests of the readers have, as trees of files for adopt."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from service.adopt import Material
from service.adopt.material import KEY_FILE
from service.cli.host_tree import read_host_tree
from tests.adopt.trees import KEY, NAMES, material

TESTS = Path(__file__).parent.parent
INPUTS = Path(__file__).parent / "inputs"
MAIN = "/etc/network/interfaces"
BASE = {
    "/etc/hostname": b"pve1\n",
    KEY_FILE: KEY.encode() + b" root@pve1\n",
    MAIN: b"""\
auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
	address 198.51.100.11/24
	gateway 198.51.100.1

auto vmbr0
iface vmbr0 inet static
	address 10.10.10.1/24
	bridge-ports none
	bridge-stp off
	bridge-fd 0
	post-up echo 1 > /proc/sys/net/ipv4/ip_forward

source /etc/network/interfaces.d/*
""",
}
UPLINK = b"\nauto enp9s0\niface enp9s0 inet static\n\taddress 198.51.100.11/24\n\tgateway 198.51.100.1\n"
RANGE = b"interface=vmbr0\nbind-dynamic\ndhcp-range=10.10.10.100,10.10.10.200,12h\n"

DNSMASQ = {
    "every interface": b"domain-needed\ndhcp-range=10.10.10.100,10.10.10.200,12h\ndhcp-host=02:00:00:00:00:01,a\n",
    "values that lint refuses": RANGE + b"server=300.1.1.1\nserver=1.1.1.1\ndhcp-option=3,10.99.0.1\n"
    b"dhcp-option=6,10.10.10.1\ncache-size=999999\ninterface=nothere\ndhcp-option=121,10.0.0.0/8,10.10.10.1\n",
    "lists in one line": b"interface=vmbr0,nothere\nlisten-address=10.10.10.1,127.0.0.1\nno-dhcp-interface=enp1s0\n"
    b"dhcp-range=10.10.10.100,10.10.10.200,12h\n",
    "ranges of all sorts": RANGE + b"dhcp-range=10.10.10.0,static\ndhcp-range=tag:x,10.10.10.50,10.10.10.60,1h\n"
    b"dhcp-range=10.10.10.210,10.10.10.220,255.255.255.0,10.10.10.255,1h\ndhcp-range=10.77.0.2,10.77.0.9\n"
    b"dhcp-range=::,constructor:vmbr0,ra-only\ndhcp-range=set:y,10.10.10.30,10.10.10.40,2h\ndhcp-option=tag:y,42,10.10.10.1\n",
    "the same again": RANGE + b"dhcp-option=3,10.10.10.1\ndhcp-option=3,10.10.10.2\ndomain=a.lan\ndomain=b.lan\n"
    b"bogus-priv\nbogus-priv\nlocal=/a.lan/\nlocal=/a.lan/\nserver=/a.lan/\nserver=9.9.9.9\nserver=9.9.9.9\n",
    "broken lines": RANGE + b"cache-size\nbogus-priv=1\ndhcp-host=\"02:00:00:00:00:01\nno-such-directive=1\n =5\n",
    "one range with a tag": b"interface=vmbr0\nbind-dynamic\ndhcp-range=set:lan,10.10.10.100,10.10.10.200,12h\n"
    b"dhcp-option=tag:lan,3,10.10.10.1\ndhcp-option=tag:lan,option:dns-server,10.10.10.1\n",
    "a tag and a range that no spec has": b"interface=vmbr0\ndhcp-range=set:lan,10.10.10.100,10.10.10.200,12h\n"
    b"dhcp-option=tag:lan,3,10.10.10.1\ndhcp-range=set:far,10.88.0.100,10.88.0.200\ndhcp-option=tag:far,3,10.88.0.1\n",
    "options that a later line takes back": RANGE + b"dhcp-option=3,10.10.10.1\ndhcp-option=6,10.10.10.1\n"
    b"dhcp-option=3\ndhcp-option-force=6,9.9.9.9\ndhcp-option=42\ndhcp-option=42,10.10.10.1\n",
    "one MAC in several lines": RANGE + b"dhcp-host=02:00:00:00:00:01,02:00:00:00:00:02,10.10.10.20,a\n"
    b"dhcp-host=02:00:00:00:00:02,10.10.10.21,b\ndhcp-host=02:00:00:00:00:03,10.10.10.22,c\n"
    b"dhcp-host=02:00:00:00:00:03,ignore\ndhcp-host=02:00:00:00:00:04,ignore\ndhcp-host=02:00:00:00:00:04,10.10.10.23,d\n"
    b"dhcp-host=02:00:00:00:00:05,10.10.10.24,e\ndhcp-host=02:00:00:00:00:05,10.99.0.24,e\n",
    "what no section has": RANGE + b"address=/x.lan/10.0.0.1\nconf-file=/etc/other\nenable-tftp\n\n"
    b"log-facility=/etc/passwd\ndhcp-script=/bin/true\nread-ethers\ndhcp-hostsdir=/etc/hostsdir\ndhcp-leasefile=/root/x\n",
    "guests of all sorts": RANGE + b"dhcp-host=02:00:00:00:00:01,10.10.10.20,a\n"
    b"dhcp-host=10.10.10.21,02:00:00:00:00:02,b\ndhcp-host=02:00:00:00:00:03,c.example.lan\ndhcp-host=02:00:00:00:00:04,10.10.10.24,d,45m\n"
    b"dhcp-host=02:00:00:00:00:05,02:00:00:00:00:06,e\ndhcp-host=02:00:00:00:00:07,set:t,f\n"
    b"dhcp-host=02:00:00:00:00:01,10.10.10.20,a\ndhcp-host=02:00:00:00:00:08,10.10.10.28\n"
    b"dhcp-host=id:01,10.10.10.62,g\ndhcp-host=02:00:00:*:*:*,set:vm\ndhcp-host=02:00:00:00:00:09,ignore\n"
    b"dhcp-host=h,10.10.10.80\ndhcp-host=02:00:00:00:00:0a,10.99.0.1,outside\ndhcp-host=02:00:00:00:00:0b,pve1\n"
    b"dhcp-host=[fd00::1],02:00:00:00:00:0c,i\ndhcp-host=02:00:00:00:00:0d,under_score\n",
}  # fmt: skip
NFT = {
    "a firewall": b"""\
#!/usr/sbin/nft -f
flush ruleset
define lan = 10.10.10.0/24
table inet filter {
	set admins { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iifname "lo" accept
		tcp dport { 22, 8006 } accept
	}
	chain forward { type filter hook forward priority filter; policy accept; }
}
table ip nat {
	chain post {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr $lan oifname "enp1s0" masquerade
		ip saddr 10.20.0.0/24 oifname "enp1s0" snat to 198.51.100.11
		oifname "enp1s0" masquerade random
	}
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		iifname "enp1s0" tcp dport 80 dnat to 10.10.10.20
	}
}
include "/etc/nftables.d/*.nft"
""",
}
RULES_V4 = b"""\
# Generated by iptables-save
*filter
:INPUT DROP [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -i enp1s0 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.10.10.20:443
-A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE
-A POSTROUTING -s 10.30.0.0/24 -o enp1s0 -j SNAT --to-source 198.51.100.11
[12:3456] -A POSTROUTING -s 10.40.0.0/24 -o enp1s0 -j MASQUERADE
COMMIT
"""
JAILS = b"""\
before = 1
[DEFAULT]
bantime = -1
ignoreip = 127.0.0.1/8
           198.51.100.7
; a comment
[sshd]
enabled = true
maxretry = 1000
[proxmox]
enabled: yes
findtime = 2w
[other]
enabled = false
"""
ON = {"nftables.service": "enabled", "netfilter-persistent.service": "enabled", "dnsmasq.service": "enabled"}


def hosts() -> Iterator[tuple[str, Material]]:
    """(name, files) of every host."""
    yield from ((f"style {name}", material(name)) for name in NAMES)
    for path in sorted(INPUTS.iterdir()):
        given = read_host_tree(path / "root")
        yield f"input {path.name}", replace(given, files={**given.files, KEY_FILE: BASE[KEY_FILE]})
    yield from interfaces_files()
    for name, text in DNSMASQ.items():
        yield f"dnsmasq: {name}", Material({**BASE, "/etc/dnsmasq.conf": text}, units=ON)
        yield (
            f"dnsmasq in two files: {name}",
            Material({**BASE, "/etc/dnsmasq.conf": RANGE, "/etc/dnsmasq.d/a.conf": text}, units=ON),
        )
    for state in ("enabled", "disabled"):
        units = dict.fromkeys(ON, state)
        yield f"scripts {state}", Material(
            {**BASE, "/etc/nftables.conf": NFT["a firewall"], "/etc/iptables/rules.v4": RULES_V4,
             "/etc/nftables.d/x.nft": b"add rule inet filter input tcp dport 80 accept\n",
             "/etc/nftables.d/README": b"not included\n",
             "/etc/sysctl.d/10-x.conf": b"net.ipv4.conf.all.rp_filter=1\nnet.ipv4.ip_forward = 0\n",
             "/etc/fail2ban/jail.local": JAILS,
             "/etc/ethers": b"02:00:00:00:00:01 10.10.10.20\n",
             "/etc/systemd/network/10-x.link": b"[Match]\nMACAddress=02:00:00:00:00:01\n\n[Link]\nName=nic0\n",
             "/etc/netplan/x.yaml": b"network: {}\n", "/etc/dnsmasq.conf": RANGE},
            units=units,
        )  # fmt: skip
    for path in sorted((TESTS / "firewall" / "cases").iterdir()):
        files = {f"/etc/pve/firewall/{p.name}": p.read_bytes() for p in path.glob("*.fw") if p.name != "host.fw"}
        own = path / "host.fw"
        files |= {"/etc/pve/local/host.fw": own.read_bytes()} if own.exists() else {}
        yield f"firewall {path.name}", Material({**BASE, **files})


def interfaces_files() -> Iterator[tuple[str, Material]]:
    """A host for each interfaces file; it has an uplink of its own where the file has none."""
    for folder, file in (
        ("formats/reading", "in"),
        ("formats/interfaces", "in"),
        ("formats/pve_interfaces/cases", "input"),
    ):
        for path in sorted((TESTS / folder).iterdir()):
            if (given := path / file).is_file():
                data = given.read_bytes()
                yield f"{folder} {path.name}", Material({**BASE, MAIN: data if b"gateway" in data else data + UPLINK})
