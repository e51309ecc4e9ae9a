"""Names of guests: from the spec and from the guests' own settings; what dnsmasq takes up live and what it does not."""

from dataclasses import replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, Lease
from service.model.plans import Plan
from service.model.states import Absent, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from service.resources.guests_known import GUESTS_FILE
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import head, spec_of

LEASES = "leases:/var/lib/misc/dnsmasq.leases"
SPEC = """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges: {vmbr0: {addresses: [10.10.10.1/24]}}
packages: {dnsmasq: present}
dnsmasq:
  names: declared
  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}]
"""
DEV, WEB = "bc:24:11:00:00:01", "bc:24:11:00:00:02"
LXC = "/etc/pve/lxc/101.conf"
ALPINE = f"""\
hostname: alpine.lan
net0: name=eth0,bridge=vmbr0,hwaddr={WEB.upper()},ip=dhcp,type=veth
[pve:pending]
hostname: other
[snapshot]
hostname: older
"""


def host_with(guests: str, files: dict[str, str] | None = None) -> HostObserved:
    """The host after this spec was applied to it."""
    desired = desire(spec_of(head() + SPEC + guests), KINDS)
    host = bare_host(desired.watch, {path: text.encode() for path, text in (files or {}).items()})
    return after_plan(host, make_plan(desired, LastApplied(), host))


def plan_for(guests: str, host: HostObserved) -> Plan:
    return make_plan(desire(spec_of(head() + SPEC + guests), KINDS), LastApplied({}, exists=True), host)


def told(plan: Plan) -> dict[str, object]:
    return {step.fact: step.after for step in plan.steps}


def own_file(host: HostObserved) -> list[str]:
    text = host.text(GUESTS_FILE)
    return text.value.decode().splitlines()[1:] if isinstance(text, Seen) else []


ONE = f"guests: {{dev: {{mac: '{DEV}'}}}}\n"
TWO = f"guests: {{dev: {{mac: '{DEV}'}}, web: {{mac: '{WEB}', address: 10.10.10.20}}}}\n"


def test_each_name_stands_with_its_mac_and_again_for_strangers_that_claim_it() -> None:
    assert own_file(host_with(TWO)) == [
        f"{DEV},dev",
        f"{WEB},10.10.10.20,web",
        "set:passerelle-declared,dev",
        "set:passerelle-declared,web",
    ]


def test_a_new_guest_is_one_file_and_no_restart() -> None:
    assert list(told(plan_for(TWO, host_with(ONE)))) == [f"file:{GUESTS_FILE}"]


def test_a_guest_that_goes_loses_its_name_while_dnsmasq_starts_anew() -> None:
    steps = told(plan_for(ONE, host_with(TWO)))
    assert list(steps) == [f"file:{GUESTS_FILE}", LEASES]
    assert steps[LEASES] == {"unnamed": [f"{WEB} web"]}


def test_a_new_name_is_taken_up_and_the_old_one_is_free_again() -> None:
    steps = told(plan_for(ONE.replace("dev", "dev2"), host_with(ONE)))
    assert steps[LEASES] == {"unnamed": []}


def test_without_the_key_all_names_go() -> None:
    steps = told(plan_for("", host_with(TWO)))
    assert steps[f"file:{GUESTS_FILE}"] is None
    assert steps[LEASES] == {"unnamed": [f"{DEV} dev", f"{WEB} web"]}


def test_a_file_that_somebody_removed_is_written_and_dnsmasq_reads_its_folder_anew() -> None:
    host = host_with(ONE)
    gone = {GUESTS_FILE: Absent()}
    host = replace(host, texts={**host.texts, **gone}, facts={**host.facts, f"file:{GUESTS_FILE}": Absent()})
    assert told(plan_for(ONE, host))[LEASES] == {"unnamed": []}


def test_a_lease_file_that_moves_takes_its_leases_along_with_one_step() -> None:
    moved = SPEC.replace("end: 10.10.10.200", "end: 10.10.10.200, lease_file: /var/lib/dnsmasq/leases")
    host = host_with(TWO)
    host = replace(host, texts={**host.texts, "/var/lib/misc/dnsmasq.leases": Seen(b"")})
    plan = make_plan(desire(spec_of(head() + moved + ONE), KINDS), LastApplied({}, exists=True), host)
    found = {fact: after for fact, after in told(plan).items() if fact.startswith("leases:")}
    wanted = {"from": "/var/lib/misc/dnsmasq.leases", "unnamed": [f"{WEB} web"]}
    assert found == {"leases:/var/lib/dnsmasq/leases": wanted}


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        (LXC, ALPINE, [f"{WEB},alpine"]),
        (LXC, ALPINE.replace("ip=dhcp", "ip=10.10.10.30/24"), [f"{WEB},10.10.10.30,alpine"]),
        (LXC, ALPINE.replace("vmbr0", "vmbr9"), []),
        (LXC, "template: 1\n" + ALPINE, []),
        (LXC, ALPINE.replace("alpine.lan", "dev"), []),
        ("/etc/pve/qemu-server/100.conf", f"name: Win\nnet0: virtio={WEB.upper()},bridge=vmbr0\n", [f"{WEB},win"]),
        (
            "/var/lib/lxc/box/config",
            f"lxc.net.0.link = vmbr0\nlxc.net.0.hwaddr = {WEB}\nlxc.uts.name = Box\n",
            [f"{WEB},box"],
        ),
        ("/var/lib/lxc/box/config", "lxc.net.0.link = vmbr0\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\n", []),
    ],
)
def test_a_guest_is_named_by_its_own_settings(path: str, text: str, named: list[str]) -> None:
    lines = [line for line in own_file(host_with(ONE, {path: text})) if not line.startswith("set:")]
    assert sorted(lines) == sorted([f"{DEV},dev", *named])


