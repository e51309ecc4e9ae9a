"""The question put to a host: one POSIX sh text that prints everything a `Watch` asks for, in frames.

    collect_script(watch, nonce) -> bytes       raises InputError for a name that must not reach a shell
    question(watch) -> its parts, with_nonce(parts, nonce) -> the same
    SECTIONS                                    the frames it prints, in order
    sysctl_path(key) -> str                     where a sysctl is below /proc/sys

A section is printed as

    @@NONCE begin NAME
    <what the program printed, byte for byte>
    @@NONCE words
    <what it said on stderr>
    @@NONCE end NAME STATUS        STATUS is the exit status, or `missing` where there is no such program

and after the last one `@@NONCE done`. The nonce is fresh for every question, so that nothing a file holds can look like
a frame. The host needs sh, coreutils, iproute2 and what is to be observed; Python is not needed.

Few processes are started, because forks are most of the cost of an observation on a host. All files are read by one
`stat`, one `cat` and a second `stat`, which proves that nothing changed in between. Kernel values are read by one
`head`.
"""

import re
import shlex
from collections.abc import Iterable, Sequence

from service.errors import InputError
from service.model.observed import Watch
from service.observe.guest_script import guests_asked

SECTIONS = (
    "session", "values", "ip", "ip6", "nft", "iptables", "iptables_legacy", "units", "bans", "guests", "listeners",
    "packages", "stat", "body", "again", "marks",
)  # fmt: skip

MAX_FILE_BYTES = 1 << 20
MAX_BODY_BYTES = 6 << 20
MAX_FILES = 2000
BOOT_ID = "/proc/sys/kernel/random/boot_id"
OS_RELEASE = "/etc/os-release"
VLANS = "/proc/net/vlan/config"
"""The kernel's table of its VLANs. The module 8021q makes it with the first VLAN."""
PENDING = ("/etc/network/interfaces.new", "/etc/pve/local/host.fw.new")
"""What the next boot moves over the file of that name: Proxmox's interface and its tool for names of cards write it."""
LEFT_OVER_ENDINGS = (".dpkg-new", ".dpkg-dist", ".ucf-dist")
UNIT_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,ActiveEnterTimestampMonotonic,Job"

_NONCE = re.compile(r"[0-9a-f]{16,64}")
_PATH = re.compile(r"(/[A-Za-z0-9._@:+,=%-]+)+")
_UNIT = re.compile(r"[A-Za-z0-9@_.:\\-]{1,240}\.(service|socket|timer|target|path|mount)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,99}")
_SYSCTL = re.compile(r"net(\.[A-Za-z0-9_/@+-]{1,40}){1,8}")

_START = r"""LC_ALL=C; export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
umask 077
section() {
  name=$1; shift
  printf '@@NONCE begin %s\n' "$name"
  status=missing; words=
  if command -v "$1" >/dev/null; then
    { words=$("$@" 2>&1 >&3 3>&-); status=$?; } 3>&1
  fi
  printf '\n@@NONCE words\n%s\n@@NONCE end %s %s\n' "$words" "$name" "$status"
}
session() {
  date '+now %s.%N'
  read -r up rest </proc/uptime
  printf 'uptime %s\nconnection %s\n' "$up" "$SSH_CONNECTION"
}
section session session
"""

_NETWORK = r"""for bridge in /sys/class/net/*/bridge; do
  [ -d "$bridge" ] && set -- "$@" "$bridge/stp_state" "$bridge/forward_delay"
done
for bond in /sys/class/net/*/bonding; do
  [ -d "$bond" ] && set -- "$@" "$bond/mode" "$bond/miimon" "$bond/xmit_hash_policy" "$bond/lacp_rate" "$bond/primary"
done
[ -e /proc/net/vlan/config ] && set -- "$@" /proc/net/vlan/config
section values head -v -c 65536 -- "$@"
section ip ip -j -batch - <<END
addr show
route show default
END
section ip6 ip -6 -j route show default
section nft nft -s -j list ruleset
section iptables iptables-save -t nat
legacy=true
[ -e /proc/net/ip_tables_names ] && while read -r table; do
  [ "$table" = nat ] && legacy='iptables-legacy-save -t nat'
done </proc/net/ip_tables_names
section iptables_legacy $legacy
"""

