"""Facts brought to values, each by the room of its type."""

from __future__ import annotations

from typing import Callable

from service.hostside.copies import remove_package
from service.hostside.errors import Json
from service.hostside.facts import FACTS, split_fact
from service.hostside.host import Host
from service.hostside.proxies import Proxies
from service.hostside.set_files import Files
from service.hostside.set_leases import Leases
from service.hostside.set_network import NetworkSetter
from service.hostside.set_units import Units


class Setter:
    """Brings facts to values. State-based: what is so already is left alone; can be cut and started again anywhere.

    `contents`, `tag` and `detail` are those of `Files`.
    """

    def __init__(self, host: Host, contents: Callable[[str], bytes], tag: str, detail: dict[str, Json]) -> None:
        self.host = host
        self.network: NetworkSetter = NetworkSetter(host, detail)
        self.units: Units = Units(host)
        self.files: Files = Files(host, contents, tag, detail, self.units)
        self.proxies: Proxies = Proxies(host)
        self.leases: Leases = Leases(host, self.units, self.files)

    def set(self, fact: str, value: Json, restart: bool = False) -> None:
        """Trouble or OSError when the host does not do it."""
        kind, name = split_fact(fact)
        FACTS[kind].put(self, name, value, restart)

    def remove_package(self, name: str) -> None:
        remove_package(self.host, name)
        self.units.reload_due = True
