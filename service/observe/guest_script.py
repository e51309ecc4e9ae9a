"""The section about guests: where each one is on the host, its settings, and what it says from inside.

Lines of `WORD|GUEST|…`, all text of others in base64, so that nothing of it can look like a line:

    guest|NAME|lxc|CONTAINER|STATE     plain LXC; STATE is a word of lxc-info(1)
    guest|NAME|pct|NUMBER|STATE        Proxmox; STATE is a word of pct(1)
    guest|NAME|none||                  no container has its MAC address or its number
    guest|NAME|many||                  two containers have its MAC address
    config|NAME|BASE64                 the container's settings
    new|NAME|BASE64                    passerelle made it, and it was never started; why not, if that was tried
    inside|NAME|BASE64                 what `INSIDE` printed in it; a guest that does not answer has printed no `status`

Everything that a guest prints is cut on the host, and nobody waits for a guest that keeps its output open. After one
that does not answer the others get less time.
"""

import re
from collections.abc import Iterable

from service.errors import InputError
from service.hostside.canonical import STATE
from service.hostside.guest_nginx import LOOK
from service.model.guests import FILES_INSIDE, KEPT_INSIDE

MAX_STATUS_BYTES = 256 << 10
MAX_GUESTS = 64
MAX_NUMBER = 999_999_999

INSIDE = (
    f"while read -r a b c root at rest; do case $at in {FILES_INSIDE}|{KEPT_INSIDE}) echo mounted $at ;; esac; done"
    f" </proc/self/mountinfo\n{LOOK}"
    'if [ $# != 0 ]; then dpkg-query -W -f "package|\\${Package}|\\${db:Status-Abbrev}|\\${Version}\\n" "$@";'
    ' echo "packages $?"; fi\n'
    f"echo status; exec head -c {MAX_STATUS_BYTES + 1} {KEPT_INSIDE}/status.json 2>/dev/null"
)
"""Run in a guest with names of packages: which of our folders it has, what nginx loaded, which of the packages it has,
and the status that it keeps. No single quotes: sh has it between them."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,99}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")

_GUESTS = r"""patience=8
guest_state() {
  if [ "$kind" = lxc ]; then timeout 5 lxc-info -n "$own" -s -H
  else timeout 5 pct status "$own" | sed 's/^status: //'; fi
}
in_guest() {
  if [ "$kind" = lxc ]; then timeout -k 1 "$patience" lxc-attach -n "$own" --clear-env -- /bin/sh -c "$@"
  else timeout -k 1 "$patience" pct exec "$own" -- /bin/sh -c "$@"; fi </dev/null 2>/dev/null
}
guest() {
  name=$1 mac=$2 number=$3 kind=lxc own= config= count=0
  shift 3; packages=$*
  if [ -d /etc/pve/lxc ]; then
    kind=pct
    set -- /etc/pve/lxc/*.conf
    [ "$number" = 0 ] || set -- "/etc/pve/lxc/$number.conf"
  else
    set -- /var/lib/lxc/*/config
  fi
  for file; do
    [ -f "$file" ] || continue
    if [ "$kind$number" = pct0 ]; then
      sed '/^\[/,$d' "$file" | grep -qi "^net[0-9]*:.*hwaddr=$mac" || continue
    elif [ "$kind" = lxc ]; then
      grep -qi "^[[:blank:]]*lxc\.net\.[0-9]*\.hwaddr[[:blank:]]*=[[:blank:]]*[\"']*$mac" "$file" || continue
    fi
    config=$file count=$((count + 1))
  done
  [ "$count" = 0 ] && { printf 'guest|%s|none||\n' "$name"; return 0; }
  [ "$count" = 1 ] || { printf 'guest|%s|many||\n' "$name"; return 0; }
  own=${config%.conf} own=${own%/config} own=${own##*/}
  case $own in *[!A-Za-z0-9._-]*|-*) printf 'guest|%s|odd||\n' "$name"; return 0 ;; esac
  state=$(guest_state 2>/dev/null | head -c 20 | tr -dc 'A-Za-z')
  printf 'guest|%s|%s|%s|%s\n' "$name" "$kind" "$own" "$state"
  printf 'config|%s|%s\n' "$name" "$(head -c 65536 "$config" | base64 -w 0)"
  [ -e "STATE/guests/$name" ] && printf 'new|%s|%s\n' "$name" "$(head -c 400 "STATE/guests/$name" | base64 -w 0)"
  case $state in RUNNING|running) ;; *) return 0 ;; esac
  said=$(in_guest 'INSIDE' sh $packages | timeout 10 head -c MOST | base64 -w 0)
  [ -n "$said" ] || patience=1
  printf 'inside|%s|%s\n' "$name" "$said"
}
guests() {
  while read -r sought; do guest $sought; done <<END
SOUGHT
END
  return 0
}
section guests guests
"""


def guests_asked(guests: Iterable[tuple[str, str, int]], packages: Iterable[tuple[str, str]] = ()) -> str:
    """The section for guests by (name, MAC address in small letters, number on Proxmox or 0), and (guest, package) in
    them. Raises InputError."""
    rows = sorted(guests)
    if not rows:
        return "section guests true\n"
    for name, mac, number in rows:
        if not (_NAME.fullmatch(name) and _MAC.fullmatch(mac) and 0 <= number <= MAX_NUMBER):
            raise InputError(f"cannot look into the guest {name!r}", hint="it has no name, or no MAC address")
    if len(rows) > MAX_GUESTS:
        raise InputError(f"cannot look into {len(rows)} guests of a host", hint=f"at most {MAX_GUESTS}")
    inside: dict[str, list[str]] = {}
    for name, package in sorted(packages):
        if not _PACKAGE.fullmatch(package):
            raise InputError(f"cannot look for the package {package!r}", hint="it is not a name of a package")
        inside.setdefault(name, []).append(package)
    sought = "\n".join(" ".join([name, mac, str(number), *inside.get(name, [])]) for name, mac, number in rows)
    filled = _GUESTS.replace("INSIDE", INSIDE).replace("MOST", str(MAX_STATUS_BYTES + 4096))
    return filled.replace("STATE/", f"{STATE}/").replace("SOUGHT", sought)