# What this connection's own sshd calls itself in the journal (_COMM, SYSLOG_IDENTIFIER) and in which unit it is; then
# whether the running jail takes a failed login in these words. Every name is the host's own: since OpenSSH 9.8 it is
# sshd-session that writes them. No line where this cannot be known. No single quotes: sh has it between them.
_HEARS = r"""import os, re, sys
from fail2ban.client.csocket import CSocket

def known(pid, name):
    with open("/proc/%d/%s" % (pid, name)) as file:
        return file.read()

pid, said, unit = int(sys.argv[1]), "", ""
while pid > 1:
    comm = known(pid, "comm").strip()
    if comm.startswith("sshd"):
        said = said or comm
        found = re.search(r"system\.slice/(?:[^\n]*/)?([^/\n]+\.service)$", known(pid, "cgroup"), re.M)
        unit = found.group(1) if found else unit
    pid = int(re.search(r"^PPid:\s+(\d+)", known(pid, "status"), re.M).group(1))
if not said:
    sys.exit()
server = CSocket(timeout=4)

def get(what):
    code, value = server.send(["get", "sshd", what])
    if code:
        sys.exit()
    return value

fields = {"_COMM": said, "SYSLOG_IDENTIFIER": said, "_SYSTEMD_UNIT": unit or "ssh.service"}
matches = get("journalmatch")
heard = not matches
for match in matches:
    for terms in " ".join(match).split(" + "):
        wanted = {}
        for term in terms.split():
            name, _, value = term.partition("=")
            wanted.setdefault(name, set()).add(value)
        heard = heard or all(fields.get(name, min(values)) in values for name, values in wanted.items())
before, rules = get("prefregex"), get("failregex")
taken = False
for words in ("Invalid user x from 192.0.2.1 port 4242", "Failed password for root from 192.0.2.1 port 4242 ssh2"):
    line = "h %s[1]: %s" % (said, words)
    if before:
        found = re.search(before, line)
        line = found.group("content") if found else ""
    taken = taken or any(re.search(rule, line, re.M) for rule in rules)
print("hears|sshd|%s|%s" % ("journalmatch" if not heard else "yes" if taken else "filter", said))
"""

# Just started it has no socket yet: that is not an answer, and a moment later it is one.
_BANS = r"""bans() {
  systemctl -q is-active fail2ban.service || { printf 'down\n'; return 0; }
  for pause in 0.3 0.6 1 2; do
    answer=$(timeout 4 fail2ban-client banned 2>/dev/null) && {
      printf '%s\n' "$answer"
      HEARS
      return 0
    }
    sleep "$pause"
  done
  return 1
}
section bans bans
"""

# Names with other characters are counted and not reported: they could not be said in one line.
_FOLDER = r"""for file in FOLDER/*BELOW; do
  case $file in
    'FOLDER/*BELOW') [ -e "$file" ] && printf 'odd|FOLDER\n' ;;
    *[!A-Za-z0-9._/@:+,=%-]*) printf 'odd|FOLDER\n' ;;
    *) [ $# -lt MAX_FILES ] && set -- "$@" "$file" || printf 'many|FOLDER\n' ;;
  esac
done
"""

_FILES = r"""look() { stat -c 'f|%F|%s|%a|%u|%g|%.9Y|%n' -- "$@" 2>&1; }
candidates() {
FOLDERS  [ $# -gt 0 ] && look "$@"
}
before=$(candidates PATHS)
section stat printf '%s' "$before"
paths=; bodies=; total=0; IFS='
'
for line in $before; do
  case $line in f\|*) ;; *) continue ;; esac
  file=${line##*|}; paths="$paths $file"
  case $line in f\|regular*) ;; *) continue ;; esac
  size=${line#f|*|}; size=${size%%|*}
  [ "$size" -le MAX_FILE_BYTES ] && [ $((total + size)) -le MAX_BODY_BYTES ] || continue
  total=$((total + size)); bodies="$bodies $file"
done
unset IFS
section body cat -- $bodies
section again look $paths
"""

_MARKS = r"""# $1: a state file, $2: the key of the line that counts, $3: the program, $4: the interface
keeper() {
  [ -r "$1" ] || return 0
  while IFS= read -r line; do
    case $line in "$2="?*) printf 'keeper|%s|%s|%s\n' "$3" "$4" "${line#*=}" ;; esac
  done <"$1"
}
keepers() {
  set -- /run/systemd/netif/links/* /run/NetworkManager/devices/*
  if [ -e "$1" ] || [ -e "$2" ]; then
    for link in /sys/class/net/*; do
      index=; read -r index <"$link/ifindex" || continue
      keeper "/run/systemd/netif/links/$index" NETWORK_FILE systemd-networkd "${link##*/}"
      keeper "/run/NetworkManager/devices/$index" connection-uuid NetworkManager "${link##*/}"
    done
  fi
  for file in /etc/netplan/*.yaml /run/netplan/*.yaml /usr/lib/netplan/*.yaml; do
    [ -e "$file" ] && printf 'keeper|netplan||%s\n' "$file"
  done
}
marks() {
  keepers 2>/dev/null
  for file in LEFT_OVERS; do [ -e "$file" ] && printf 'left|%s\n' "$file"; done
  if [ -e /var/lib/passerelle/armed ]; then
    armed=; read -r armed </var/lib/passerelle/armed; printf 'armed|%s\n' "$armed"
  fi
  true
}
section marks marks
printf '@@NONCE done\n'
"""


