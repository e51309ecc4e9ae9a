#!/bin/sh
# ifupdown2 3.0.0-1.1 (Debian 12): `ifreload -a` neither changes nor removes the other end of a `pointopoint` address.
#
# Behaviour: when the `pointopoint` line changes, ifreload adds the address a second time with the new peer and tries to
# delete the *peer* in place of the own address, which the kernel refuses. The address with the old peer stays. When the
# line is removed, the same happens again: three addresses where the file has one. ifreload only warns and exits with 0.
# A boot is right: it starts without addresses.
#
# Seen, of `ip -br -4 addr show eth9` after the boot, after the peer changed, after the line was removed:
#
#   eth9@far  UP  198.51.100.11 peer 198.51.100.1/32
#   eth9@far  UP  198.51.100.11 peer 198.51.100.1/32 198.51.100.11 peer 198.51.100.254/32
#   eth9@far  UP  198.51.100.11 peer 198.51.100.1/32 198.51.100.11 peer 198.51.100.254/32 198.51.100.11/32
#   warning: … cannot delete address 198.51.100.1/32 dev eth9: operation failed with 'Cannot assign requested address' (99)
#
# For passerelle: it removes such an address by naming its peer, and counts an address once however often it is there.
#
# Run as root on Debian 12, outside CI. It fetches the package into a temporary folder from the machine's own package
# sources and runs it in network and mount namespaces of its own. Exit code: 0 as described, 1 it behaves otherwise now.
set -eu

version=3.0.0-1.1
T=$(mktemp -d)
export T
trap 'rm -rf "$T"' EXIT
chmod 755 "$T"
(cd "$T" && apt-get -qq -o APT::Sandbox::User=root download "ifupdown2=$version")
dpkg -x "$T"/ifupdown2_*.deb "$T/root"
mkdir "$T/bin"
for name in ifup ifreload; do ln -s "$T/root/usr/share/ifupdown2/__main__.py" "$T/bin/$name"; done
cp -a /etc "$T/etc"
mkdir -p "$T/etc/network"
cp -a "$T/root/etc/network/." "$T/etc/network/"

cat >"$T/inside" <<'INSIDE'
set -eu
mount --make-rprivate /
mount --bind "$T/etc" /etc
for folder in /run /var/tmp /var/log; do mount -t tmpfs none "$folder"; done
mkdir /run/network
ip link add eth9 type veth peer name far
ip link set far up
ip link set eth9 up
run() { PYTHONPATH="$T/root/usr/share/ifupdown2" python3 "$T/bin/$1" -a 2>&1; echo "$1: exit code $?"; }
addresses() { ip -br -4 addr show eth9; }
printf 'auto eth9\niface eth9 inet static\n\taddress 198.51.100.11/32\n\tpointopoint 198.51.100.1\n' >/etc/network/interfaces
run ifup
addresses
sed -i 's/198.51.100.1$/198.51.100.254/' /etc/network/interfaces
run ifreload
addresses
sed -i /pointopoint/d /etc/network/interfaces
run ifreload
addresses
INSIDE

unshare --net --mount sh "$T/inside" | tee "$T/seen"

expect() { # $1: what, $2: how often it has to be in what was seen
  found=$(grep -c -e "$1" "$T/seen" || true)
  [ "$found" = "$2" ] || { echo "changed: '$1' was seen $found times, not $2" >&2; exit 1; }
}
expect "cannot delete address 198.51.100.1/32 dev eth9" 2
expect "ifreload: exit code 0" 2
expect "198.51.100.11 peer 198.51.100.1/32 198.51.100.11 peer 198.51.100.254/32 *$" 1
expect "198.51.100.11 peer 198.51.100.1/32 198.51.100.11 peer 198.51.100.254/32 198.51.100.11/32" 1
echo "ifupdown2 $version: as described"
