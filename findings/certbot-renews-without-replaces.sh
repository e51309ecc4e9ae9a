#!/usr/bin/env bash
# certbot fetches the renewal window of a certificate (RFC 9773, ARI) and renews in it, but its order does not say which
# certificate it replaces. Section 5 of the RFC says that clients SHOULD send `replaces`. Let's Encrypt exempts exactly
# such orders from its rate limits (letsencrypt.org/docs/rate-limits), so certbot's renewals count like new certificates.
# Seen on 2026-11-29 with certbot 5.8.0 and acme 5.9.0 from PyPI against pebble 2.10.0+ds1-2 of Debian testing.
# lego 4.35.2 and acme.sh 3.1.5 of Debian testing send it.
#
# The second thing to see: pebble takes any of its profiles for an order that names none. Tests that change the clock by
# shares of a lifetime must name the profile.
#
# Alone: pebble and certbot on loopback, in a temporary folder; the challenge is not checked. Nothing of passerelle runs.
# usage: findings/certbot-renews-without-replaces.sh     with pebble, certbot 4.1 or later, openssl and curl in PATH
# Exit code 0: as seen; 1: something else; 2: not run.
set -euo pipefail

cannot() { echo "not run: $*" >&2; exit 2; }
for program in pebble certbot openssl curl python3; do
  command -v "$program" >/dev/null || cannot "$program is not installed"
done
version=$(certbot --version 2>&1)
case $version in
  *' '[0-3].* | *' 4.0.'*) cannot "renewal windows are not known to $version" ;;
esac
top=$(mktemp -d)
server=
cleanup() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$top"; }
trap cleanup EXIT
cd "$top"
mkdir web
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.pem 2>/dev/null
read -r port management <<<"$(python3 -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in held))')"
cat >pebble.json <<CONFIG
{"pebble": {"listenAddress": "127.0.0.1:$port", "managementListenAddress": "127.0.0.1:$management",
  "certificate": "tls.pem", "privateKey": "tls.key", "httpPort": 1, "tlsPort": 1, "retryAfter": {"authz": 1, "order": 1},
  "profiles": {"long": {"description": "60 days", "validityPeriod": 5184000},
               "short": {"description": "6 days", "validityPeriod": 518400}}}}
CONFIG
PEBBLE_VA_ALWAYS_VALID=1 PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config pebble.json -strict >pebble.log 2>&1 &
server=$!
for _ in $(seq 100); do
  curl -sf --cacert tls.pem "https://localhost:$port/dir" >dir.json && break
  sleep 0.1
done
grep -q renewalInfo dir.json || cannot "this pebble has no renewal windows"
own() {
  REQUESTS_CA_BUNDLE=$top/tls.pem certbot "$@" --server "https://localhost:$port/dir" --config-dir "$top/c" \
    --work-dir "$top/w" --logs-dir "$top/l" --non-interactive >>certbot.out 2>&1
}
at() { date -d "$(openssl x509 -in "$1" -noout "-$2" | cut -d= -f2)" +%s; }
echo "$version"
bad=0

# 1: orders without a profile
days=
for number in 1 2 3 4 5 6 7 8; do
  own certonly --webroot -w web -d "n$number.example.org" --agree-tos --register-unsafely-without-email
  leaf=c/live/n$number.example.org/cert.pem
  days="$days $((($(at "$leaf" enddate) - $(at "$leaf" startdate) + 3600) / 86400))"
done
echo "lifetimes of orders that name no profile, in days:$days"
[ "$(tr ' ' '\n' <<<"$days" | sort -u | grep -c .)" = 2 ] || { echo "expected both profiles: the behaviour changed"; bad=1; }

# 2: a renewal in a window that has begun
python3 - c/live/n1.example.org/cert.pem >window.json <<'IN'
import json, sys, time
past = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago)) for ago in (7200, 3600)]
window = {"suggestedWindow": {"start": past[0], "end": past[1]}}
print(json.dumps({"certificate": open(sys.argv[1]).read(), "ariResponse": json.dumps(window)}))
IN
curl -sf --cacert tls.pem --data @window.json "https://localhost:$management/set-renewal-info/" >/dev/null
own renew --no-random-sleep-on-renew --cert-name n1.example.org
grep -qi 'renewalinfo/' pebble.log && echo "certbot fetched the renewal window"
payload=$(python3 - l/letsencrypt.log <<'IN'
import re, sys
said = open(sys.argv[1], errors="replace").read()
found = [" ".join(each.split()) for each in re.findall(r"JWS payload:\n(.*?\})'?\n\d{4}-", said, re.DOTALL) if "identifiers" in each]
print(found[-1] if found else "none")
IN
)
echo "the payload of its order: $payload"
case $payload in
  none) echo "expected an order: the behaviour changed"; bad=1 ;;
  *replaces*) echo "expected no replaces: the behaviour changed"; bad=1 ;;
esac
exit $bad