def collect_script(watch: Watch, nonce: str) -> bytes:
    """The script for one observation. `nonce` is 16 to 64 hex digits from a secure source, never used twice."""
    return with_nonce(question(watch), nonce)


def with_nonce(asked: Sequence[str], nonce: str) -> bytes:
    """The script of a question. InputError for another nonce."""
    if not _NONCE.fullmatch(nonce):
        raise InputError("a nonce is 16 to 64 hex digits")
    return "".join(asked).replace("NONCE", nonce).encode("ascii")


def question(watch: Watch) -> tuple[str, ...]:
    """The parts of the script, without a nonce; worth keeping as long as the watch is the same."""
    files, folders = split_watched(watch.files)
    below = {folder: "/config" if f"{folder}/*/config" in watch.files else "" for folder in folders}
    sysctls = [sysctl_path(key) for key in sorted(watch.sysctls)]
    return (
        _START,
        f"set -- {_words([BOOT_ID, OS_RELEASE, *sysctls])}\n",
        _NETWORK,
        _section("units", f"timeout 8 systemctl show -p {UNIT_PROPERTIES} --", _checked(watch.units, _UNIT, "unit")),
        bans_asked(watch.jails),
        guests_asked(watch.guests, watch.inside),
        "section listeners ss -H -l -t -u -n -p\n",
        _section(
            "packages",
            r"dpkg-query -W -f '${Package}|${db:Status-Abbrev}|${Version}\n'",
            _checked(watch.packages, _PACKAGE, "package"),
        ),
        _FILES.replace("FOLDERS", "".join(_FOLDER.replace("FOLDER", f).replace("BELOW", below[f]) for f in folders))
        .replace("PATHS", _words([*files, *folders]))
        .replace("MAX_FILES", str(MAX_FILES))
        .replace("MAX_FILE_BYTES", str(MAX_FILE_BYTES))
        .replace("MAX_BODY_BYTES", str(MAX_BODY_BYTES)),
        _MARKS.replace("LEFT_OVERS", _words(left_over_paths(files))),
    )


def bans_asked(jails: frozenset[str]) -> str:
    """The section about fail2ban: whom its jails ban, and whether the one for sshd can hear sshd at all."""
    if not jails:
        return "section bans true\n"
    heard = f"timeout 4 python3 -c '{_HEARS}' $PPID 2>/dev/null || true" if "sshd" in jails else ":"
    return _BANS.replace("HEARS", heard)


def split_watched(files: Iterable[str]) -> tuple[list[str], list[str]]:
    """The watched files, and the folders whose files are watched, each sorted. Raises InputError."""
    single: list[str] = []
    folders: list[str] = []
    for path in sorted(files):
        plain = path.removesuffix("/*/config").removesuffix("/*")
        if not _PATH.fullmatch(plain) or len(plain) > 400 or {".", ".."} & set(plain.split("/")):
            raise InputError(
                f"cannot watch the file {path!r}",
                hint="paths are absolute, of letters, digits and ._@:+,=%-, without . and ..",
            )
        (folders if plain != path else single).append(plain)
    return single, folders


def left_over_paths(files: Iterable[str]) -> list[str]:
    """Files that package upgrades and the Proxmox GUI leave next to watched files: pending changes."""
    return [*PENDING, *(f + ending for f in files for ending in LEFT_OVER_ENDINGS)]


def sysctl_path(key: str) -> str:
    """`net.ipv4.conf.enp1s0/100.forwarding` is below net/ipv4/conf/enp1s0.100/ (sysctl.d(5))."""
    if not _SYSCTL.fullmatch(key):
        raise InputError(f"cannot watch the sysctl {key!r}", hint="only keys below net. are looked at")
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


def _section(name: str, command: str, words: list[str]) -> str:
    return f"section {name} {command} {_words(words)}\n" if words else f"section {name} true\n"


def _checked(names: Iterable[str], pattern: re.Pattern[str], what: str) -> list[str]:
    for name in names:
        if not pattern.fullmatch(name):
            raise InputError(f"cannot watch the {what} {name!r}", hint=f"it is not a name of a {what}")
    return sorted(names)


def _words(words: Iterable[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
