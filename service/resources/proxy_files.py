"""What lies on the host for a guest that publishes sites, and what nginx there is to have loaded.

A guest reads its folder below `FOLDER` as /etc/passerelle, and cannot write it. nginx's unit says which files it has
loaded: by the digest that `loaded_digest` gives of the same files.
"""

import hashlib
from collections.abc import Mapping

from service.resources.files import OwnFile
from service.resources.resource import Phase

FOLDER = "/etc/passerelle/guests"
MAIN = "nginx.conf"
SITES = "sites/"

DROP_IN = """\
# passerelle: each site has a certificate before nginx reads its file, and nginx says which files it has loaded
[Service]
ExecStartPre=
ExecStartPre=-/usr/bin/python3 /etc/passerelle/certs.py placeholders
ExecStartPre=-/bin/sh /etc/passerelle/loaded.sh before
ExecStartPre=/usr/sbin/nginx -t -q -g 'daemon on; master_process on;'
ExecStartPost=-/bin/sh /etc/passerelle/loaded.sh started
ExecReload=
ExecReload=/bin/sh /etc/passerelle/loaded.sh reload
"""

LOADED = r"""# Says in /run/passerelle/loaded which files the nginx that runs has loaded: its process and their digest.
LC_ALL=C; export LC_ALL
PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
umask 022
mkdir -p /run/passerelle && cd /etc/passerelle || exit 1
digest() {
  [ -f nginx.conf ] || return 0
  set -- nginx.conf
  for file in sites/*.conf; do [ -f "$file" ] && set -- "$@" "$file"; done
  sha256sum -- "$@" | sha256sum | cut -c 1-64
}
# Files that changed meanwhile are not known to be loaded.
record() {
  now=$(digest)
  [ "$now" = "$1" ] || now=
  printf '%s %s\n' "$MAINPID" "$now" >/run/passerelle/new && mv -f /run/passerelle/new /run/passerelle/loaded
}
# Those that take connections: the others only finish what they have.
workers() {
  for pid in $(cat "/proc/$MAINPID/task/$MAINPID/children"); do
    title=$(tr '\000' ' ' 2>/dev/null <"/proc/$pid/cmdline")
    case $title in
      *'is shutting down'*) ;;
      *'worker process'*) printf ' %s ' "$pid" ;;
    esac
  done
}
# This nginx tests the files and signals the one that runs. That one may still fail, and keeps its old workers then.
reload() {
  before=$(digest); old=$(workers)
  nginx -g 'daemon on; master_process on;' -s reload || exit 1
  turns=0
  while [ "$turns" -lt 30 ]; do
    turns=$((turns + 1))
    for pid in $(workers); do
      case $old in *" $pid "*) ;; *) record "$before"; exit 0 ;; esac
    done
    sleep 0.3
  done
  exit 1
}
case $1 in
  before) digest >/run/passerelle/loading ;;
  started) record "$(cat /run/passerelle/loading)" ;;
  reload) reload ;;
esac
"""


def folder_of(guest: str) -> str:
    """Where the host has the files of a guest."""
    return f"{FOLDER}/{guest}"


def proxy_file(kind: str, guest: str, name: str, content: bytes | None, cause: str = "") -> OwnFile:
    """A file that a guest reads as /etc/passerelle/NAME; compared byte for byte, as its digest is what was loaded."""
    return OwnFile(kind, f"{folder_of(guest)}/{name}", content, "exact", phase=Phase.DAEMON_FILE, cause=cause)


NGINX_FILES: Mapping[str, str] = {"units/nginx-passerelle.conf": DROP_IN, "loaded.sh": LOADED}
"""The files by which nginx says what it has loaded: {name in the folder: text}."""


def is_read_by_nginx(name: str) -> bool:
    """Whether nginx loads a file of the folder: what counts for the digest."""
    return name == MAIN or (name.startswith(SITES) and name.endswith(".conf") and name.count("/") == 1)


def loaded_digest(files: Mapping[str, bytes]) -> str:
    """The digest of what nginx loads of {name in the folder: content}; "" without a main file. The same as
    `sha256sum nginx.conf sites/*.conf | sha256sum` gives in that folder."""
    if MAIN not in files:
        return ""
    names = [MAIN, *sorted(name for name in files if is_read_by_nginx(name) and name != MAIN)]
    listed = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names)
    return hashlib.sha256(listed.encode()).hexdigest()