FAR = "start: 10.10.10.150, end: 10.10.10.200"
RANGE = "start: 10.10.10.100, end: 10.10.10.200"


def notes(before: str, after: str) -> list[str]:
    """What a plan says of the change, on a host where dev and web have leases."""
    desired = desire(spec_of(head() + before), KINDS)
    host = bare_host(desired.watch)
    host = after_plan(host, make_plan(desired, LastApplied(), host))
    leases = (
        Lease(DEV, "10.10.10.135", "dev", 0),
        Lease(WEB, "10.10.10.137", "web", 0),
        Lease("x", "10.10.10.140", "", 1),
    )
    host = replace(host, leases=Seen(leases))
    return list(make_plan(desire(spec_of(head() + after), KINDS), LastApplied({}, exists=True), host).notes)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (TWO, TWO, []),
        (ONE, TWO.replace(", address: 10.10.10.20", ""), []),
        (TWO, ONE, ["the name web is removed: 10.10.10.137 then has no name"]),
        (ONE, ONE.replace("dev", "dev2"), ["the name dev is removed: 10.10.10.135 then has the name dev2"]),
        (ONE, ONE.replace(DEV, "bc:24:11:00:00:09"), [
            f"the name dev goes from {DEV}, which has 10.10.10.135 now, to bc:24:11:00:00:09"
        ]),
        (ONE, ONE.replace("'}", "', address: 10.10.10.30}"), [
            "dev keeps 10.10.10.135 until it asks for an address again, for its lease does not end, "
            "and has 10.10.10.30 then"
        ]),
    ],
)  # fmt: skip
def test_a_plan_says_what_becomes_of_the_guests_names(before: str, after: str, said: list[str]) -> None:
    assert notes(SPEC + before, SPEC + after) == said


@pytest.mark.parametrize(
    ("pool", "guests", "said"),
    [
        ("start: 10.10.10.90, end: 10.10.10.210", "", []),
        ("start: 10.10.10.136, end: 10.10.10.200", "", ["strands 1 active lease: 10.10.10.135 (dev)"]),
        (
            "start: 10.10.10.150, end: 10.10.10.200",
            "",
            ["strands 2 active leases: 10.10.10.135 (dev), 10.10.10.137 (web)"],
        ),
        (
            FAR,
            ONE.replace("'}", "', address: 10.10.10.135}"),
            ["strands 1 active lease: 10.10.10.137 (web)"],
        ),
    ],
)
def test_a_plan_says_which_leases_a_new_range_strands(pool: str, guests: str, said: list[str]) -> None:
    found = notes(SPEC, SPEC.replace(RANGE, pool) + guests)
    assert found == [f"{words}; these guests get another address when they renew" for words in said]


def test_settings_that_cannot_be_read_name_and_unname_nobody() -> None:
    host = host_with(ONE, {LXC: ALPINE})
    plan = plan_for(ONE, replace(host, texts={**host.texts, LXC: Unknown("it changed while it was read")}))
    assert (plan.steps, [refusal.rule for refusal in plan.refusals]) == ((), ["unknown"])


def test_settings_count_only_where_the_spec_speaks_of_guests_and_does_not_say_no() -> None:
    silent = SPEC.replace("names: declared", "guest_configs: false")
    for spec in (SPEC, silent + ONE):
        desired = desire(spec_of(head() + spec), KINDS)
        assert not [path for path in desired.watch.files if path.startswith("/etc/pve")]


ELSEWHERE = f"guests: {{dev: {{mac: '{DEV}'}}, web: {{mac: '{WEB}', address: 10.10.10.20}}}}\n"
FORWARD = "nat: [{source: 10.10.10.0/24, out: enp1s0}]\nforwards: [{in: enp1s0, ports: [80, 443], to: web}]\n"


def leased(host: HostObserved, *leases: Lease) -> HostObserved:
    return replace(host, leases=Seen(leases))


