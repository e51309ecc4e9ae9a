"""The sockets on a host of the laws: sshd's, and dnsmasq's as its configuration says (dnsmasq(8), 2.90).

On purpose it does not share the service's own reading: it goes by `meaning` of all files, not line by line."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from service.formats import dnsmasq
from service.model.facts import Step
from service.model.observed import HostObserved, Listener
from service.model.states import Seen

SSHD = Listener("tcp", "0.0.0.0", 22, "sshd")
UNIT = "dnsmasq.service"


def is_running(host: HostObserved) -> bool:
    seen = host.facts.get(f"unit:{UNIT}")
    return isinstance(seen, Seen) and isinstance(seen.value, dict) and bool(seen.value.get("active"))


def binds_anew(host: HostObserved, step: Step, *, was_running: bool) -> bool:
    """Whether dnsmasq has other sockets after a step: it starts, it ends, or it follows the addresses of the host."""
    if step.fact == f"unit:{UNIT}":
        return step.restart or is_running(host) != was_running
    return step.fact.startswith("addresses:") and is_running(host) and "bind-dynamic" in _said(host)


def _said(host: HostObserved) -> Mapping[str, tuple[str, ...]]:
    """All of its files together."""
    texts = {path: text.value for path, text in host.texts.items() if isinstance(text, Seen)}
    return dnsmasq.meaning(dnsmasq.parse(texts[path], path) for path in dnsmasq.read_order(texts))


def of_dnsmasq(host: HostObserved) -> tuple[Listener, ...]:
    """What dnsmasq binds when it starts now."""
    if not is_running(host):
        return ()
    said = _said(host)
    port = int(said.get("port", ("53",))[0])
    where = ["0.0.0.0", "[::]"]
    if "bind-interfaces" in said or "bind-dynamic" in said:
        where = [f"[{one}]" if ":" in one else one for one in _served(host, said)]
    names = [Listener("udp", one, port, "dnsmasq") for one in where if port]
    if "dhcp-range" not in said:
        return tuple(names)
    only = said.get("interface", ())  # of one interface alone dnsmasq takes the requests at its device
    device = f"%{only[0]}" if len(only) == 1 and "*" not in only[0] else ""
    return (*names, Listener("udp", f"0.0.0.0{device}", 67, "dnsmasq"))


def _served(host: HostObserved, said: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The addresses that dnsmasq binds one by one."""
    named, listed = said.get("interface", ()), said.get("listen-address", ())
    served = ["127.0.0.1", "::1"] if named or not listed else []
    for fact, seen in host.facts.items():
        kind, _, device = fact.partition(":")
        if kind != "addresses" or not isinstance(seen, Seen) or not isinstance(seen.value, list):
            continue
        if any(fnmatchcase(device, pattern) for pattern in said.get("except-interface", ())):
            continue
        is_named = any(fnmatchcase(device, pattern) for pattern in named) or not (named or listed)
        addresses = [str(one).partition("/")[0] for one in seen.value]
        served += [one for one in addresses if is_named or one in listed]
    return sorted({*served, *(one for one in listed if one.startswith("127."))})


def waiting(host: HostObserved) -> tuple[Listener, ...]:
    """All sockets that wait once dnsmasq has started; those of other programs stay."""
    known = host.listeners.value if isinstance(host.listeners, Seen) else ()
    others = [one for one in known if one.program != "dnsmasq"]
    return (*others, *of_dnsmasq(host))
