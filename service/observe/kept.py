"""An answer of a host as it is kept beyond the process. Pure.

form() -> str                       names the question as this release puts it
as_kept(sighting) -> Sighting       the same without the secrets that files of a host hold
"""

import hashlib
import re
from dataclasses import fields, replace
from functools import cache

from service.model.observed import Watch
from service.model.sightings import Sighting
from service.model.states import Unknown
from service.observe.frames import sections
from service.observe.read_files import spans_of
from service.observe.script import collect_script

_EVERYTHING = Watch(
    files=frozenset({"/etc/file", "/etc/folder/*", "/etc/folder/*/config"}),
    units=frozenset({"one.service"}),
    packages=frozenset({"one"}),
    sysctls=frozenset({"net.ipv4.ip_forward"}),
    jails=frozenset({"sshd"}),
    guests=frozenset({("one", "bc:24:11:00:00:01", 0)}),
    inside=frozenset({("one", "one")}),
)
_SECRET = re.compile(
    rb"^([ \t]*(?:cipassword|wpa-(?:psk|password|passphrase|private-key-passwd)|wireless-key[0-9]?|(?:wg-)?private-?key"
    rb"|(?:wg-)?preshared-?key|password)(?:[ \t]*[:=][ \t]*|[ \t]+))(\S[^\r\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
"""Keys of interfaces(5), of a guest's settings on Proxmox, of systemd.netdev(5) and netplan(5)."""


@cache
def form() -> str:
    """The text changes with every question. Then the kept answer is not used, and the host is read again."""
    asked = collect_script(_EVERYTHING, "0" * 32) + " ".join(field.name for field in fields(Watch)).encode()
    return "sha256:" + hashlib.sha256(asked).hexdigest()


def as_kept(sighting: Sighting) -> Sighting:
    """The same answer, secrets crossed out in their own length: files that nobody may see, and in other files what
    is behind a key of a secret. Sizes continue to fit, and nothing else is another."""
    answer = _SECRET.sub(lambda found: found[1] + crossed_out(found[2]), sighting.answer)
    return replace(sighting, answer=_without_files(answer, sighting) if sighting.watch.secrets else answer)


def _without_files(answer: bytes, sighting: Sighting) -> bytes:
    mark = b"@@%b begin body\n" % sighting.nonce.encode()
    start = answer.find(mark) + len(mark)
    found = sections(answer, sighting.nonce)
    stat, body = found.get("stat"), found.get("body")
    if mark not in answer:
        return answer
    if isinstance(stat, Unknown) or isinstance(body, Unknown):  # the places of the files are unknown
        return answer[:start] + crossed_out(answer[start:])
    for first, end in spans_of(sighting.watch.secrets, stat, body):
        answer = answer[: start + first] + crossed_out(answer[start + first : start + end]) + answer[start + end :]
    return answer


def crossed_out(text: bytes) -> bytes:
    """As long as before."""
    return b"*" * len(text)
