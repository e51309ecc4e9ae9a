"""The commands that the host-side file calls, as one small model of a host: state in files, every call recorded.

A bin folder holds `call` under the names of the real programs. It asks the server (serve.py) that runs this. Next to
that folder, `model/` holds kernel.json (links, addresses, routes, nft tables, iptables rules), units.json, root (the
scratch root's path) and calls (one JSON line a call). What it does not know it refuses with exit code 97 and says so in
calls: a test never passes by a silent fake.
"""

import fcntl
import fnmatch
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, NoReturn

MANAGER_BEGAN_US = 1_000_000  # when this systemd was started, on the monotonic clock


class UnknownCall(Exception):  # noqa: N818
    """What the real program may know and this one does not."""


class Failed(Exception):  # noqa: N818
    """The program says a message on standard error, if any, and ends with a code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def fail(message: str, code: int = 1) -> NoReturn:
    raise Failed(message, code)


class Call:
    """One call of a program: who was called how, and what it answers."""

    def __init__(self, model: Path, name: str, argv: list[str], stdin: str) -> None:
        self.model = model
        self.name = name
        self.argv = argv
        self.stdin = stdin
        self.out = ""
        self.start: list[str] = []  # a command line to start apart, next to the caller (not by us: it may be elsewhere)

    def load(self, name: str) -> Any:
        return json.loads((self.model / name).read_text(encoding="utf-8"))

    def save(self, name: str, value: Any) -> None:
        new = self.model / f"{name}.new"
        new.write_text(json.dumps(value), encoding="utf-8")
        new.rename(self.model / name)

    def root(self) -> Path:
        return Path((self.model / "root").read_text(encoding="utf-8"))

    def record(self, **more: str) -> None:
        with (self.model / "calls").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": self.name, "argv": self.argv, **more}) + "\n")

    def say(self, *lines: str) -> None:
        self.out += "".join(line + "\n" for line in lines)


def nft(call: Call, words: list[str]) -> None:
    kernel = call.load("kernel.json")
    tables = kernel["tables"]
    if words == ["-j", "list", "tables"]:
        names = [name.split(" ") for name in tables]
        call.say(json.dumps({"nftables": [{"table": {"family": f, "name": n, "handle": 7}} for f, n in names]}))
    elif words[:3] == ["-j", "list", "table"]:
        call.say(
            json.dumps({"nftables": [{"metainfo": {"version": "0"}}, {"rule": {"text": tables[" ".join(words[3:])]}}]})
        )
    elif words[:3] == ["-s", "list", "table"]:
        call.say(tables[" ".join(words[3:])])
    elif words in (["-f", "-"], ["-c", "-f", "-"]):
        text = call.stdin
        call.record(stdin=text)
        found = re.fullmatch(r"table (\S+ \S+)\ndelete table \1\n((?:table \1 \{.*\})?)\s*", text, re.DOTALL)
        if not found or "syntax error" in text:
            fail("/dev/stdin:4:3-9: Error: syntax error in root:x:0:0", 1)
        if words[0] == "-f":
            tables.pop(found[1], None)
            if found[2]:
                tables[found[1]] = found[2].strip()
            call.save("kernel.json", kernel)
    else:
        raise UnknownCall


def iptables_save(call: Call, words: list[str]) -> None:
    if words != ["-t", "nat"]:
        raise UnknownCall
    call.say("*nat", *call.load("kernel.json")["rules"], "COMMIT")


def iptables(call: Call, words: list[str]) -> None:
    if words[:4] != ["-w", "5", "-t", "nat"] or words[5] != "POSTROUTING":
        raise UnknownCall
    kernel = call.load("kernel.json")
    rule = " ".join(["-A", *words[5:]])
    if words[4] == "-A":
        kernel["rules"].append(rule)
    elif words[4] == "-D" and rule in kernel["rules"]:
        kernel["rules"].remove(rule)
    else:
        fail("iptables: Bad rule", 1)
    call.save("kernel.json", kernel)


def unit_properties(call: Call, units: Any, name: str) -> dict[str, str]:
    """What systemd would say: units of the model, and those whose files are in the scratch root."""
    here = call.root() / "etc/systemd/system"
    unit = units.get(name)
    if unit is None and (here / name).exists():
        unit = {"enabled": "disabled", "active": False}
    if unit is None:
        return {"LoadState": "not-found", "UnitFileState": "", "ActiveState": "inactive"}
    enabled = unit["enabled"]
    if any((folder / name).is_symlink() for folder in here.glob("*.wants")):
        enabled = "enabled"
    properties = {"LoadState": "loaded", "UnitFileState": enabled, "ActiveState": "inactive"}
    properties["NeedDaemonReload"] = "yes" if (call.model / "need-reload").exists() else "no"
    if (here / name).exists():
        lines = (here / name).read_text(encoding="utf-8").splitlines()
        properties["Before"] = " ".join(line.partition("=")[2] for line in lines if line.startswith("Before="))
    if unit["active"]:
        properties["ActiveState"] = "active"
    if "elapses_s" in unit:
        properties["NextElapseUSecMonotonic"] = f"{unit['elapses_s']:.6f}s" if unit["active"] else ""
    return properties


def systemctl(call: Call, words: list[str]) -> None:
    words = [word for word in words if word not in ("--no-block", "--quiet", "--now")]
    units = call.load("units.json")
    verb, names = words[0], [word for word in words[1:] if word != "--"]
    if words == ["show", "--value", "-p", "UserspaceTimestampMonotonic"]:
        call.say(str(MANAGER_BEGAN_US))
    elif verb == "show":
        note_watchers(call, units)
        wanted = names[1].split(",")
        shown = [unit_properties(call, units, name) for name in names[2:]]
        call.say("\n\n".join("\n".join(f"{key}={one.get(key, '')}" for key in wanted) for one in shown))
    elif verb == "is-active":
        if not units.get(names[0], {}).get("active"):
            fail("", 3)
    elif verb in ("cat", "daemon-reload", "reset-failed"):
        (call.model / ("need-reload" if verb == "daemon-reload" else "never")).unlink(missing_ok=True)
    elif verb in ("start", "stop", "restart", "enable", "disable", "mask", "unmask"):
        for pattern in names:
            for name in fnmatch.filter(units, pattern) if "*" in pattern else [pattern]:
                change_unit(call, units, verb, name)
        call.save("units.json", units)
    else:
        raise UnknownCall


def change_unit(call: Call, units: Any, verb: str, name: str) -> None:
    if unit_properties(call, units, name)["LoadState"] == "not-found":
        fail(f"Unit {name} not found.", 5)
    unit = units.setdefault(name, {"enabled": "disabled", "active": False})
    if verb in ("start", "stop", "restart"):
        unit["active"] = verb != "stop"
    else:
        unit["enabled"] = {"enable": "enabled", "mask": "masked"}.get(verb, "disabled")
        (call.root() / "etc/systemd/system/multi-user.target.wants" / name).unlink(missing_ok=True)
    if unit["enabled"] == "transient" and verb == "stop":
        del units[name]
        if name.startswith("passerelle-watch-"):
            identifier = name.removeprefix("passerelle-watch-").removesuffix(".service")
            (call.root() / "var/lib/passerelle/txn" / identifier / "watch").unlink(missing_ok=True)


def note_watchers(call: Call, units: Any) -> None:
    """What the watchers that run have written by now: each follows the deadline in its journal."""
    started = Path(f"/proc/{os.getpid()}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    for folder in (call.root() / "var/lib/passerelle/txn").glob("[0-9A-Z]*"):
        if f"passerelle-watch-{folder.name}.service" in units:
            deadline_s = json.loads((folder / "journal.json").read_text(encoding="utf-8"))["deadline_boottime_s"]
            (folder / "watch").write_text(f"{os.getpid()} {started} {deadline_s}", encoding="utf-8")


def systemd_run(call: Call, words: list[str]) -> None:
    options = [word for word in words if word.startswith("--") and words.index(word) < words.index("/usr/bin/python3")]
    command = words[words.index("/usr/bin/python3") :]
    named = dict(word[2:].partition("=")[::2] for word in options)
    if set(named) - {"quiet", "collect", "unit", "on-startup", "timer-property", "property", "setenv"}:
        raise UnknownCall
    units = call.load("units.json")
    if "on-startup" in named:
        if "--timer-property=AccuracySec=100ms" not in options:
            raise UnknownCall
        odd = call.model / "counts-from"
        began_us = int(odd.read_text(encoding="utf-8")) if odd.exists() else MANAGER_BEGAN_US
        elapses_us = began_us + int(named["on-startup"].removesuffix("us"))
        units[named["unit"] + ".timer"] = {"enabled": "transient", "active": True, "elapses_s": elapses_us / 1e6}
        call.save("units.json", units)
        return
    units[named["unit"] + ".service"] = {"enabled": "transient", "active": True}
    call.save("units.json", units)
    if command[-2] == "watch":  # no test waits for a deadline: the process that it would be is this server
        note_watchers(call, units)
        return
    call.start = ["/usr/bin/env", *named.get("setenv", "").split(), *command]


def checker(call: Call, words: list[str]) -> None:
    """dnsmasq --test and sshd -t: a staged file with the word `wrong` in a line is refused by that line's number."""
    if words == ["-t"]:
        return
    path = words[-1].partition("=")[2] or words[-1]
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if "wrong" in line:
            fail(f"dnsmasq: bad option at line {number} of {path}: root:$6$secret", 1)


