"""Published sites, seen from the host: how each answers at its proxy. And what lets the proxy order certificates."""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import threading
import time

from service.hostside.commands import safe_line
from service.hostside.errors import Json, Refused, Trouble, need
from service.hostside.facts import is_ip, is_of
from service.hostside.host import Host, Ran
from service.hostside.inside import Guest, find_guest, inside, is_running
from service.hostside.lines import read_input
from service.hostside.probes import in_words

MOST_SITES = 64
HANDOVERS = ("offer", "pack", "unpack")
MOST_HANDED = 4 << 20
HANDOVER_TIMEOUT_S = 660.0
CONNECT_S = 3.0
ANSWER_S = 8.0
MOST_CERTIFICATE = 16 << 10
PERMIT_TIMEOUT_S = 30.0
PROGRAM = ["/usr/bin/python3", "/etc/passerelle/certs.py"]
_SITE = {"name": str, "address": str, "port": int, "tls": bool}
_NAME = r"[a-z0-9_*](?:[a-z0-9_.-]{0,251}[a-z0-9])?"
_HEAD = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")


def verb_answers(order: str) -> dict[str, Json]:
    """[{name, address, port, tls}] → how each answers: {"answers": [{name, status, error, certificate}]}.

    `status` is that of HTTP, 0 without an answer, and `error` says why. `certificate` is what the server showed, in DER
    and base64, whatever it is.
    """
    try:
        sites = json.loads(order)
    except (ValueError, RecursionError):
        sites = None
    need(isinstance(sites, list) and len(sites) <= MOST_SITES, f"sites: a list of at most {MOST_SITES}")
    for number, site in enumerate(sites):
        where = f"sites[{number}]"
        need(isinstance(site, dict) and set(site) == set(_SITE), f"{where}: keys {', '.join(_SITE)}")
        need(all(is_of(site[key], kind) for key, kind in _SITE.items()), f"{where}: a value of another type")
        need(is_ip(site["address"]) and 1 <= site["port"] <= 65535, f"{where}: an IP address and a port")
        need(bool(re.fullmatch(_NAME, site["name"])), f"{where}.name: a domain name")
    answers: list[dict[str, Json]] = [
        {"name": site["name"], "status": 0, "error": "no answer", "certificate": ""} for site in sites
    ]
    asking = [threading.Thread(target=_ask, args=(*pair,), daemon=True) for pair in zip(sites, answers)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(CONNECT_S + ANSWER_S + 5)
    return {"state": "answers", "answers": [dict(answer) for answer in answers]}


def _ask(site: dict[str, Json], answer: dict[str, Json]) -> None:
    """One GET / with the site's name; of the answer the first line is read."""
    ends_s = time.monotonic() + CONNECT_S + ANSWER_S
    try:
        with socket.create_connection((site["address"], site["port"]), timeout=CONNECT_S) as plain:
            plain.settimeout(ANSWER_S)
            if not site["tls"]:
                answer.update(_exchange(plain, site["name"], ends_s))
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=site["name"]) as secure:
                shown = secure.getpeercert(binary_form=True) or b""
                if len(shown) <= MOST_CERTIFICATE:
                    answer["certificate"] = base64.b64encode(shown).decode("ascii")
                answer.update(_exchange(secure, site["name"], ends_s))
    except ssl.SSLError as error:
        answer["error"] = "TLS failed: " + safe_line(str(error.reason or error), 80)
    except (OSError, ValueError) as error:
        answer["error"] = in_words(error)


def _exchange(connection: socket.socket, name: str, ends_s: float) -> dict[str, Json]:
    request = f"GET / HTTP/1.1\r\nHost: {name}\r\nUser-Agent: passerelle\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    connection.sendall(request.encode("ascii"))
    said = b""
    while b"\n" not in said and len(said) < 1024 and time.monotonic() < ends_s:
        chunk = connection.recv(256)
        if not chunk:
            break
        said += chunk
    found = _HEAD.match(said)
    if found is None:
        return {"error": "it accepts connections, but its answer is not HTTP" if said else "it closed the connection"}
    return {"status": int(found.group(1)), "error": ""}


def verb_permit(host: Host, key: str) -> dict[str, Json]:
    """Give the program in a guest what the checks before the first order found, from stdin. Refused: `guest-down`
    where it does not run, `no-program` where the program is not there."""
    permits = read_input()
    need(
        isinstance(permits, dict) and all(isinstance(one, dict) for one in permits.values()),
        "permits: an object of objects",
    )
    guest = _running(host, key)
    ran = inside(host, guest, [*PROGRAM, "permit"], text=json.dumps(permits), timeout_s=PERMIT_TIMEOUT_S)
    _said_no_program(guest, ran)
    if ran.code != 0:
        raise Trouble(f"guest {guest.name}: {safe_line(ran.err or ran.out, 300)}")
    return {"state": "permitted"}


def verb_handover(host: Host, key: str, part: str) -> dict[str, Json]:
    """Certificates on their way to the guest of another host: `offer`, `pack` or `unpack` of the program in this one.

    stdin has what the other guest's program printed, {} for `offer`; `said` is what this one printed. Keys in it are
    sealed for the receiving guest. Refused as `permit`, and `no-certificates` where the program says why not.
    """
    need(part in HANDOVERS, f"one of {', '.join(HANDOVERS)}")
    given = read_input()
    need(isinstance(given, dict), "stdin: an object")
    guest = _running(host, key)
    argv, text = [*PROGRAM, part], json.dumps(given)
    ran = inside(host, guest, argv, text=text, timeout_s=HANDOVER_TIMEOUT_S, most=MOST_HANDED)
    _said_no_program(guest, ran)
    if ran.code != 0:
        raise Refused("no-certificates", f"guest {guest.name}: {safe_line(ran.err or ran.out, 300)}")
    try:
        said = json.loads(ran.out)
    except (ValueError, RecursionError):
        raise Trouble(f"guest {guest.name}: its program printed no JSON") from None
    return {"state": "handed", "said": said}


def _running(host: Host, key: str) -> Guest:
    guest = find_guest(host, key)
    if guest is None or not is_running(host, guest):
        raise Refused("guest-down", f"guest {key.partition('@')[0]} is not running")
    return guest


def _said_no_program(guest: Guest, ran: Ran) -> None:
    if ran.code == 2 and "No such file" in ran.err:
        raise Refused("no-program", f"guest {guest.name} does not have the program for certificates yet")
