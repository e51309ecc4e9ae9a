"""Sections of a spec for tests of the firewall of a host, and random ones."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter

from service.firewall.host import HostFirewall
from service.firewall.terms.icmp import ICMP_TYPES, ICMPV6_TYPES
from service.firewall.terms.macros import macros
from service.kinds.claims import Claim, Filtered, Named
from service.kinds.firewall.derived import assemble
from service.kinds.guests import Guests, GuestsSection
from service.kinds.packet_rules.checks import uncompilable
from service.kinds.packet_rules.levels import guest_level, host_level
from service.kinds.packet_rules.section import DeriveSection, FirewallSection, SharedFirewallSection
from service.kinds.packet_rules.shared import shared_level
from service.spec.connections import Connection
from service.spec.host import HostSpec, Shared

Section = dict[str, Any]
SPEC = HostSpec("pve1", "hosts/pve1.yaml", "debian", "auto", Connection("198.51.100.11", ()), {}, {}, Shared())
READ_GUESTS: TypeAdapter[Any] = TypeAdapter(GuestsSection)


def firewall_of(
    host: Section, fleet: Section | None = None, claims: tuple[Claim, ...] = (), guests: Section | None = None
) -> HostFirewall:
    """The firewall of sections as they would be written; one with a finding fails the test."""
    shared_section = SharedFirewallSection.model_validate(tuples(fleet)) if fleet is not None else None
    section = FirewallSection.model_validate(tuples(host))
    shared = Shared(sections={"firewall": shared_section} if shared_section else {})
    spec = replace(SPEC, shared=shared)
    cluster, problems = shared_level(shared_section, shared)
    level, more = host_level(section, spec, cluster)
    assert [*problems, *more] == []
    if guests is not None:
        read = READ_GUESTS.validate_python(tuples(guests))
        claims = (*claims, Named("vmbr0", "bridge"), *Guests().claims(read))
        for claim in claims:
            if isinstance(claim, Filtered):
                assert guest_level(claim.guest, claim.section, spec, cluster)[1] == []
    firewall = assemble(section, spec, claims, derive=DeriveSection())
    levels = (level, cluster, *(guest.level for guest in firewall.guests))
    assert [found for one in levels for found in uncompilable(firewall, one.rules)] == []
    return firewall


def tuples(value: Any) -> Any:
    """Lists as the loader of specs gives them."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value


FLEET: Section = {
    "aliases": {"office": "192.0.2.0/24", "six": "2001:db8:1::/48"},
    "ipsets": {
        "bad": ["10.0.0.0/8", "!10.1.0.0/16", "10.1.2.3", "203.0.113.5", "2001:db8::/32", "!2001:db8:1::/48", "office"],
        "four": ["198.51.100.0/25", "198.51.100.128/25"],
        "none": [],
    },
    "groups": {"web": [{"type": "in", "action": "accept", "macro": "Web"}]},
}

FOUR = ["192.0.2.1", "192.0.2.0/24", "10.0.0.0/8", "10.1.2.3-10.1.2.9", "192.0.2.1,10.0.0.0/9,10.128.0.0/9", "office"]
SIX = ["2001:db8::1", "2001:db8::/32", "2001:db8::1-2001:db8::ff", "six", "::/0"]
ANY = ["+bad", "+four", "+none", "0.0.0.0/0"]
PORTS = ["22", "80,443", "1:1024", "53,8000:8010,8011", "https"]


def _transport(family: int) -> st.SearchStrategy[Section]:
    ports = st.sampled_from(PORTS)
    named = [name for name in macros() if family in macros()[name].families]
    types = [*(ICMPV6_TYPES if family == 6 else ICMP_TYPES)]
    both = {"dport": ports, "sport": ports}
    return st.one_of(
        st.fixed_dictionaries({"proto": st.sampled_from(["tcp", "udp"])}, optional=both),
        st.fixed_dictionaries(
            {"proto": st.just("sctp")}, optional={"dport": st.sampled_from([p for p in PORTS if p != "https"])}
        ),
        st.fixed_dictionaries({"proto": st.sampled_from(["gre", "esp", "47", "ospf", "112"])}),
        st.fixed_dictionaries({"macro": st.sampled_from(named)}),
        st.fixed_dictionaries(
            {"proto": st.just("icmpv6" if family == 6 else "icmp")}, optional={"icmp_type": st.sampled_from(types)}
        ),
        st.just({}),
    )


