#!/bin/sh
# dnsmasq 2.90 (Debian 12): two guests that send one DHCP client-id share one lease.
#
# Clones of a machine send one client-id, for it is made of /etc/machine-id (systemd-networkd) or kept in a file
# (dhclient, dhcpcd). dnsmasq knows a client by its client-id first, and by its MAC only where none was sent.
#
# Behaviour:
# - In a range: both guests get the same address and use it at once. The lease has the MAC and the name of whoever asked
#   last; the other name does not resolve any more.
# - With an address for each MAC (dhcp-host): each gets its own, but the lease of the one that asked before is gone, and
#   its name with it, while it goes on using its address.
# - When the first asks again, the second loses its lease in turn.
# - With --dhcp-ignore-clid (since 2.81) each has a lease of its own; dnsmasq writes no client-id into the lease file.
#   That option is read at the start only.
#
# Seen, after "one" and "two" have asked, and after "one" has asked again (MAC, name and client-id of each lease):
#
#   range:         01 one ff:01:02:03 | 02 two ff:01:02:03 | 01 one ff:01:02:03        both at one address
#   fixed:         01 one ff:01:02:03 | 02 two ff:01:02:03 | 01 one ff:01:02:03        each at its own
#   ignoring:      01 one * | 01 one *, 02 two * | 01 one *, 02 two *                  each at its own
#
# For passerelle: two looks at the lease file show it (service/kinds/shared_leases.py), `dnsmasq.dhcp_ignore_clid` cures
# it.
#
# Run as root on Debian 12, outside CI, in namespaces of its own. It loads dnsmasq-base and busybox-static through the
# machine's own apt into a temporary folder. Exit code: 0 as described, 1 it behaves otherwise.
set -eu

dnsmasq_version=2.90-4~deb12u2
busybox_version=1:1.35.0-4+deb12u1+b1
T=$(mktemp -d)
export T
trap 'rm -rf "$T"' EXIT
(cd "$T" && apt-get -qq -o APT::Sandbox::User=root download "dnsmasq-base=$dnsmasq_version" "busybox-static=$busybox_version")
for package in "$T"/*.deb; do dpkg-deb -x "$package" "$T/root"; done

cat >"$T/took" <<'TOOK'
#!/bin/sh
case $1 in
  deconfig) ip link set "$interface" up; ip addr flush dev "$interface" ;;
  bound | renew) ip addr add "$ip/24" dev "$interface" ;;
esac
TOOK
chmod +x "$T/took"

cat >"$T/inside" <<'INSIDE'
set -eu
mount -t proc proc /proc
mount -t tmpfs none /run
mkdir /run/netns
busybox="$T/root/bin/busybox"
ip link set lo up
ip link add br0 type bridge
ip addr add 192.0.2.1/24 dev br0
ip link set br0 up
for n in 1 2; do
  ip netns add "guest$n"
  ip link add "port$n" type veth peer name eth0 netns "guest$n"
  ip link set "port$n" master br0 up
  ip -n "guest$n" link set eth0 address "02:00:00:00:00:0$n" up
done

asks() { # $1: number, $2: name
  ip netns exec "guest$1" "$busybox" udhcpc -f -q -n -i eth0 -s "$T/took" -x 0x3d:ff010203 -x "hostname:$2" >>"$T/said" 2>&1
}
leases() { cut -d' ' -f2,4,5 "$T/leases" | sed 's/^02:00:00:00:00://' | sort | paste -sd, | sed 's/,/, /g'; }
resolves() { "$busybox" nslookup "$1" 192.0.2.1 2>/dev/null | grep -q '^Name:' && echo yes || echo no; }
address() { ip -n "guest$1" -br -4 addr show eth0 | awk '{print $3}'; }
try() { # $1: case, others: dnsmasq's options
  name=$1; shift
  rm -f "$T/leases"
  for n in 1 2; do ip -n "guest$n" addr flush dev eth0; done
  "$T/root/usr/sbin/dnsmasq" --conf-file=/dev/null --user=root --pid-file="$T/pid" --interface=br0 --bind-interfaces \
    --no-resolv --no-hosts --no-ping --dhcp-authoritative --dhcp-leasefile="$T/leases" \
    --dhcp-range=192.0.2.100,192.0.2.150,1h "$@"
  asks 1 one; first=$(leases)
  asks 2 two; second=$(leases)
  same=no; [ "$(address 1)" != "$(address 2)" ] || same=yes
  names="$(resolves one) $(resolves two)"
  asks 1 one; third=$(leases)
  echo "$name: $first | $second | $third; one address: $same; names one, two after the second: $names"
  pid=$(cat "$T/pid")
  kill "$pid"
  while grep -qs '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.1; done
}
try range
try fixed --dhcp-host=02:00:00:00:00:01,192.0.2.11 --dhcp-host=02:00:00:00:00:02,192.0.2.12
try ignoring --dhcp-ignore-clid
INSIDE

unshare --net --mount --pid --fork --kill-child sh "$T/inside" | tee "$T/seen"

diff "$T/seen" - <<'EXPECTED' || { echo "changed" >&2; exit 1; }
range: 01 one ff:01:02:03 | 02 two ff:01:02:03 | 01 one ff:01:02:03; one address: yes; names one, two after the second: no yes
fixed: 01 one ff:01:02:03 | 02 two ff:01:02:03 | 01 one ff:01:02:03; one address: no; names one, two after the second: no yes
ignoring: 01 one * | 01 one *, 02 two * | 01 one *, 02 two *; one address: no; names one, two after the second: yes yes
EXPECTED
echo "$("$T/root/usr/sbin/dnsmasq" --version | head -1 | cut -d' ' -f1-3): as described"
