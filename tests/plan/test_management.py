"""The way of the service to a host: which changes are proven to leave it open, and which are refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.model.facts import Step
from service.model.observed import HostObserved, Listener, ManagementPath, Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.management import management_refusals
from service.resources.desired import Desired, LastApplied
from service.resources.routes import DefaultRoutes
from tests.laws.host import bare_host, link

ROUTED = ManagementPath("198.18.0.10", "198.51.100.11", 22)
NEIGHBOUR = ManagementPath("198.51.100.50", "198.51.100.11", 22)
SIX = ManagementPath("2001:db8:9::1", "2001:db8::11", 22)
GATEWAY: dict[str, Json] = {"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}
SECOND: dict[str, Json] = {"family": 4, "via": "198.51.100.77", "dev": "enp1s0"}
GATEWAY6: dict[str, Json] = {"family": 6, "via": "fe80::1", "dev": "enp1s0"}
NO_PATH = "nothing proves that this works"
NOTHING_APPLIED = LastApplied()


def confirmed(routes: list[Json], addresses: Mapping[str, list[Json]]) -> LastApplied:
    """What the last confirmed apply left on the host."""
    rows: list[Json] = [["interfaces", "default", "routes", "live", routes]]
    rows += [["interfaces", name, "addresses", "live", held] for name, held in addresses.items()]
    return LastApplied.from_json(rows)


USUAL = confirmed([GATEWAY], {"enp1s0": ["198.51.100.11/24"]})


def changes(**after: Json) -> tuple[Step, ...]:
    """Steps by `type__name`."""
    return tuple(Step(name.replace("__", ":"), None, value, "asked") for name, value in after.items())


@dataclass(frozen=True)
class Row:
    """Steps on the bare host, or on one whose `facts` differ; `cut` is part of the refusal, empty where none is due."""

    name: str
    steps: tuple[Step, ...]
    cut: str = ""
    path: ManagementPath | None = ROUTED
    facts: Mapping[str, Observed[Json]] = field(default_factory=dict)
    base: LastApplied = NOTHING_APPLIED
    listeners: tuple[Listener, ...] = (Listener("tcp", "0.0.0.0", 22, "sshd"),)


BRIDGE: dict[str, Json] = {"type": "bridge", "up": True, "ports": []}
UPLINK_BRIDGE: dict[str, Json] = {**BRIDGE, "ports": [{"name": "enp1s0", "up": True}]}
TWO_ROUTES = {"routes:default": Seen([GATEWAY, SECOND])}
IPV6 = {
    "addresses:enp1s0": Seen(["198.51.100.11/24", "2001:db8::11/64"]),
    "routes:default": Seen([GATEWAY, GATEWAY6]),
}
SINGLE: list[Json] = ["198.51.100.11/32"]
SLASH_32: dict[str, Observed[Json]] = {"addresses:enp1s0": Seen(SINGLE)}
TWICE: dict[str, Observed[Json]] = {  # the bridge comes first: the order of what is seen decides nothing
    "link:vmbr0": Seen(link(type="bridge")),
    "addresses:vmbr0": Seen(SINGLE),
    **SLASH_32,
}

ROWS = [
    Row("a bridge beside the uplink", changes(link__vmbr0=BRIDGE, addresses__vmbr0=["10.10.10.1/24"])),
    Row("one more address on the uplink", changes(addresses__enp1s0=["198.51.100.11/24", "198.51.100.12/24"])),
    Row("nothing of the network", changes(sysctl__x="1", unit__dnsmasq={"enabled": "enabled", "active": True})),
    Row("the address goes", changes(addresses__enp1s0=[]), "would be removed from enp1s0"),
    Row("the address changes", changes(addresses__enp1s0=["198.51.100.99/24"]), "would be removed from enp1s0"),
    Row("the uplink goes down", changes(link__enp1s0={"up": False}), "enp1s0, which carries 198.51.100.11, would go"),
    Row("the uplink goes into a bridge", changes(link__vmbr0=UPLINK_BRIDGE), "would become a port of vmbr0"),
    Row(
        "the uplink and its address go into a bridge",
        changes(link__vmbr0=UPLINK_BRIDGE, addresses__enp1s0=[], addresses__vmbr0=["198.51.100.11/24"]),
        "the gateway 198.51.100.1 to 198.18.0.10 would be in no connected network",
    ),
    Row(
        "the uplink, its address and its route go into a bridge",
        (
            *changes(link__vmbr0=UPLINK_BRIDGE, addresses__enp1s0=[], addresses__vmbr0=["198.51.100.11/24"]),
            *changes(routes__default=[{**GATEWAY, "dev": "vmbr0"}]),
        ),
        "would change from 198.51.100.1 on enp1s0 to 198.51.100.1 on vmbr0",
    ),
    Row(
        "the bridge that carries the address goes",
        changes(link__vmbr0=None),
        "would be removed from vmbr0",
        facts={
            "link:vmbr0": Seen(link(type="bridge")),
            "addresses:vmbr0": Seen(["198.51.100.11/24"]),
            "addresses:enp1s0": Seen([]),
        },
    ),
    Row("the gateway goes", changes(routes__default=[]), "no route to 198.18.0.10 would be left"),
    Row("the gateway changes", changes(routes__default=[SECOND]), "to 198.51.100.77 on enp1s0, and nothing proves"),
    Row(
        "the gateway changes to one outside",
        changes(routes__default=[{**GATEWAY, "via": "203.0.113.1"}]),
        "the gateway 203.0.113.1 to 198.18.0.10 would be in no connected network",
    ),
    Row("a second default route", changes(routes__default=[GATEWAY, SECOND]), NO_PATH, base=USUAL),
    Row(
        "a second default route, put there by hand, goes again",
        changes(routes__default=[GATEWAY]),
        base=USUAL,
        facts=TWO_ROUTES,
    ),
    Row(
        "one of two default routes goes, none ever confirmed",
        changes(routes__default=[GATEWAY]),
        NO_PATH,
        facts=TWO_ROUTES,
    ),
    Row(
        "the prefix shrinks and leaves the gateway out",
        changes(addresses__enp1s0=["198.51.100.11/30"]),
        "in no connected network",
    ),
    Row("the prefix shrinks and keeps the gateway", changes(addresses__enp1s0=["198.51.100.11/28"])),
    Row("a neighbour stays one", changes(addresses__enp1s0=["198.51.100.11/25"]), path=NEIGHBOUR),
    Row("a neighbour needs no gateway", changes(routes__default=[]), path=NEIGHBOUR),
    Row(
        "a neighbour that a prefix by hand put behind the gateway is one again",
        changes(addresses__enp1s0=["198.51.100.11/24"]),
        path=NEIGHBOUR,
        facts={"addresses:enp1s0": Seen(["198.51.100.11/28"])},
        base=USUAL,
    ),
    Row(
        "what was behind the gateway becomes a neighbour, which was never confirmed",
        changes(addresses__enp1s0=["198.51.100.11/24"]),
        "198.51.100.50 would be addressed as a neighbour on enp1s0",
        path=NEIGHBOUR,
        facts={"addresses:enp1s0": Seen(["198.51.100.11/28"])},
    ),
    Row(
        "a neighbour would have to go through the gateway",
        changes(addresses__enp1s0=["198.51.100.11/28"]),
        "would change from the network on enp1s0 to 198.51.100.1 on enp1s0",
        path=NEIGHBOUR,
        base=USUAL,
    ),
    Row(
        "a bridge takes over the controller's network",
        changes(link__vmbr1=BRIDGE, addresses__vmbr1=["198.18.0.1/24"]),
        "198.18.0.10 would be addressed as a neighbour on vmbr1",
        base=USUAL,
    ),
    Row(
        "a bridge takes over a narrower network around a neighbour",
        changes(link__vmbr1=BRIDGE, addresses__vmbr1=["198.51.100.49/28"]),
        "198.51.100.50 would be addressed as a neighbour on vmbr1",
        path=NEIGHBOUR,
    ),
    Row(
        "an address by hand in the controller's network goes again",
        changes(addresses__enp1s0=["198.51.100.11/24"]),
        facts={"addresses:enp1s0": Seen(["198.18.0.99/24", "198.51.100.11/24"])},
        base=USUAL,
    ),
    Row(
        "the only network of the gateway is switched off",
        changes(link__eth1={"up": False}),
        "in no connected network",
        facts={
            "link:eth1": Seen(link()),
            "addresses:eth1": Seen(["192.0.2.2/24"]),
            "routes:default": Seen([{"family": 4, "via": "192.0.2.1", "dev": "eth1"}]),
        },
    ),
    Row("a bridge beside an uplink with a /32 and a gateway outside", changes(link__vmbr0=BRIDGE), facts=SLASH_32),
    Row(
        "a bridge on a host that is reached without a default route",
        changes(link__vmbr0=BRIDGE),
        facts={"routes:default": Seen([])},
    ),
    Row("IPv6: an IPv4 address goes", changes(addresses__enp1s0=["2001:db8::11/64"]), path=SIX, facts=IPV6),
    Row(
        "IPv6: the address goes",
        changes(addresses__enp1s0=["198.51.100.11/24"]),
        "2001:db8::11, by which",
        path=SIX,
        facts=IPV6,
    ),
    Row("IPv6: the IPv4 gateway changes", changes(routes__default=[SECOND, GATEWAY6]), path=SIX, facts=IPV6),
    Row(
        "IPv6: the gateway goes",
        changes(routes__default=[GATEWAY]),
        "no route to 2001:db8:9::1",
        path=SIX,
        facts=IPV6,
    ),
    Row(
        "IPv6: the gateway changes",
        changes(routes__default=[GATEWAY, {**GATEWAY6, "via": "fe80::2"}]),
        NO_PATH,
        path=SIX,
        facts=IPV6,
    ),
    Row(
        "ssh is stopped",
        changes(**{"unit__ssh.service": {"enabled": "enabled", "active": False}}),
        "ssh.service would be stopped",
    ),
    Row(
        "ssh is masked",
        changes(**{"unit__ssh.service": {"enabled": "masked", "active": True}}),
        "not start at the next boot",
    ),
    Row("ssh is disabled", changes(**{"unit__ssh.service": {"enabled": "disabled"}}), "not start at the next boot"),
    Row(
        "ssh stays as it was: started by its socket",
        changes(**{"unit__ssh.service": {"enabled": "disabled", "active": True}}),
        facts={"unit:ssh.service": Seen({"enabled": "disabled", "active": True})},
    ),
    Row(
        "the network is not brought up at the next boot",
        changes(**{"unit__networking.service": {"enabled": "disabled", "active": False}}),
        "networking.service would be stopped or not start at the next boot and the network with it",
    ),
    Row(
        "what brings no network up here is switched off for good",
        changes(**{"unit__NetworkManager.service": {"enabled": "masked", "active": False}}),
        facts={"unit:NetworkManager.service": Seen({"enabled": "disabled", "active": False})},
    ),
    Row("of two interfaces with the address the bridge loses it", changes(addresses__vmbr0=[]), facts=TWICE),
    Row("the bridge with the same address goes", changes(link__vmbr0=None), facts=TWICE),
    Row("the bridge with the same address goes down", changes(link__vmbr0={"up": False}), facts=TWICE),
    Row("the uplink's address comes onto a bridge, too", changes(addresses__vmbr0=SINGLE), facts=SLASH_32),
    Row(
        "of two interfaces with the address the uplink loses it",
        changes(addresses__enp1s0=[]),
        "198.51.100.11 would be removed from enp1s0, on which the service's packets arrive. vmbr0 keeps it",
        facts=TWICE,
    ),
    Row(
        "IPv6: of two interfaces with the address the uplink loses it",
        changes(addresses__enp1s0=["198.51.100.11/32"]),
        "2001:db8::11 would be removed from enp1s0, on which the service's packets arrive. vmbr0 keeps it",
        path=SIX,
        facts={**TWICE, **IPV6, "addresses:vmbr0": Seen(["2001:db8::11/128"])},
    ),
    Row(
        "both interfaces lose the address",
        changes(addresses__enp1s0=[], addresses__vmbr0=[]),
        "198.51.100.11, by which the service reaches this host, would be removed from enp1s0, vmbr0",
        facts=TWICE,
    ),
    Row(
        "the uplink without an address goes down, and a bridge has the address",
        changes(link__enp1s0={"up": False}),
        "in no connected network",
        facts={**TWICE, "addresses:enp1s0": Seen([])},
    ),
    Row(
        "the uplink of two interfaces with the address goes down",
        changes(link__enp1s0={"up": False}),
        "in no connected network",
        facts=TWICE,
    ),
    Row("nothing listens any more", changes(sysctl__x="1"), "nothing listens on 198.51.100.11:22", listeners=()),
    Row(
        "sshd waits on another address",
        changes(sysctl__x="1"),
        "nothing listens",
        listeners=(Listener("tcp", "10.10.10.1", 22),),
    ),
    Row("sshd waits on this address", changes(sysctl__x="1"), listeners=(Listener("tcp", "198.51.100.11", 22),)),
    Row(
        "IPv6: sshd waits on this address, in brackets",
        changes(sysctl__x="1"),
        path=SIX,
        facts=IPV6,
        listeners=(Listener("tcp", "[2001:db8::11]", 22),),
    ),
    Row("nobody knows how the host was reached", changes(sysctl__x="1"), "did not say by which address", path=None),
    Row("nothing is done", (), path=None),
]


def host_of(row: Row) -> HostObserved:
    bare = bare_host(Watch())
    return replace(bare, path=row.path, facts={**bare.facts, **row.facts}, listeners=Seen(row.listeners))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_change_is_refused_exactly_where_the_way_back_is_not_proven(row: Row) -> None:
    found = management_refusals(Desired("pve1", ()), row.base, host_of(row), row.steps)
    assert {refusal.rule for refusal in found} <= {"management-path"}
    said = "\n".join(refusal.what for refusal in found)
    if row.cut:
        assert row.cut in said
        assert all(refusal.hint for refusal in found)
    else:
        assert said == ""


@pytest.mark.parametrize(("on_link", "refused"), [((), True), ((("198.51.100.1", "enp1s0"),), False)])
def test_a_gateway_that_the_spec_calls_on_link_needs_no_subnet(
    on_link: tuple[tuple[str, str], ...], refused: bool
) -> None:
    routes = DefaultRoutes("interfaces", ((4, "198.51.100.1", "enp1s0"),), on_link)
    steps = changes(addresses__enp1s0=["198.51.100.11/32"])
    found = management_refusals(Desired("pve1", (routes,)), USUAL, host_of(Row("", steps)), steps)
    assert ["in no connected network" in refusal.what for refusal in found] == [True] * refused


def test_each_way_in_which_the_path_would_break_is_named() -> None:
    steps = changes(link__enp1s0={"up": False}, **{"unit__ssh.service": {"enabled": "masked", "active": False}})
    found = management_refusals(Desired("pve1", ()), LastApplied(), host_of(Row("", steps)), steps)
    assert [refusal.what.split(" ", 1)[0] for refusal in found] == ["enp1s0,", "the", "ssh.service"]


def test_listeners_that_could_not_be_read_prove_and_disprove_nothing() -> None:
    host = replace(host_of(Row("", ())), listeners=Unknown("`ss` is missing"))
    assert management_refusals(Desired("pve1", ()), LastApplied(), host, changes(sysctl__x="1")) == ()


def test_an_address_that_is_no_address_is_in_no_network() -> None:
    facts: dict[str, Observed[Json]] = {"addresses:enp1s0": Seen(["garbage", "198.51.100.11/24"]), "link:x": Absent()}
    assert (
        management_refusals(
            Desired("pve1", ()), LastApplied(), host_of(Row("", (), facts=facts)), changes(sysctl__x="1")
        )
        == ()
    )
