"""The SSH connection over a VLAN: what cuts it now, and what the next boot makes of it."""

from dataclasses import replace

import pytest

from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.states import Absent, Json, Observed, Seen
from service.plan.management import after, management_refusals, picture
from service.plan.next_boot import next_boot_faults
from service.plan.safety import going_along
from service.resources.desired import Desired, LastApplied
from tests.laws.host import bare_host, file_fact, link
from tests.laws.specs import desired_from

LO = "auto lo\niface lo inet loopback\n\n"
LINES = "\taddress 198.51.100.11/24\n\tgateway 198.51.100.1\n"
CARD = "auto enp1s0\niface enp1s0 inet manual\n\n"
FILES = f"{LO}{CARD}auto enp1s0.20\niface enp1s0.20 inet static\n{LINES}"
WANTED: Desired = desired_from("interfaces: {enp1s0: {}}\nvlans:\n  enp1s0.20: {addresses: [198.51.100.11/24]}\n")


def host(files: str = FILES, name: str = "enp1s0.20") -> HostObserved:
    """A host that is reached over VLAN 20 of its card."""
    bare = bare_host(WANTED.watch, {"/etc/network/interfaces": files.encode()})
    facts: dict[str, Observed[Json]] = {
        f"link:{name}": Seen(link(type="vlan", parent="enp1s0", id=20)),
        f"addresses:{name}": Seen(["198.51.100.11/24"]),
        "addresses:enp1s0": Seen([]),
        "routes:default": Seen([{"family": 4, "via": "198.51.100.1", "dev": name}]),
        "file:/etc/network/interfaces": Seen(file_fact(files.encode())),
    }
    packages: dict[str, Observed[str]] = {"ifupdown": Absent(), "ifupdown2": Seen("3.0.0-1.1")}
    return replace(bare, facts={**bare.facts, **facts}, packages={**bare.packages, **packages})


def refused(*steps: Step) -> list[str]:
    return [one.what for one in management_refusals(WANTED, LastApplied(), host(), steps)]


def test_a_card_that_goes_down_takes_the_vlan_on_it_along() -> None:
    down = Step("link:enp1s0", {"up": True}, {"up": False}, "asked")
    assert "enp1s0 would go down, and enp1s0.20 on it carries 198.51.100.11" in refused(down)


def test_a_new_vlan_is_silent_on_a_card_that_is_down() -> None:
    made = Step("link:enp1s0.30", None, {"type": "vlan", "parent": "enp1s0", "id": 30, "up": True}, "asked")
    down = Step("link:enp1s0", {"up": True}, {"up": False}, "asked")
    assert "enp1s0.30" not in after(picture(host()), [made]).silent
    assert "enp1s0.30" in after(picture(host()), [made, down]).silent


def test_a_removed_vlan_takes_the_way_along() -> None:
    gone = Step("link:enp1s0.20", {"type": "vlan"}, None, "asked")
    assert any("would be removed from enp1s0.20" in what for what in refused(gone))


def test_a_vlan_with_a_vlan_of_others_on_it_is_not_removed() -> None:
    more: dict[str, Observed[Json]] = {"link:inner": Seen(link(type="vlan", parent="enp1s0.20", id=30))}
    gone = Step("link:enp1s0.20", {"type": "vlan"}, None, "asked")
    there = replace(host(), facts={**host().facts, **more})
    assert [one.what for one in going_along([gone], there)] == ["the VLAN inner on pve1 would go with enp1s0.20"]
    assert list(going_along([gone, Step("link:inner", {"type": "vlan"}, None, "asked")], there)) == []


def on_bridge(*more: str, port: str = "") -> str:
    lines = "".join(f"\t{line}\n" for line in ("bridge-ports enp1s0", "bridge-stp off", "bridge-fd 0", *more))
    card = f"iface enp1s0 inet manual\n{port}\n"
    return f"{LO}{card}auto vmbr0\niface vmbr0 inet manual\n{lines}\nauto vmbr0.20\niface vmbr0.20 inet static\n{LINES}"


def over_bridge(files: str) -> HostObserved:
    """The same over VLAN 20 of a bridge with the card."""
    made = host(files, "vmbr0.20")
    facts: dict[str, Observed[Json]] = {
        "link:vmbr0": Seen(link(type="bridge", ports=[{"name": "enp1s0", "up": True}])),
        "link:vmbr0.20": Seen(link(type="vlan", parent="vmbr0", id=20)),
        "link:enp1s0": Seen(link(master="vmbr0")),
        "addresses:vmbr0": Seen([]),
    }
    return replace(made, facts={**made.facts, **facts})


AWARE = "bridge-vlan-aware yes"


@pytest.mark.parametrize(
    ("files", "is_open"),
    [
        (on_bridge(), True),
        (on_bridge(AWARE), False),
        (on_bridge(AWARE, "bridge-vids 2-4094"), True),
        (on_bridge(AWARE, "bridge-vids 10,20 30"), True),
        (on_bridge(AWARE, "bridge-vids 10 30-40"), False),
        (on_bridge(AWARE, "bridge-pvid 20"), True),
        (on_bridge(AWARE, "bridge-vids 2-4094", port="\tbridge-vids 10\n"), False),
        (on_bridge(AWARE, "bridge-vids 10", port="\tbridge-vids 20\n"), True),
        (on_bridge("bridge-vlan-aware no", "bridge-vids 10"), True),
    ],
)
def test_the_next_boot_takes_the_vlan_of_the_way_through_the_bridge(files: str, is_open: bool) -> None:
    faults = next_boot_faults(over_bridge(files))
    what = "no port of vmbr0 takes VLAN 20, and vmbr0.20 on it carries the service's connection"
    assert any(what in fault for fault in faults) is not is_open


def test_the_bridge_keeps_its_card_at_the_next_boot() -> None:
    files = on_bridge().replace("bridge-ports enp1s0", "bridge-ports none")
    assert any("enp1s0 is not a port of vmbr0" in what for what in next_boot_faults(over_bridge(files)))


@pytest.mark.parametrize(
    ("files", "name", "said"),
    [
        (FILES, "enp1s0.20", ""),
        (
            f"{LO}{CARD}auto office\niface office inet static\n{LINES}\tvlan-raw-device enp1s0\n\tvlan-id 20\n",
            "office",
            "",
        ),
        (
            f"{LO}{CARD}auto office\niface office inet static\n{LINES}\tvlan-raw-device enp1s0\n\tvlan-id 21\n",
            "office",
            "office, which carries the way, is VLAN 21 of enp1s0; now it is VLAN 20 of enp1s0",
        ),
        (
            f"{LO}{CARD}auto office\niface office inet static\n{LINES}",
            "office",
            "office, which carries the way, is no VLAN; now it is VLAN 20 of enp1s0",
        ),
    ],
)
def test_the_next_boot_makes_the_vlan_that_carries_the_way(files: str, name: str, said: str) -> None:
    faults = [what for what in next_boot_faults(host(files, name)) if "VLAN" in what]
    assert [said in what for what in faults] == ([True] if said else [])