def dpkg_query(call: Call, words: list[str]) -> None:
    """Every package has version 1.0; needs.json says which packages need which."""
    if words[0] in ("-L", "-s", "--control-list"):
        unit = f"/lib/systemd/system/{words[1]}.service"
        call.say({"-L": f"/.\n{unit}", "-s": f"Package: {words[1]}\nStatus: ok", "--control-list": ""}[words[0]])
        return
    form, names = words[2], words[3:]
    for name in names:
        if name in call.load("packages.json"):
            flags = "yes|no|no|required" if name == "coreutils" else "no|no|no|optional"
            said = {"Abbrev}|": "ii |1.0", "Essential": f"{name}|{flags}", "Package} $": f"{name} ii "}
            call.say(next((text for key, text in said.items() if key in form), "10"))


def apt_cache(call: Call, words: list[str]) -> None:
    if words[:2] != ["policy", "--"]:
        raise UnknownCall
    for name in words[2:]:
        if name != "nosuch":
            candidate = "(none)" if name == "awk" else "1.0"
            call.say(f"{name}:", "  Installed: (none)", f"  Candidate: {candidate}", "  Version table:")


def simulated(call: Call, verb: str, names: list[str]) -> None:
    """apt-get -s: what is needed comes as well, what needs it goes as well."""
    needs, packages = call.load("needs.json"), call.load("packages.json")
    if verb == "remove":
        for name in [*(n for n in packages if set(needs.get(n, [])) & set(names)), *names]:
            call.say(f"Remv {name} [1.0]")
        return
    for name in [*(need for n in names for need in needs.get(n, [])), *names]:
        if name.startswith("-"):
            call.say(f"Remv {name[1:]} [1.0]")
        elif name not in packages:
            call.say(f"Inst {name} (1.0 Lab:1/stable [all])")
        elif name not in names:
            call.say(f"Inst {name} [1.0] (2.0 Lab:1/stable [all])")