def _rules(types: list[str], interfaces: list[str]) -> st.SearchStrategy[Section]:
    """Rules that have no finding. Strategies are made once: making them is most of what drawing costs."""
    plain = st.fixed_dictionaries(
        {"type": st.sampled_from(types), "action": st.sampled_from(["accept", "drop", "reject"])},
        optional={"log": st.sampled_from(["info", "warning", "nolog", "debug"])},
    )
    group = st.fixed_dictionaries(
        {"type": st.just("group"), "action": st.just("web")},
        optional={"iface": st.sampled_from(interfaces)} if interfaces else {},
    )
    kinds = [
        st.tuples(plain, _addresses(family), _transport(family), st.sampled_from(["", "", *interfaces])).map(_merged)
        for family in (4, 4, 6, 6)
    ]
    return st.one_of(*kinds, group)


def _merged(parts: tuple[Section, Section, Section, str]) -> Section:
    plain, addresses, transport, interface = parts
    made = {**plain, **addresses, **transport}
    if made["type"] == "forward" and made["action"] == "reject":
        made["action"] = "drop"
    if made["type"] != "forward" and interface:
        made["iface"] = interface
    return made


def _addresses(family: int) -> st.SearchStrategy[Section]:
    # a rule is for one family
    pool = [*SIX, *(text for text in ANY if text.startswith("+"))] if family == 6 else [*FOUR, *ANY]
    one = st.sampled_from(pool)
    return st.fixed_dictionaries({}, optional={"source": one, "dest": one})


HOST_RULES = _rules(["in", "in", "out", "forward"], ["enp1s0", "vmbr0", "br-lan"])
GUEST_RULES = _rules(["in", "in", "out"], [])
POLICIES = st.fixed_dictionaries(
    {
        "policy_in": st.sampled_from(["accept", "drop", "reject"]),
        "policy_out": st.sampled_from(["accept", "drop", "reject"]),
        "policy_forward": st.sampled_from(["accept", "drop"]),
    }
)


def sections(most: int = 12) -> st.SearchStrategy[tuple[Section, Section]]:
    """A host's section and fleet.yaml's."""
    return st.tuples(
        st.tuples(POLICIES, st.lists(HOST_RULES, max_size=most)).map(lambda made: {**made[0], "rules": made[1]}),
        st.lists(HOST_RULES, max_size=most // 3).map(lambda rules: {**FLEET, "rules": rules}),
    )


GUESTS: Section = {
    "dev": {"mac": "bc:24:11:00:00:01", "address": "10.10.10.10", "address6": "2001:db8:aaaa::10"},
    "web": {"mac": "bc:24:11:00:00:02", "address": "10.10.10.20", "address6": "2001:db8:aaaa::20"},
}


def guest_sections(most: int = 6) -> st.SearchStrategy[Section]:
    """Two guests, some with rules of their own."""
    section = st.fixed_dictionaries(
        {
            "policy_in": st.sampled_from(["accept", "drop", "reject"]),
            "policy_out": st.sampled_from(["accept", "accept", "drop", "reject"]),
            "rules": st.lists(GUEST_RULES, max_size=most),
            "macfilter": st.booleans(),
            "ipfilter": st.booleans(),
        }
    )
    return st.fixed_dictionaries(
        {
            name: st.fixed_dictionaries(
                {key: st.just(value) for key, value in guest.items()},
                optional={"port": st.just(f"veth-{name}"), "firewall": section},
            )
            for name, guest in GUESTS.items()
        }
    )
