#!/usr/bin/env bash
# nftables: `icmp code` is listed by name until 1.0.6, by number since 1.1; a name means another code for another type.
#
# Loads the same rules with the nft of Debian 12 and of Debian 13 and shows what each lists, as text and as JSON. Whoever
# compares listings of the two versions as text sees a difference where there is none. Nothing of passerelle runs here.
# Seen on 2026-11-29 with nftables 1.0.6-2+deb12u2 and 1.1.3-1 on Linux 6.18:
#
#   rule given                      1.0.6 lists                                       1.1.3 lists
#   icmp type 3 icmp code 3         icmp code port-unreachable                        icmp code 3        (text and JSON)
#   icmp type 5 icmp code 1         icmp code host-unreachable  (it is host-redirect)  icmp code 1
#   icmpv6 type 1 icmpv6 code 4     icmpv6 code port-unreachable                      icmpv6 code 4
#
# usage: findings/nft-icmp-codes.sh     as root on Debian 12 or 13; packages come from this machine's own apt sources,
# verified by its keys, into a folder that is removed at the end. Exit code 0: as seen; 1: something else; 2: not run.
set -euo pipefail

declare -A version=([bookworm]="1.0.6-2+deb12u2" [trixie]="1.1.3-1")
rules='table inet t {
  chain c {
    icmp type 3 icmp code 3
    icmp type 5 icmp code 1
    icmpv6 type 1 icmpv6 code 4
  }
}'
declare -A seen=(
  [bookworm]='"port-unreachable" "host-unreachable" "port-unreachable"'
  [trixie]='3 1 4'
)
declare -A seen_text=(
  [bookworm]='port-unreachable host-unreachable port-unreachable'
  [trixie]='3 1 4'
)

cannot() { echo "not run: $*" >&2; exit 2; }
((EUID == 0)) || cannot "network namespaces and chroot need root"
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
[[ -n ${version[$own]-} ]] || cannot "this machine is $own: Debian 12 or 13 is needed"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sources_of() { # SUITE FOLDER: this machine's sources of Debian, asked for another suite
  mkdir -p "$2/sources" "$2/lists/partial" "$2/cache/archives/partial"
  : >"$2/status"
  apt-get indextargets --format '$(ORIGIN) $(SOURCESENTRY)' 'Created-By: Packages' | sed -n 's/^Debian \(.*\):[0-9]*$/\1/p' |
    sort -u | while read -r file; do
      sed -E "/^[[:space:]]*#/!s/\b$own\b/$1/g" "$file" >"$2/sources/$(basename "$file")"
    done
}

failed=0
for suite in bookworm trixie; do
  at=$work/$suite
  sources_of "$suite" "$at"
  apt=(apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$at/sources" -o "Dir::State::lists=$at/lists"
    -o "Dir::State::status=$at/status" -o "Dir::Cache=$at/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1
    -o APT::Update::Post-Invoke-Success::=true)
  "${apt[@]}" update >"$at/log" 2>&1 || cannot "the package lists of $suite: $(tail -2 "$at/log")"
  "${apt[@]}" -y --download-only --no-install-recommends install "nftables=${version[$suite]}" netbase >"$at/log" 2>&1 ||
    cannot "nftables ${version[$suite]} of $suite: $(tail -2 "$at/log")"
  mkdir -p "$at/root/usr"
  for folder in bin sbin lib lib64; do
    mkdir -p "$at/root/usr/$folder"
    ln -s "usr/$folder" "$at/root/$folder"
  done
  for package in "$at"/cache/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$at/root"
  done
  version_said=$(chroot "$at/root" /usr/sbin/nft --version)
  listing=$(printf '%s\n' "$rules" >"$at/root/rules"
    unshare --net sh -c 'chroot "$1" /usr/sbin/nft -f /rules && chroot "$1" /usr/sbin/nft -s list ruleset &&
      echo "=====" && chroot "$1" /usr/sbin/nft -s -j list ruleset' sh "$at/root")
  text=$(sed -n '/=====/q;s/.* code //p' <<<"$listing" | xargs)
  json=$(sed '1,/=====/d' <<<"$listing" | grep -o '"field": "code"}}, "right": [^}]*' | sed 's/.*"right": //' | xargs -d '\n')
  printf '== %s: nftables %s (%s)\n%s\nJSON: %s\n' "$suite" "${version[$suite]}" "$version_said" "${listing%%=====*}" "$json"
  if [[ $text != "${seen_text[$suite]}" || $json != "${seen[$suite]}" ]]; then
    printf 'CHANGED: expected text %s and JSON %s\n' "${seen_text[$suite]}" "${seen[$suite]}"
    failed=1
  fi
done
if ((failed)); then echo "another behaviour than on 2026-11-29"; else echo "as seen on 2026-11-29"; fi
exit "$failed"
