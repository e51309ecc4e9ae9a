"""The host's own package sources of Debian, as one file for others: sources.list(5), both forms."""

from __future__ import annotations

import glob
import os
import re

from service.hostside.host import Host, read_text

MAX_BYTES = 1 << 20
_ONE_LINE = re.compile(r"deb\s+(?:\[([^]\n]*)\]\s*)?(\S+)\s+(\S+)\s*(.*)")
_URI = re.compile(r"(?:https?|ftp|file|cdrom|mirror[a-z+]*|tor\+https?|copy):[A-Za-z0-9._~:/?#@!$&()*+,;=%-]{1,400}/?")
_WORDS = re.compile(r"[A-Za-z0-9._/:+~-]{1,200}(?: [A-Za-z0-9._/:+~-]{1,200}){0,30}")
_KEPT = ("Signed-By", "Trusted", "Architectures", "Check-Valid-Until")
_LONG = {
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "arch": "Architectures",
    "check-valid-until": "Check-Valid-Until",
}


def own_sources(host: Host, release: str) -> str:
    """What the host takes from Debian's main archive for a release, its updates and its security, in deb822 form. A
    host whose sources name no release has a mirror of its own: then all that are flat. Empty where there is none."""
    stanzas = [stanza for path in _files(host) for stanza in _read(path)]
    suites = (release, f"{release}-updates", f"{release}-security", f"{release}/updates")
    found = [_of(stanza, [s for s in stanza["Suites"].split() if s in suites]) for stanza in stanzas]
    named = [stanza for stanza in found if stanza]
    if not any(release in stanza["Suites"].split() for stanza in named):
        named = [stanza for stanza in stanzas if stanza["Suites"].endswith("/") and not stanza.get("Components")]
    return "\n".join("".join(f"{key}: {value}\n" for key, value in {"Types": "deb", **each}.items()) for each in named)


def _files(host: Host) -> list[str]:
    parts = glob.escape(host.path("/etc/apt/sources.list.d"))
    return [
        host.path("/etc/apt/sources.list"),
        *sorted([*glob.glob(f"{parts}/*.list"), *glob.glob(f"{parts}/*.sources")]),
    ]


def _of(stanza: dict[str, str], suites: list[str]) -> dict[str, str]:
    """Of one source what is of these suites and of Debian itself."""
    if not suites or "main" not in stanza.get("Components", "").split():
        return {}
    return {**stanza, "Suites": " ".join(suites), "Components": "main"}


def _read(path: str) -> list[dict[str, str]]:
    text = read_text(path, MAX_BYTES)
    if os.path.basename(path).endswith(".sources"):
        return [found for part in re.split(r"\n[ \t]*\n", text) if (found := _stanza(part))]
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [found for line in lines if (parts := _ONE_LINE.fullmatch(line)) and (found := _one_line(parts))]


def _one_line(parts: re.Match[str]) -> dict[str, str]:
    options = dict(option.split("=", 1) for option in (parts[1] or "").split() if "=" in option)
    fields = {"URIs": parts[2], "Suites": parts[3], "Components": " ".join(parts[4].split())}
    fields.update({_LONG[key]: value.replace(",", " ") for key, value in options.items() if key in _LONG})
    return _valid(fields)


def _stanza(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            fields[name] = f"{fields.get(name, '')}\n {line.strip()}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if fields.get("enabled", "yes").lower() in ("no", "false") or "deb" not in fields.get("types", "").split():
        return {}
    names = {name.lower(): name for name in ("URIs", "Suites", "Components", *_KEPT)}
    told = {names[key]: value for key, value in fields.items() if key in names}
    return _valid({key: value if key == "Signed-By" else " ".join(value.split()) for key, value in told.items()})


def _valid(fields: dict[str, str]) -> dict[str, str]:
    """The fields, none where one is not as apt has them: a key may be written out, over lines of its own."""
    uris = fields.get("URIs", "").split()
    if not uris or not all(_URI.fullmatch(uri) for uri in uris) or not fields.get("Suites"):
        return {}
    for key, value in fields.items():
        if key == "URIs" or not value:
            continue
        is_key = key == "Signed-By" and re.fullmatch(r"(?:\n [A-Za-z0-9+/=. :<>@()-]{0,200}){2,400}", value)
        if not is_key and not _WORDS.fullmatch(value):
            return {}
    return {key: value for key, value in fields.items() if value}
