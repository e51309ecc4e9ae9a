"""nginx in a guest, as text: a look, what is done there, and how the answer is read. Pure.

Both scripts are POSIX sh and run inside the guest as root. The folder below is the guest's view of what the host has
for it; the host alone writes it.
"""

from __future__ import annotations

import re

from service.hostside.errors import Json

HERE = "/etc/passerelle"
LOADED = "/run/passerelle/loaded"
UNIT = "nginx.service"

LOOK = """\
LC_ALL=C; export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
loaded=; mounted=no
[ -f /run/passerelle/loaded ] && read -r loaded </run/passerelle/loaded
mountpoint -q /etc/passerelle && mounted=yes
printf "Loaded=%s\\nMounted=%s\\n" "$loaded" "$mounted"
systemctl show -p LoadState,ActiveState,MainPID nginx.service
"""
"""What nginx has loaded, in lines `Key=value`. No single quotes: sh has it between them."""

SET = r"""
LC_ALL=C; export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
umask 022
here=/etc/passerelle
line=/etc/nginx/conf.d/passerelle.conf
dropin=/etc/systemd/system/nginx.service.d/passerelle.conf
shown=/etc/nginx/sites-enabled/default
kept=/etc/nginx/sites-available/default
aside=/etc/nginx/passerelle-default-site
loaded=/run/passerelle/loaded
fail() { printf '%s\n' "$*" >&2; exit 1; }
first='# passerelle: what the host has for nginx in this guest, if it has anything'
ours() { read -r top <"$1" && [ "$top" = "$first" ]; }
put_line() {
  if [ -e "$line" ] || [ -L "$line" ]; then
    ours "$line" || fail "$line is not of passerelle. Fix: move it away in the guest"
  fi
  printf '%s\ninclude %s;\n' "$first" "$here/nginx[.]conf" >"$line.new" && mv -f "$line.new" "$line" ||
    fail "$line cannot be written"
}
# Debian's own site holds port 80 for every name. It goes only as the package brought it.
put_default_aside() {
  [ -L "$shown" ] && [ "$(readlink "$shown")" = "$kept" ] || return 0
  said=$(dpkg-query -W -f '${Conffiles}\n' nginx-common 2>/dev/null | while read -r path sum rest; do
    [ "$path" = "$kept" ] && printf '%s' "$sum"
  done)
  set -- $(md5sum "$kept" 2>/dev/null)
  if [ -n "$said" ] && [ "$said" = "${1-}" ]; then : >"$aside" && rm -f "$shown"; fi
}
put_default_back() {
  [ -e "$aside" ] || return 0
  [ -e "$shown" ] || [ -L "$shown" ] || ln -s "$kept" "$shown"
  rm -f "$aside"
}
units() {
  for unit in "$here"/units/*.service "$here"/units/*.timer; do
    [ -f "$unit" ] || continue
    systemctl --quiet --no-reload link "$unit" || fail "systemd does not take ${unit##*/}"
    grep -q '^\[Install\]' "$unit" || continue
    systemctl --quiet --no-reload enable "$unit" || fail "systemd does not enable ${unit##*/}"
  done
}
timers() {
  for unit in "$here"/units/*.timer; do
    [ -f "$unit" ] && { systemctl start "${unit##*/}" || fail "${unit##*/} does not start"; }
  done
}
# A run that ends badly, now that its files are gone, would stay in systemd's list of failed units.
forget_units() {
  links=$(find /etc/systemd/system -lname "$here/*")
  gone=$(printf '%s\n' "$links" | sed -n 's,.*/system/\([^/]*\.\(timer\|service\)\)$,\1,p')
  [ -z "$gone" ] || systemctl stop $gone 2>/dev/null
  [ -z "$links" ] || rm -f $links
  systemctl daemon-reload
  [ -z "$gone" ] || systemctl reset-failed $gone 2>/dev/null
}
# nginx's own line, without the time and the process.
plain() { sed -E 's|^[0-9/]+ [0-9:]+ (\[[a-z]+\]) [0-9]+#[0-9]+: |nginx: \1 |'; }
tested() {
  said=$(nginx -t -q 2>&1) && return 0
  why=$(printf '%s\n' "$said" | grep -m 1 -F '[emerg]') || why=$(printf '%s\n' "$said" | tail -n 1)
  fail "$(printf '%s\n' "$why" | plain)"
}
logged() {
  tail -n 50 /var/log/nginx/error.log 2>/dev/null | grep -F '[emerg]' | grep -vF 'still could not' | tail -n 1 | plain
}
runs() {
  if systemctl -q is-active nginx.service; then
    systemctl reload nginx.service >/dev/null 2>&1 && return 0
    why=$(logged); fail "nginx did not load its new files: ${why:-systemctl reload failed}"
  fi
  systemctl reset-failed nginx.service 2>/dev/null
  systemctl start nginx.service >/dev/null 2>&1 && return 0
  why=$(logged); fail "nginx does not start: ${why:-systemctl start failed}"
}
prepare() {
  mountpoint -q "$here" || fail "$here is not what the host has for this guest. Fix: restart the guest"
  command -v nginx >/dev/null || fail "nginx is not installed"
  put_line
  mkdir -p "${dropin%/*}" && ln -sfn "$here/units/nginx-passerelle.conf" "$dropin" || fail "$dropin cannot be made"
  units
  put_default_aside
  systemctl daemon-reload
  if [ -f "$here/certs.py" ]; then
    said=$(python3 "$here/certs.py" placeholders 2>&1) || fail "certificates: $(printf '%s\n' "$said" | tail -n 1)"
  fi
}
withdraw() {
  [ -f "$line" ] && ours "$line" && rm -f "$line"
  rm -f "$dropin" "$loaded"
  put_default_back
  forget_units
}
# One at a time, also where the one before was given up on the host.
mkdir -p /run/passerelle && exec 9>/run/passerelle/lock && flock -w 30 9
wanted=withdraw
[ -f "$here/nginx.conf" ] && wanted=prepare
command -v nginx >/dev/null || [ "$wanted" = prepare ] || exit 0
$wanted
if [ "$1" = stop ]; then
  systemctl stop nginx.service || fail "nginx does not stop"
elif [ "$wanted" = prepare ]; then
  tested
  runs
  timers
elif systemctl -q is-active nginx.service; then
  tested
  runs
fi
exit 0
"""
"""Brings nginx to its files, as they are: prepared, tested, loaded; or to none where the host has none any more.
`stop` as its first word stops nginx."""


