"""What enters guests: one guest, web1 on the host, with nginx in it. model/nginx.json has its state."""

import hashlib
from typing import Any

from service.hostside.guest_nginx import LOOK, SET
from tests.hostside.fakes import fake_commands
from tests.hostside.fakes.fake_commands import Call, UnknownCall, fail


class InGuest(Call):
    """A call of a program in the guest: it has packages and units of its own."""

    def load(self, name: str) -> Any:
        return super().load(f"guest-{name}")

    def save(self, name: str, value: Any) -> None:
        super().save(f"guest-{name}", value)

    def record(self, **more: str) -> None:
        self.name = f"guest {self.name}"
        super().record(**more)


def lxc_info(call: Call, words: list[str]) -> None:
    if words != ["-n", "web1", "-s", "-H"]:
        raise UnknownCall
    call.say(call.load("nginx.json")["guest"])


def lxc_attach(call: Call, words: list[str]) -> None:
    """The two scripts about nginx, in a guest that runs: a file with the word `wrong` in it is not accepted."""
    nginx = call.load("nginx.json")
    if words[:4] != ["-n", "web1", "--clear-env", "--"] or nginx["guest"] != "RUNNING":
        raise UnknownCall
    if nginx.get("silent"):
        fail("lxc-attach: web1: no answer", 1)
    start = next(number for number, word in enumerate(words[5:], 5) if "=" not in word and word[0] != "-")
    command = words[start:]
    if command[0] in ("dpkg-query", "apt-get", "apt-cache"):
        inner = InGuest(call.model, command[0], command[1:], "")
        inner.record()
        try:
            fake_commands.COMMANDS[command[0]](inner, command[1:])
        finally:
            call.out = inner.out
        return
    if command == ["/bin/sh", "-c", LOOK]:
        state, pid = ("active", "7") if nginx["active"] else ("inactive", "0")
        call.say(f"Loaded={('7 ' + nginx['loaded']) if nginx['loaded'] else ''}", "Mounted=yes", "LoadState=loaded")
        call.say(f"ActiveState={state}", f"MainPID={pid}")
    elif command[:4] == ["/bin/sh", "-c", SET, "sh"] and command[4:] in (["load"], ["stop"]):
        path = call.root() / "etc/passerelle/guests/proxy/nginx.conf"
        content = path.read_bytes() if path.exists() else b""
        if b"wrong" in content and command[4:] == ["load"]:
            fail("nginx: [emerg] unknown directive \x1b[1mwrong in /etc/passerelle/nginx.conf:1", 1)
        line = f"{hashlib.sha256(content).hexdigest()}  nginx.conf\n"
        told = hashlib.sha256(line.encode()).hexdigest() if content else ""
        active = command[4:] == ["load"]
        call.save("nginx.json", {**nginx, "active": active, "loaded": told if active else ""})
    else:
        raise UnknownCall


COMMANDS = {"lxc-info": lxc_info, "lxc-attach": lxc_attach}
