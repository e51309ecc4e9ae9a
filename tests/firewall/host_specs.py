"""Sections of a spec for tests of the firewall of a host, and random ones."""

from typing import Any

from hypothesis import strategies as st

from service.firewall.host_firewall import HostFirewall
from service.firewall.icmp import ICMP_TYPES, ICMPV6_TYPES
from service.firewall.macros import macros
from service.kinds.claims import Claim
from service.kinds.firewall.derived import assemble
from service.kinds.packet_rules.checks import uncompilable
from service.kinds.packet_rules.levels import host_level, shared_level
from service.kinds.packet_rules.section import FirewallSection, SharedFirewallSection
from service.spec.host import Connection, HostSpec, Shared

Section = dict[str, Any]


def firewall_of(host: Section, fleet: Section | None = None, claims: tuple[Claim, ...] = ()) -> HostFirewall:
    """The firewall of sections as they would be written; one with a finding fails the test."""
    shared_section = SharedFirewallSection.model_validate(tuples(fleet)) if fleet is not None else None
    section = FirewallSection.model_validate(tuples(host))
    shared = Shared(sections={"firewall": shared_section} if shared_section else {})
    spec = HostSpec("pve1", "hosts/pve1.yaml", "debian", "auto", Connection("198.51.100.11", ()), {}, {}, shared)
    cluster, problems = shared_level(shared_section, shared)
    level, more = host_level(section, spec, cluster)
    assert [*problems, *more] == []
    firewall = assemble(section, spec, claims, derive=True)
    assert [*uncompilable(firewall, level.rules), *uncompilable(firewall, cluster.rules)] == []
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


def _plain(**fields: Any) -> st.SearchStrategy[Section]:
    return st.fixed_dictionaries(
        {"action": st.sampled_from(["accept", "drop", "reject"]), **fields},
        optional={"log": st.sampled_from(["info", "warning", "nolog", "debug"])},
    )


def _addresses(family: int) -> st.SearchStrategy[Section]:
    pool = [*(FOUR if family != 6 else []), *(SIX if family != 4 else [])]
    # a rule speaks of one family
    sets = ANY if family == 4 else [text for text in ANY if text.startswith("+")]
    one = st.sampled_from([*pool, *sets])
    return st.fixed_dictionaries({}, optional={"source": one, "dest": one})


def _transport(family: int) -> st.SearchStrategy[Section]:
    ports = st.sampled_from(PORTS)
    named = [name for name in macros() if family in macros()[name].families]
    types = [*(ICMPV6_TYPES if family == 6 else ICMP_TYPES)]
    return st.one_of(
        st.fixed_dictionaries(
            {"proto": st.sampled_from(["tcp", "udp", "sctp"])}, optional={"dport": ports, "sport": ports}
        ).filter(lambda made: made["proto"] != "sctp" or "https" not in made.values()),
        st.fixed_dictionaries({"proto": st.sampled_from(["gre", "esp", "47", "ospf", "112"])}),
        st.fixed_dictionaries({"macro": st.sampled_from(named)}),
        st.fixed_dictionaries(
            {"proto": st.just("icmpv6" if family == 6 else "icmp")}, optional={"icmp_type": st.sampled_from(types)}
        ),
        st.just({}),
    )


@st.composite
def rules(draw: st.DrawFn) -> Section:
    """One rule that has no finding."""
    family = draw(st.sampled_from([4, 6]))
    type_ = draw(st.sampled_from(["in", "in", "out", "forward", "group"]))
    if type_ == "group":
        return {"type": "group", "action": "web", **draw(st.sampled_from([{}, {"iface": "vmbr0"}]))}
    made = {"type": type_, **draw(_plain()), **draw(_addresses(family)), **draw(_transport(family))}
    if type_ == "forward" and made["action"] == "reject":
        made["action"] = "drop"
    if type_ != "forward" and draw(st.booleans()):
        made["iface"] = draw(st.sampled_from(["enp1s0", "vmbr0", "br-lan"]))
    return made


@st.composite
def sections(draw: st.DrawFn, most: int = 12) -> tuple[Section, Section]:
    """A host's section and fleet.yaml's."""
    policies = {
        "policy_in": draw(st.sampled_from(["accept", "drop", "reject"])),
        "policy_out": draw(st.sampled_from(["accept", "drop", "reject"])),
        "policy_forward": draw(st.sampled_from(["accept", "drop"])),
    }
    host = {**policies, "rules": draw(st.lists(rules(), max_size=most))}
    return host, {**FLEET, "rules": draw(st.lists(rules(), max_size=most // 3))}
