#!/bin/sh
# systemd counts an OnActiveSec= timer anew at each `systemctl daemon-reload` and `daemon-reexec`: on a system that reloads
# more often than the timer's span it never elapses. OnStartupSec=, counted from the start of systemd, stays where it is.
# Seen with 252.39-1~deb12u2 (Debian 12): after 6 s with a reload every second the first had not elapsed, the second had.
#
# So a dead-man's switch must not rest on OnActiveSec. passerelle's timer is absolute, and a process watches the boot clock
# beside it.
#
# Alone: a container of systemd-nspawn with the machine's own Debian packages (/usr, read-only, all else in memory) and no
# network. As root. Ends with 0 while systemd behaves so, with 1 where it does not any more, with 2 where it cannot be seen.
set -eu
export LC_ALL=C
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
cat >"$top/probe" <<'END'
#!/bin/sh
exec >/probe/said 2>&1
dpkg-query -W systemd 2>/dev/null || systemctl --version | head -n 1
run() { systemd-run --quiet --unit="$1" "$2" --timer-property=AccuracySec=100ms touch "/probe/$1-elapsed"; }
up_us=$(systemctl show --value -p UserspaceTimestampMonotonic)
for way in reload reexec; do
  read -r up _ </proc/uptime
  now_us=${up%.*}${up#*.}0000
  run "active-$way" --on-active=3s
  run "startup-$way" "--on-startup=$((now_us - up_us + 3000000))us"
  for _ in 1 2 3 4 5 6; do sleep 1; systemctl "daemon-$way" || true; done
  for timer in active startup; do
    if [ -e "/probe/$timer-$way-elapsed" ]; then echo "$way: $timer elapsed"; else echo "$way: $timer did not elapse"; fi
    systemctl stop "$timer-$way.timer" 2>/dev/null || true
  done
done
touch /probe/done
END
chmod 755 "$top" "$top/probe"
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout --kill-after=10 120 systemd-nspawn --quiet --directory=/ --volatile=yes --boot --register=no \
  --keep-unit --private-network --console=pipe --machine=onactivesec --bind="$top:/probe" \
  systemd.run=/probe/probe systemd.run_success_action=exit systemd.run_failure_action=exit \
  >"$top/console" 2>&1 </dev/null || true
[ -e "$top/done" ] || { echo "the container did not come to the end:"; tail -n 20 "$top/console"; exit 2; }
cat "$top/said"
bad=0
for line in "reload: active did not elapse" "reload: startup elapsed" "reexec: active did not elapse" "reexec: startup elapsed"; do
  grep -qxF "$line" "$top/said" || { echo "expected: $line: the behaviour changed"; bad=1; }
done
exit $bad
