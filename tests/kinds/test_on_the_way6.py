"""What IPv6 needs on its way: forwarding, and the default route that a host learns from routers."""

from dataclasses import replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.states import Absent, Json, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.ending import shared
from service.resources.sysctls import FORWARDING6, Sysctl, accept_ra_key
from tests.laws.host import bare_host
from tests.laws.specs import FOLDER, head, spec_of

BOTH = (FOLDER / "forwards-ipv6.yaml").read_text()
LEARNING = BOTH.replace(', gateway6: "fe80::1"', "")
RA = accept_ra_key("enp1s0")


def settings6(text: str) -> list[Sysctl]:
    found = desire(spec_of(head() + text), KINDS).of_type(Sysctl)
    return sorted((one for one in found if one.key.startswith("net.ipv6.")), key=lambda one: one.phase)


def test_a_host_with_a_gateway_only_forwards() -> None:
    [forwarding] = settings6(BOTH)
    assert (forwarding.key, forwarding.value, forwarding.kept) == (FORWARDING6, "1", ("enp1s0",))
    assert "forwards: enp1s0 to proxy over IPv6" in forwarding.cause


def test_a_host_without_one_is_set_to_learn_it_before_it_forwards() -> None:
    learning, forwarding = settings6(LEARNING)
    assert (learning.key, learning.value, learning.also) == (RA, "2", ("0",))
    assert forwarding.kept == ("enp1s0",)
    assert learning.phase < forwarding.phase


def test_addresses_from_a_router_are_kept_beside_a_gateway_of_another_interface() -> None:
    text = BOTH.replace("bridges:", "  enp2s0: {ipv6: auto}\nbridges:", 1)
    learning, forwarding = settings6(text)
    assert (learning.key, forwarding.kept) == (accept_ra_key("enp2s0"), ("enp1s0", "enp2s0"))


@pytest.mark.parametrize(
    "text",
    [
        (FOLDER / "forwards.yaml").read_text(),
        BOTH.replace(', address6: "fd00:10::20"', "").replace("fd00:10::30", "10.10.10.30").replace(
            'source: ["2001:db8:80::/64", "2001:db8:81::7"]', "source: [192.0.2.7]"
        ),
    ],
    ids=["no guest of IPv6", "none that is published"],
)  # fmt: skip
def test_nothing_is_forwarded_that_nobody_asks_for(text: str) -> None:
    assert settings6(text) == []


def test_what_is_published_in_ipv6_alone_needs_no_forwarding_of_ipv4() -> None:
    text = BOTH[: BOTH.index("forwards:")].replace("nat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n", "")
    spec = spec_of(head() + text + 'forwards:\n  - {in: enp1s0, ports: 80, to: "fd00:10::30"}\n')
    assert {one.key for one in desire(spec, KINDS).of_type(Sysctl)} == {FORWARDING6}


def steps_and_refusals(routes: list[Json], *settings: Sysctl, now: str = "1") -> tuple[list[str], str]:
    desired = Desired.of("pve1", [*settings, *shared(settings)])
    host = bare_host(desired.watch)
    facts: dict[str, Seen[Json] | Absent | Unknown] = {"routes:default": Seen(routes), f"sysctl:{RA}": Seen(now)}
    plan = make_plan(desired, LastApplied(), replace(host, facts={**host.facts, **facts}))
    live = [step.fact for step in plan.steps if step.fact.startswith("sysctl:net.ipv6")]
    return live, " ".join(one.what for one in plan.refusals)


def test_forwarding_does_not_begin_where_it_would_end_a_learned_route() -> None:
    route: Json = {"family": 6, "via": "fe80::1", "dev": "enp2s0"}
    learning, forwarding = settings6(LEARNING)
    live, refused = steps_and_refusals([route], learning, forwarding)
    assert "the IPv6 default route goes through enp2s0, and forwarding of IPv6 would end it" in refused
    near: Json = {"family": 6, "via": "fe80::1", "dev": "enp1s0"}
    live, refused = steps_and_refusals([near], learning, forwarding)
    assert (live, "would end it" in refused) == ([f"sysctl:{RA}", f"sysctl:{FORWARDING6}"], False)
    assert steps_and_refusals([near], learning, forwarding, now="0")[0] == [f"sysctl:{FORWARDING6}"]