class NotKnown(Exception):  # noqa: N818
    """What a guest does not say, in words."""


_DIGEST = re.compile(r"(\d{1,10}) ([0-9a-f]{64})")
_PROPERTY = re.compile(r"(Loaded|Mounted|LoadState|ActiveState|MainPID)=([\x20-\x7e]{0,200})")
_MOVES = ("activating", "deactivating")


def is_not_running(guest: str) -> str:
    """Why nothing is known of what is in a guest that is down."""
    return f"guest {guest} is not running"


def nginx_of(guest: str, said: str) -> Json:
    """The fact `proxy:` of a guest from the lines that `LOOK` prints: {"active", "loaded"}. `loaded` is the digest of
    the files that this very process of nginx has loaded, "" where none is known. NotKnown where they do not say it."""
    matches = [match for match in map(_PROPERTY.fullmatch, said.splitlines()) if match]
    found: dict[str, str] = {match.group(1): match.group(2) for match in matches}
    if set(found) != {"Loaded", "Mounted", "LoadState", "ActiveState", "MainPID"}:
        raise NotKnown(f"guest {guest} does not say whether nginx runs in it")
    if found["Mounted"] != "yes":
        raise NotKnown(f"guest {guest} does not see what the host has for it. Fix: restart the guest")
    if found["ActiveState"] in _MOVES:
        raise NotKnown(f"nginx in guest {guest} is just being started or stopped")
    is_active = found["ActiveState"] in ("active", "reloading")
    told = _DIGEST.fullmatch(found["Loaded"])
    is_its_own = is_active and told is not None and told.group(1) == found["MainPID"]
    return {"active": is_active, "loaded": told.group(2) if is_its_own and told else ""}