@pytest.mark.parametrize("expires", [5_000_000_000, 0])
def test_a_fixed_address_for_a_guest_that_holds_another_lease_names_that_lease(expires: int) -> None:
    host = leased(host_with(ONE), Lease(WEB, "10.10.10.143", "", expires), Lease(DEV, "10.10.10.110", "dev", 0))
    plan = plan_for(ELSEWHERE + FORWARD, host)
    assert told(plan)[LEASES] == {"unnamed": [], "named": [f"{WEB} web"]}
    (note,) = [note for note in plan.notes if note.startswith("web ")]
    until = "it renews its lease, at 2128-06-11 08:53 UTC at the latest" if expires else "it asks for an address again"
    assert f"web keeps 10.10.10.143 until {until}" in note
    assert note.endswith("and has 10.10.10.20 then. Until then tcp/80,443 on enp1s0 reaches nobody")


@pytest.mark.parametrize(
    ("lease", "named"),
    [
        (Lease(WEB, "10.10.10.20", "", 0), False),  # its own address: dnsmasq names it on its own
        (Lease(WEB, "10.10.10.143", "web", 0), False),  # the name stays with the lease
        (Lease(WEB, "10.10.10.143", "", 1), False),  # it has run out
        (Lease(WEB, "fd00:10::143", "", 0), False),
        (Lease("bc:24:11:00:00:09", "10.10.10.143", "", 0), False),
        (Lease(WEB, "10.10.10.143", "", 0), True),
    ],
)
def test_only_a_lease_that_dnsmasq_does_not_name_itself_is_named(lease: Lease, named: bool) -> None:
    plan = plan_for(ELSEWHERE, leased(host_with(ONE), lease))
    assert (LEASES in told(plan)) == named


def test_a_stranger_that_has_the_name_loses_it() -> None:
    stranger = Lease("bc:24:11:00:00:09", "10.10.10.144", "web", 0)
    plan = plan_for(ELSEWHERE, leased(host_with(ONE), Lease(WEB, "10.10.10.143", "", 0), stranger))
    assert told(plan)[LEASES] == {"unnamed": ["bc:24:11:00:00:09 web"], "named": [f"{WEB} web"]}


def test_leases_that_could_not_be_read_are_left_alone() -> None:
    plan = plan_for(ELSEWHERE, replace(host_with(ONE), leases=Unknown("garbled")))
    assert LEASES not in told(plan)


def test_an_address_that_the_guest_gets_later_is_said_with_what_leads_to_it() -> None:
    only_mac = f"guests: {{dev: {{mac: '{DEV}'}}, web: {{mac: '{WEB}'}}}}\n"
    host = leased(host_with(only_mac), Lease(WEB, "10.10.10.143", "web", 5_000_000_000))
    plan = plan_for(ELSEWHERE + FORWARD, host)
    assert LEASES not in told(plan)
    assert [n for n in plan.notes if n.startswith("web keeps 10.10.10.143") and "tcp/80,443 on enp1s0" in n]


HELD = Lease(DEV, "10.10.10.20", "dev", 5_000_000_000)
AT = "at 2128-06-11 08:53 UTC at the latest"


@pytest.mark.parametrize(
    ("leases", "expected"),
    [
        ((HELD,), "Before that web gets another address, and has 10.10.10.20 when it asks for an address after that"),
        (
            (HELD, Lease(WEB, "10.10.10.143", "web", 5_000_000_000)),
            "Before that web keeps 10.10.10.143, and has 10.10.10.20 when it asks for an address after that",
        ),
    ],
)
def test_an_address_that_another_guest_has_is_said_with_who_has_it(leases: tuple[Lease, ...], expected: str) -> None:
    """dnsmasq gives it to nobody else until the other one renews, and what is forwarded reaches the other one."""
    plan = plan_for(ELSEWHERE + FORWARD, leased(host_with(ONE), *leases))
    (note,) = [one for one in plan.notes if "10.10.10.20" in one]
    assert note == (
        f"dev ({DEV}) has 10.10.10.20 until it renews its lease, {AT}. {expected}. "
        f"Until then tcp/80,443 on enp1s0 reaches dev ({DEV})"
    )


def test_two_guests_that_swap_their_addresses_are_both_said() -> None:
    swapped = f"guests: {{dev: {{mac: '{DEV}', address: 10.10.10.20}}, web: {{mac: '{WEB}', address: 10.10.10.30}}}}\n"
    leases = Lease(DEV, "10.10.10.30", "dev", 0), Lease(WEB, "10.10.10.20", "", 0)
    plan = plan_for(swapped, leased(host_with(ONE), *leases))
    assert told(plan)[LEASES] == {"unnamed": [], "named": [f"{WEB} web"]}
    assert [note.split(" until")[0] for note in plan.notes] == [
        f"{WEB} has 10.10.10.20", f"dev ({DEV}) has 10.10.10.30",
    ]  # fmt: skip


def test_what_has_the_address_already_is_not_said() -> None:
    plan = plan_for(
        ELSEWHERE, leased(host_with(ONE), Lease(WEB, "10.10.10.20", "web", 0), Lease(DEV, "10.10.10.9", "dev", 0))
    )
    assert not [note for note in plan.notes if "10.10.10.20" in note]
