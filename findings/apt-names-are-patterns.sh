#!/bin/sh
# apt-get takes a package's name that it does not know for a POSIX regular expression, though the name is a legal one
# (Debian Policy 5.6.1 allows "." and "+"), and acts on every package that matches, with exit code 0. A name that ends
# with + or - turns the verb around. Seen with apt 2.6.1 (Debian 12).
#
# So a tool that passes names through, checked only by Policy's grammar, may remove what nobody named. passerelle asks
# `apt-cache policy` for the exact names first, compares a simulation with them, and removes with `dpkg --remove`.
#
# Alone and offline: a temporary folder is the whole of apt's state, with three made-up installed packages. Nothing is
# installed or removed. Ends with 0 while apt behaves so, with 1 where it does not any more.
set -eu
export LC_ALL=C
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
mkdir -p "$top/state/lists/partial" "$top/cache/archives/partial" "$top/etc/apt.conf.d" "$top/etc/preferences.d"
: >"$top/etc/sources.list"
for name in site-tool sitextool site-base; do
  cat >>"$top/status" <<END
Package: $name
Status: install ok installed
Priority: optional
Section: misc
Installed-Size: 1
Maintainer: nobody <nobody@example.org>
Architecture: all
Version: 1.0
Description: made up

END
done
aptget() {
  apt-get -s -q -o Dir="$top" -o Dir::State="$top/state" -o Dir::State::status="$top/status" -o Dir::Cache="$top/cache" \
    -o Dir::Etc="$top/etc" -o Dir::Etc::sourcelist="$top/etc/sources.list" -o Dir::Etc::sourceparts=- -o Debug::NoLocking=1 "$@"
}
show() {
  echo "\$ apt-get -s $*"
  aptget "$@" 2>&1 | grep -E '^(Remv|Inst|E:|Note)' || true
}
bad=0
expect() { # EXPECTED COUNT OF Remv, words…
  want=$1; shift
  show "$@"
  got=$(aptget "$@" 2>/dev/null | grep -c '^Remv' || true)
  [ "$got" = "$want" ] || { echo "  expected $want packages to be removed, it is $got: the behaviour changed"; bad=1; }
}
apt-get --version | head -n 1
expect 1 remove site-tool      # a name that is known is a name
expect 2 remove site.tool      # a legal name that no package has: both that match go
expect 1 install site-base-    # install removes
exit $bad
