"""fail2ban's jails. A jail of somebody else is never what a section wants: a section's jails spare the service, by an
address that no file knows, and ban by nftables. So they are suggestions, with their numbers. The report names the
numbers that a spec cannot have.
"""

import re
from collections.abc import Iterator, Mapping
from typing import get_args

from pydantic import ValidationError

from service.adopt.interfaces_read import significant
from service.adopt.material import FAIL2BAN_FILES, Material
from service.adopt.sketch import Sketch
from service.formats import fail2ban
from service.kinds.fail2ban import Fail2banSection, JailName
from service.model.states import Json
from service.resources.bans import ALWAYS, JAILS_FILE
from service.spec.yaml_text import flow

SECTION = "fail2ban"
NUMBERS = ("ignoreip", "maxretry", "findtime", "bantime")
_HEAD = re.compile(r"\[([A-Za-z0-9_.-]{1,60})\]")
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_ON = ("true", "yes", "1", "on")


def read_jails(material: Material, sketch: Sketch) -> None:
    """The jails that are switched on, by name, and every line that somebody wrote about jails."""
    files = sorted(_jail_files(material).items(), key=lambda item: _read_when(item[0]))
    said: dict[str, dict[str, str]] = {}
    switched: dict[str, str] = {}
    for path, data in files:
        _register(path, data, sketch)
        for name, keys in fail2ban.parse(data).items():
            said.setdefault(name, {}).update(keys)
            if "enabled" in keys:
                switched[name] = f"{path}:{_line(data, name)}"
    jails = list(_switched_on(said, switched, sketch))
    if jails:
        each = {name: {**said.get("DEFAULT", {}), **said.get(name, {})} for name in jails}
        lines = ["  # made by hand now. Remove the comment signs to let passerelle write the jails"]
        lines.append(f"  jails: {flow([*jails])}")
        for key in NUMBERS:
            value, problem = _setting(key, each)
            if value:
                lines.append(f"  {key}: {flow(value)}")
            elif problem:
                lines.append(f"  # {problem}")
                where = next((switched[name] for name in jails if each[name].get(key)), "")
                sketch.notes.add("unmanaged", SECTION, where, problem)
        sketch.suggestions[SECTION] = lines


def _switched_on(said: Mapping[str, Mapping[str, str]], switched: Mapping[str, str], sketch: Sketch) -> Iterator[str]:
    """The jails that are on and that a section can have; the report has all that are on."""
    for name, where in switched.items():
        if name != "DEFAULT" and said[name]["enabled"].lower() in _ON:
            known = name in get_args(JailName)
            what = (
                f"jail {name}: left as it is, because a jail of the spec also spares the service and bans by nftables"
            )
            sketch.notes.add("unmanaged", SECTION, where, what if known else f"jail {name}")
            if known:
                yield name


def _register(path: str, data: bytes, sketch: Sketch) -> None:
    """Each section of a file, as one thing: its head, and its lines."""
    lines = data.decode("utf-8", "replace").split("\n")
    name, block = "", list[int]()
    blocks: list[tuple[str, list[int]]] = []
    for number in significant(data, "#;"):
        if head := _HEAD.fullmatch(lines[number - 1].strip()):
            name, block = head[1], []
            blocks.append((name, block))
        elif not blocks:
            blocks.append((name, block))
        block.append(number)
    for section, numbers in blocks:
        words = ", ".join(lines[number - 1].strip() for number in numbers[1:])
        at = _line(data, section)
        what = f"[{section}] {words}".rstrip() if section else words or lines[numbers[0] - 1].strip()
        sketch.notes.read(SECTION, path, numbers, what, at=at if at in numbers else 0)


def _jail_files(material: Material) -> dict[str, bytes]:
    """What somebody wrote: jail.conf is the distribution's, and one file is ours."""
    files = material.below(*(p for p in FAIL2BAN_FILES if not p.endswith("jail.conf")))
    return {path: data for path, data in files.items() if path.endswith((".conf", ".local")) and path != JAILS_FILE}


def _read_when(path: str) -> tuple[bool, bool, str]:
    """In which order fail2ban reads them: jail.d/*.conf, jail.local, jail.d/*.local (jail.conf(5))."""
    return path.endswith(".local"), "/jail.d/" in path, path


def _line(data: bytes, section: str) -> int:
    """Where a section switches its jail on or off."""
    within = ""
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        line = raw.strip()
        if head := _HEAD.fullmatch(line):
            within = head[1]
        elif within == section and re.match(r"enabled\s*[=:]", line):
            return number
    return 1


def _setting(key: str, jails: Mapping[str, Mapping[str, str]]) -> tuple[Json, str]:
    """(value, "") where a section can say it, (None, why) where it cannot; ("", "") where no jail says it."""
    found = {name: jail[key] for name, jail in jails.items() if jail.get(key)}
    if not found:
        return "", ""
    texts = set(found.values())
    if len(texts) > 1 or len(found) < len(jails):
        each = ", ".join(f"{name} {jails[name].get(key) or 'none'}" for name in jails)
        return None, f"{key} differs from jail to jail ({each}): a section has one for all"
    (text,) = texts
    value = _value(key, text)
    if key == "ignoreip" and not value:
        return "", ""
    if value in (None, "", []) or _is_wrong(key, value):
        return None, f"{key} = {text}: a section cannot say that"
    return value, ""


def _value(key: str, text: str) -> Json:
    """A number of fail2ban's in a section's words."""
    if key == "maxretry":
        return int(text) if re.fullmatch(r"[0-9]{1,3}", text) else None
    if key == "ignoreip":
        return [address for address in text.replace(",", " ").split() if address not in ALWAYS]
    seconds = fail2ban.seconds(text)
    if not seconds or text.isdecimal():
        return f"{text}s" if seconds else None
    unit, size_s = next((unit, size_s) for unit, size_s in _UNITS if seconds % size_s == 0)
    return f"{seconds // size_s}{unit}"


def _is_wrong(key: str, value: Json) -> bool:
    try:
        Fail2banSection.model_validate({"jails": ("sshd",), key: tuple(value) if isinstance(value, list) else value})
    except ValidationError:
        return True
    return False