def dpkg(call: Call, words: list[str]) -> None:
    packages = call.load("packages.json")
    if words[:2] == ["--remove", "--"]:
        packages = [name for name in packages if name not in words[2:]]
    elif words[:3] == ["--force-confdef", "--force-confold", "--install"]:
        packages += [Path(file).read_text(encoding="utf-8") for file in words[3:]]
    else:
        raise UnknownCall
    call.save("packages.json", packages)


def dpkg_deb(call: Call, words: list[str]) -> None:
    """A packed package: its name."""
    if words[:3] != ["-Znone", "--nocheck", "--build"]:
        raise UnknownCall
    control = (Path(words[3]) / "DEBIAN/control").read_text(encoding="utf-8")
    Path(words[4]).write_text(control.split()[1], encoding="utf-8")


def apt_get(call: Call, words: list[str]) -> None:
    packages, units = call.load("packages.json"), call.load("units.json")
    simulate = "-s" in words
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] == "-o" else words[1:]
    names = [word for word in words[1:] if word != "--"]
    if simulate:
        simulated(call, words[0], names)
        return
    policy = call.root() / "usr/sbin/policy-rc.d"
    forbids = policy.exists() and subprocess.run(["/bin/sh", str(policy), "x", "start"]).returncode == 101
    for name in names:
        if words[0] != "install":
            raise UnknownCall
        if name == "broken":
            fail("Reading package lists...\nE: \x1b[1mUnable to fetch broken", 100)
        packages.append(name)
        units[name + ".service"] = {"enabled": "enabled", "active": not forbids}
        (wanted := call.root() / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True, exist_ok=True)
        (wanted / f"{name}.service").unlink(missing_ok=True)
        (wanted / f"{name}.service").symlink_to("/usr/bin/python3")  # any file that is there
    call.save("packages.json", packages)
    call.save("units.json", units)


COMMANDS = {
    "nft": nft,
    "iptables": iptables,
    "iptables-save": iptables_save,
    "systemctl": systemctl,
    "systemd-run": systemd_run,
    "dnsmasq": checker,
    "sshd": checker,
    "dpkg-query": dpkg_query,
    "apt-get": apt_get,
    "apt-cache": apt_cache,
    "dpkg": dpkg,
    "dpkg-deb": dpkg_deb,
}


def answer(call: Call) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a call; one at a time for each model."""
    with (call.model / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        call.record()
        try:
            COMMANDS[call.name](call, call.argv)
        except Failed as failed:
            return failed.code, call.out, f"{failed}\n" if str(failed) else ""
        except (UnknownCall, IndexError, KeyError, ValueError) as error:
            call.record(refused=repr(error))
            return 97, "", f"the fake {call.name} does not know {call.argv}: {error!r}\n"
    return 0, call.out, ""
