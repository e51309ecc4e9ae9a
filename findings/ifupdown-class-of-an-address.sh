#!/bin/sh
# ifupdown 0.8.41 (Debian 12's default): what a stanza says is not always what the boot sets. ifupdown2 differs in each.
#
# - An IPv4 address without a netmask gets the netmask of its class: 10.1.2.3 becomes a /8.
# - A `netmask` line counts before the prefix of the address.
# - Of two `address` lines with prefixes only the first is set, and ifup ends with 0. Without prefixes the stanza fails.
# - Of two `gateway` lines the first is set, then the stanza fails, and with it all that is below.
#
# Seen of `ifup -a`, with ifupdown2 3.0.0-1.1 in brackets:
#
#   address 10.1.2.3                                   10.1.2.3/8    [10.1.2.3/32]
#   address 10.1.2.3/24 + netmask 255.255.0.0          10.1.2.3/16   [10.1.2.3/24]
#   address 10.0.0.1/24 + address 10.0.1.1/24          10.0.0.1/24   [10.0.0.1/24 10.0.1.1/24]
#   address 10.0.0.1 + address 10.0.1.1 + netmask 24   nothing       [10.0.0.1/32 10.0.1.1/24]
#
# For passerelle: a reader for each of the two programs (service/formats/interfaces/), proven against both.
#
# Run as root on Debian 12, outside CI. It fetches the package into a temporary folder from the machine's own package
# sources, and prints what ifup would run. Exit code: 0 as described, 1 it behaves otherwise now.
set -eu

version=0.8.41
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
(cd "$T" && apt-get -qq -o APT::Sandbox::User=root download "ifupdown=$version")
dpkg -x "$T"/ifupdown_*.deb "$T/root"

try() { # $1: the options of a stanza; others: words that the command for the address has
  options=$1; shift
  printf 'auto eth9\niface eth9 inet static\n%b\n' "$options" >"$T/interfaces"
  said=$("$T/root/sbin/ifup" --no-act --force --state-dir "$T" -i "$T/interfaces" eth9 2>&1 | tr '\n' ' ')
  said=$(printf '%s' "$said" | sed 's/.*\(ip addr add\)/\1/; s/ ip link.*//')
  printf '%s\n' "$said"
  [ "$said" = "$*" ] || { printf 'changed: expected %s\n' "$*" >&2; exit 1; }
}
try '\taddress 10.1.2.3' 'ip addr add 10.1.2.3/255.0.0.0 broadcast 10.255.255.255 	  dev eth9 label eth9'
try '\taddress 10.1.2.3/24\n\tnetmask 255.255.0.0' \
  'ip addr add 10.1.2.3/255.255.0.0 broadcast 10.1.255.255 	  dev eth9 label eth9'
try '\taddress 10.0.0.1/24\n\taddress 10.0.1.1/24' \
  'ip addr add 10.0.0.1/255.255.255.0 broadcast 10.0.0.255 	  dev eth9 label eth9'
try '\taddress 10.0.0.1\n\taddress 10.0.1.1\n\tnetmask 24' \
  'ip addr add 10.0.0.1 10.0.1.1/24 broadcast + 	  dev eth9 label eth9'
echo "ifupdown $version: as described"
