#!/usr/bin/env bash
# nftables: what `nft list` prints and `nft -j list` does not.
#
# Loads a set with auto-merge, comments, and a rule of iptables-nft in a network namespace of its own, and shows whether
# the JSON listing has them. Whoever compares JSON takes two tables for equal that are not. Nothing of passerelle runs.
# Seen on 2026-11-29 on Linux 6.18, with nftables 1.0.6-2+deb12u2 and iptables 1.8.9 (Debian 12), and with nftables
# 1.1.3-1 and iptables 1.8.11 (Debian 13):
#
#   in the text                          in the JSON of 1.0.6    in the JSON of 1.1.3
#   auto-merge of a set                  no                      yes
#   flag dynamic of a set                no                      yes
#   comment of a table, of a chain       no                      yes
#   options of iptables-nft's parts      no                      no      (`xt` has type and name alone)
#
# usage: findings/nft-json-leaves-out.sh     as root on Debian 12 or 13 with nftables and iptables.
# Exit code 0: as seen; 1: something else; 2: not run.
set -euo pipefail

cannot() { echo "not run: $*" >&2; exit 2; }
((EUID == 0)) || cannot "a network namespace needs root"
for program in nft iptables unshare; do command -v "$program" >/dev/null || cannot "$program is not installed"; done
said=$(nft --version)
case $said in
  *v1.0.6*) expected="no no no no no" ;;
  *v1.1.3*) expected="yes yes yes yes no" ;;
  *) cannot "nft 1.0.6 or 1.1.3 is needed, this is $said" ;;
esac

json=$(unshare --net sh -s <<'IN'
nft -f - <<'RULES'
table inet t {
  comment "of a table"
  set s {
    type ipv4_addr
    flags interval
    auto-merge
  }
  set d {
    type ipv4_addr
    flags dynamic,timeout
    timeout 10s
  }
  chain c {
    comment "of a chain"
  }
}
RULES
iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -m addrtype --dst-type LOCAL -j MASQUERADE --random
nft -s -j list ruleset
IN
)
found=""
for what in '"auto-merge": true' '"dynamic"' '"of a table"' '"of a chain"' 'LOCAL\|random'; do
  if grep -q "$what" <<<"$json"; then found+="yes "; else found+="no "; fi
done
grep -q '"xt": {"type": "target", "name": "MASQUERADE"}' <<<"$json" || found+="(no xt) "
echo "$said: auto-merge, dynamic, comment of a table, of a chain, options of iptables: $found"
[[ ${found% } == "$expected" ]] || { echo "expected: $expected" >&2; exit 1; }
