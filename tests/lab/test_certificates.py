"""The guests' program on real Debian: its units, nginx, the Python of each release, a real authority in the internet.

The machine is a lab host of its own with a public address; the program does not know the difference to a guest.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.guestside.shipped import files
from service.lab import Host, Lab
from service.lab.acme import Acme
from service.lab.waiting import wait_for

pytestmark = [pytest.mark.lab(minutes=2), pytest.mark.every_suite(full=True), pytest.mark.timeout(900)]

NAME = "www.example.org"
STATE = "/var/lib/passerelle-guest"
REQUIREMENTS = Path(__file__).parents[2] / "service/guestside/requirements.txt"
SITE = f"""\
server {{
  listen 80; listen 443 ssl; server_name {NAME};
  ssl_certificate {STATE}/live/{NAME}/fullchain.pem;
  ssl_certificate_key {STATE}/live/{NAME}/privkey.pem;
  location /.well-known/acme-challenge/ {{ root {STATE}/webroot; }}
  location / {{ return 200 "it answers\\n"; }}
}}
"""
INSTALL = f"""\
apt-get update -q && apt-get install -q --yes --no-install-recommends nginx-light openssl python3-venv
mkdir -p {STATE} /srv/kept && mount --bind /srv/kept {STATE}
rm -f /etc/nginx/sites-enabled/default
cp /etc/passerelle/units/passerelle-certs.* /etc/systemd/system/ && systemctl daemon-reload
python3 /etc/passerelle/certs.py placeholders
nginx -t -q && systemctl restart nginx
systemctl enable --now passerelle-certs.timer
"""


def test_units_get_and_renew_a_certificate(fresh_host: Callable[..., Host], lab: Lab) -> None:
    acme = Acme.start(lab)
    lab.offer_python(REQUIREMENTS)
    acme_section = {
        "directory": acme.directory,
        "staging": None,
        "ca_file": "/etc/passerelle/acme-ca.pem",
        "email": "admin@example.org",
        "profile": "shortlived",
        "terms_agreed": True,
        "challenge": "http-01",
    }
    settings = {"version": 1, "acme": acme_section, "certificates": [{"name": NAME, "names": [NAME]}]}
    given = {**files(), "certificates.json": json.dumps(settings), "acme-ca.pem": acme.ca_pem}
    on_disk = {f"/etc/passerelle/{name}": text for name, text in given.items()}
    host = fresh_host("pve1", files={**on_disk, "/etc/nginx/conf.d/site.conf": SITE})
    acme.names(NAME, a=[host.address])
    host.sh(INSTALL, timeout_s=120)

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(host.read(f"{STATE}/status.json"))["certificates"][NAME]
        return found

    def idle() -> bool:
        return host.sh("systemctl show -P ActiveState passerelle-certs.service").strip() in ("inactive", "failed")

    wait_for(idle, "the first run", 90)
    assert status()["waits_for"] == "permit", host.sh("journalctl -u passerelle-certs.service")
    host.sh(f"""echo '{{"{NAME}": {{"ok": true}}}}' | python3 /etc/passerelle/certs.py permit""")
    wait_for(idle, "the order", 60)
    log = host.sh("journalctl -u passerelle-certs.service")
    assert status()["certificate"]["kind"] == "issued", f"{status()}\n{log}"
    assert served(lab, acme, host) == "it answers"
    first = host.sh(f"readlink {STATE}/live/{NAME}")
    acme.move_window(host.sh(f"cat {STATE}/live/{NAME}/fullchain.pem"), "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    host.sh(  # a day and an hour later, by what the guest has written
        f"""python3 - <<'END'
import json
path = "{STATE}/state.json"
known = json.load(open(path))
known["certificates"]["{NAME}"]["ari"]["poll_at"] -= 90000
for each in known["orders"]:
    each["at"] -= 90000
json.dump(known, open(path, "w"))
END
systemctl start passerelle-certs.service"""
    )
    assert host.sh(f"readlink {STATE}/live/{NAME}") != first, status()
    assert served(lab, acme, host) == "it answers"
    assert host.sh("systemctl show -P Result passerelle-certs.service").strip() == "success"


def served(lab: Lab, acme: Acme, host: Host) -> str:
    """What a client in the internet gets that trusts the authority's root alone."""
    root = acme.folder / "root.pem"
    root.write_text(acme.root_pem())
    there = ["--resolve", f"{NAME}:443:{host.address}", "--cacert", str(root), f"https://{NAME}/"]
    return lab.run_in("inet", ["curl", "-sS", "--max-time", "10", *there], check=True).stdout.strip()
