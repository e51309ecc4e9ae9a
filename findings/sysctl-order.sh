#!/bin/sh
# systemd-sysctl 252 (Debian 12) and 257 (Debian 13): the last line that sets a key is not always the one that counts.
#
# Behaviour:
# - A key that a later file gives the same value again keeps its first place in the order. What another file wrote in
#   between through the variable's second name (`net.ipv4.conf.all.forwarding` is `net.ipv4.ip_forward`) stays.
# - A key set by its name is safe from patterns, but only under that name: `net.ipv4.conf.*.forwarding=0` in a later file
#   switches forwarding off although an explicit `net.ipv4.ip_forward=1` is there.
# - A new value of the host's switch sets every interface, whatever was written to the interface before. To the
#   kernel the value that it has is no new one for IPv4, but it is for IPv6 (`net.ipv6.conf.all.forwarding`).
# - systemd-sysctl does not write a value that is there already. So both families come out the same.
# - `-key` without a value takes back an earlier line with that key.
#
# Seen, of all / default / an interface that is there / one that appears afterwards:
#
#   same value again     0 0 0 0
#   other value again    1 1 1 1
#   pattern after name   0 0 0 0
#   interface before all 1 1 1 1
#   interface after all  1 1 0 1
#   default after all    1 0 1 0
#   taken back           0 0 0 0
#   IPv4, no new value   0 1 1 1
#   IPv6, no new value   0 1 1 1
#   IPv6, by the kernel  0 0 0 0
#
# The last three were seen with 252 only.
#
# udev runs the same program with `--prefix=/net/ipv4/conf/NAME` when an interface appears (99-systemd.rules): what is
# said of one interface counts then in the end, but nothing in a container shows it.
#
# For passerelle: it reads sysctl.d write by write (service/formats/sysctl_files.py), not line by line.
#
# Run as root, outside CI, in network and mount namespaces of its own. Exit code: 0 as described, 1 it behaves otherwise.
set -eu

program=/lib/systemd/systemd-sysctl
T=$(mktemp -d)
export T program
trap 'rm -rf "$T"' EXIT

cat >"$T/inside" <<'INSIDE'
set -eu
mount --make-rprivate /
for folder in /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d /usr/local/lib/sysctl.d; do
  [ ! -d "$folder" ] || mount -t tmpfs none "$folder"
done
ip link add card type veth peer name far
family=ipv4
again=
try() { # $1: name, others: one file each
  name=$1; shift
  rm -f /etc/sysctl.d/*
  ip link del later 2>/dev/null || true
  conf=/proc/sys/net/$family/conf
  echo 1 >$conf/all/forwarding
  echo 0 >$conf/all/forwarding
  number=10
  for text; do printf '%b\n' "$text" >"/etc/sysctl.d/$number.conf"; number=$((number + 10)); done
  "$program"
  [ -z "$again" ] || echo 0 >$conf/all/forwarding
  ip link add later type bridge
  echo "$name:" "$(cat $conf/all/forwarding $conf/default/forwarding $conf/card/forwarding $conf/later/forwarding | xargs)"
}
on=net.ipv4.ip_forward=1
try 'same value again' "$on" net.ipv4.conf.all.forwarding=0 "$on"
try 'other value again' net.ipv4.ip_forward=0 net.ipv4.conf.all.forwarding=0 "$on"
try 'pattern after name' "$on" 'net.ipv4.conf.*.forwarding=0'
try 'interface before all' net.ipv4.conf.card.forwarding=0 "$on"
try 'interface after all' "$on" net.ipv4.conf.card.forwarding=0
try 'default after all' "$on" net.ipv4.conf.default.forwarding=0
try 'taken back' "$on" -net.ipv4.ip_forward
first() { echo "net.$family.conf.card.forwarding=1\\nnet.$family.conf.default.forwarding=1"; }
try 'IPv4, no new value' "$(first)" net.ipv4.conf.all.forwarding=0
family=ipv6
try 'IPv6, no new value' "$(first)" net.ipv6.conf.all.forwarding=0
again=yes
try 'IPv6, by the kernel' "$(first)"
INSIDE

unshare --net --mount sh "$T/inside" | tee "$T/seen"

diff "$T/seen" - <<'EXPECTED' || { echo "changed" >&2; exit 1; }
same value again: 0 0 0 0
other value again: 1 1 1 1
pattern after name: 0 0 0 0
interface before all: 1 1 1 1
interface after all: 1 1 0 1
default after all: 1 0 1 0
taken back: 0 0 0 0
IPv4, no new value: 0 1 1 1
IPv6, no new value: 0 1 1 1
IPv6, by the kernel: 0 0 0 0
EXPECTED
echo "$("$program" --version | head -1): as described"
