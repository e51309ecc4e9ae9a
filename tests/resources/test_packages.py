"""What a change of packages may take along, and which services a spec may switch: by what the host says of them."""

from dataclasses import replace

import pytest

from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Absent, Observed, Seen, Unknown
from service.model.weighed import PackageMove, Weighed
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.packages import Package
from service.resources.units import Unit
from tests.laws.host import bare_host

SFTP, SERVER = PackageMove("openssh-sftp-server", old="1"), PackageMove("openssh-server", old="1")
PLAIN = {"UnitFileState": "enabled", "WantedBy": "multi-user.target", "Before": "shutdown.target"}


def host_of(desired: Desired, weighed: Observed[Weighed], *, there: bool = True) -> HostObserved:
    host = bare_host(desired.watch)
    units = {f"unit:{name}": Seen({"enabled": "enabled", "active": True}) for name in desired.watch.units}
    packages: dict[str, Observed[str]] = {name: Seen("1") if there else Absent() for name in desired.watch.packages}
    return replace(host, packages=packages, weighed=weighed, facts={**host.facts, **units})


def removing(*moves: PackageMove, named: tuple[str, ...], flags: dict[str, tuple[str, ...]] | None = None) -> Plan:
    desired = Desired.of("pve1", [Package("packages", name, "absent") for name in named])
    weighed = Weighed(remove=Seen(moves), flags=flags or {})
    return make_plan(desired, LastApplied(), host_of(desired, Seen(weighed)))


def installing(*moves: PackageMove, named: str = "dnsmasq", unavailable: tuple[str, ...] = ()) -> Plan:
    desired = Desired.of("pve1", [Package("packages", named, "present")])
    weighed = Weighed(install=Seen(moves), unavailable=unavailable)
    return make_plan(desired, LastApplied(), host_of(desired, Seen(weighed), there=False))


def rules(plan: Plan) -> list[str]:
    return [refusal.rule for refusal in plan.refusals]


def test_a_package_goes_in_a_step_that_a_person_has_to_approve() -> None:
    plan = removing(PackageMove("tcpdump", old="4.99"), named=("tcpdump",))
    assert rules(plan) == []
    assert [(s.fact, s.before, s.after, bool(s.risk)) for s in plan.steps] == [
        ("package:tcpdump", {"version": "1"}, None, True)
    ]
    assert plan.least_deadline_s == 40


def test_what_would_go_along_is_in_the_plan_and_in_its_digest_and_refused() -> None:
    plan = removing(SERVER, SFTP, named=("openssh-sftp-server",))
    assert rules(plan) == ["beyond-named", "vital"]
    assert plan.refusals[0].what == (
        "with openssh-sftp-server, apt would remove openssh-server as well: SSH to the host needs it"
    )
    assert [(p.name, p.action, p.named) for p in plan.packages] == [
        ("openssh-server", "remove", False),
        ("openssh-sftp-server", "remove", True),
    ]
    assert plan.digest != removing(SFTP, named=("openssh-sftp-server",)).digest


@pytest.mark.parametrize(
    ("move", "named", "flags", "rule"),
    [
        (PackageMove("python3.11", old="1"), "python3.11", (), "vital"),
        (PackageMove("linux-image-6.1.0-30-amd64", old="1"), "linux-image-6.1.0-30-amd64", (), "vital"),
        (PackageMove("bridge-utils", old="1"), "bridge-utils", (), "vital"),
        (PackageMove("wireguard-tools", old="1"), "wireguard-tools", (), "vital"),
        (PackageMove("site-base", old="1"), "site-base", ("essential",), "vital"),
        (PackageMove("site-base", old="1"), "site-base", ("protected",), "vital"),
        (PackageMove("site-base", old="1"), "site-base", ("required",), "vital"),
        (PackageMove("another", version="2"), "tcpdump", (), "beyond-named"),
    ],
)
def test_what_the_host_hangs_on_never_goes(move: PackageMove, named: str, flags: tuple[str, ...], rule: str) -> None:
    assert rule in rules(removing(move, named=(named,), flags={move.name: flags}))


@pytest.mark.parametrize(
    ("moves", "rule"),
    [
        ((PackageMove("dnsmasq", "2"), PackageMove("dnsmasq-base", "2")), None),
        ((PackageMove("dnsmasq", "2"), PackageMove("ifupdown2", old="3")), "beyond-named"),
        ((PackageMove("dnsmasq", "2"), PackageMove("libc6", "3", "2")), "beyond-named"),
        ((PackageMove("dnsmasq", "2"), PackageMove("network-manager", "3")), "vital"),
        ((PackageMove("dnsmasq", "2"), PackageMove("linux-image-amd64", "3")), "vital"),
        ((PackageMove("dnsmasq-utils", "2"),), "no-way"),
    ],
)
def test_what_comes_along_is_shown_and_what_goes_or_changes_for_it_is_refused(
    moves: tuple[PackageMove, ...], rule: str | None
) -> None:
    plan = installing(*moves)
    assert rules(plan) == ([rule] if rule else [])
    assert [p.name for p in plan.packages] == [move.name for move in moves]


def test_a_name_that_apt_does_not_know_is_refused_before_anything_is_armed() -> None:
    plan = installing(named="dnsm.sq", unavailable=("dnsm.sq",))
    assert (rules(plan), plan.packages) == (["no-way"], ())


@pytest.mark.parametrize(
    "weighed", [Unknown("another process holds apt's lock"), Seen(Weighed(remove=Unknown("lock")))]
)
def test_where_nobody_can_say_what_apt_would_do_nothing_is_done(weighed: Observed[Weighed]) -> None:
    desired = Desired.of("pve1", [Package("packages", "tcpdump", "absent")])
    plan = make_plan(desired, LastApplied(), host_of(desired, weighed))
    assert (rules(plan), plan.steps) == (["unknown"], ())


def test_nftables_stays_where_a_table_of_ours_is() -> None:
    desired = Desired.of("pve1", [Package("packages", "nftables", "absent")])
    host = host_of(desired, Seen(Weighed(remove=Seen((PackageMove("nftables", old="1"),)))))
    assert rules(make_plan(desired, LastApplied(), host)) == []
    ours = replace(host, facts={**host.facts, "nft:inet passerelle": Seen({"normal": []})})
    assert rules(make_plan(desired, LastApplied(), ours)) == ["vital"]


def switching(name: str, state: str, **shown: str) -> Plan:
    desired = Desired.of("pve1", [Unit("services", name, state, free=True)])  # type: ignore[arg-type]
    units = {name: {"Id": name, **PLAIN, **{key.replace("_", " "): value for key, value in shown.items()}}}
    return make_plan(desired, LastApplied(), host_of(desired, Seen(Weighed(units=units))))


@pytest.mark.parametrize(
    ("name", "state"), [("cron.service", "disabled"), ("exim4.service", "masked"), ("named.service", "disabled")]
)
def test_a_service_that_nothing_hangs_on_may_be_switched(name: str, state: str) -> None:
    assert rules(switching(name, state)) == []


@pytest.mark.parametrize(
    ("name", "state", "shown", "said"),
    [
        ("systemd-poweroff.service", "enabled", {}, "it stops, isolates or starts the host"),
        ("rescue.service", "enabled", {}, "it stops, isolates or starts the host"),
        ("passerelle-recover.service", "disabled", {}, "automatic rollback needs it"),
        ("ssh.service", "masked", {}, "the connection to the host may need it"),
        ("networking.service", "disabled", {}, "the connection to the host may need it"),
        ("wg-quick@wg0.service", "disabled", {}, "the connection to the host may need it"),
        ("getty@tty1.service", "disabled", {}, "the boot or the console"),
        ("site.service", "disabled", {"UnitFileState": "static"}, "no [Install] section"),
        ("site.service", "enabled", {"UnitFileState": "masked"}, "it is masked"),
        ("site.service", "disabled", {"Id": "ssh.service"}, "another name of ssh.service"),
        ("site.service", "disabled", {"RequiredBy": "ssh.service"}, "ssh.service cannot run without it"),
        ("site.service", "masked", {"BoundBy": "app.service"}, "app.service cannot run without it"),
        ("site.service", "disabled", {"WantedBy": "sysinit.target"}, "a part of the boot (sysinit.target)"),
        ("site.service", "disabled", {"[Install]_WantedBy": "network-online.target"}, "a part of the boot"),
        ("site.service", "disabled", {"[Install]_Also": "ssh.socket"}, "section names ssh.socket"),
        ("site.service", "enabled", {"SuccessAction": "poweroff-force"}, "would poweroff-force the host"),
        ("site.service", "enabled", {"Requires": "reboot.target"}, "it leads to reboot.target"),
        ("site.service", "enabled", {"Conflicts": "shutdown.target ssh.service"}, "its start stops ssh.service"),
        ("site.service", "enabled", {"Before": "networking.service"}, "networking.service would wait for it at boot"),
        ("named.service", "disabled", {"RequiredBy": "ssh.service"}, "ssh.service cannot run without it"),
    ],
)
def test_a_service_that_something_hangs_on_is_refused(name: str, state: str, shown: dict[str, str], said: str) -> None:
    if shown.get("UnitFileState") == "masked" or state == "enabled":
        desired = Desired.of("pve1", [Unit("services", name, state, free=True)])  # type: ignore[arg-type]
        units = {name: {"Id": name, **PLAIN, **{key.replace("_", " "): value for key, value in shown.items()}}}
        host = host_of(desired, Seen(Weighed(units=units)))
        off = {**host.facts, f"unit:{name}": Seen({"enabled": "disabled", "active": False})}
        plan = make_plan(desired, LastApplied(), replace(host, facts=off))
    else:
        plan = switching(name, state, **shown)
    told = [refusal.what for refusal in plan.refusals if refusal.rule == "vital"]
    assert told and said in told[0], plan.refusals


def test_what_systemd_does_not_say_stops_a_change() -> None:
    desired = Desired.of("pve1", [Unit("services", "cron.service", "disabled", free=True)])
    assert rules(make_plan(desired, LastApplied(), host_of(desired, Seen(Weighed())))) == ["unknown"]
    assert rules(make_plan(desired, LastApplied(), host_of(desired, Unknown("not asked")))) == ["unknown"]
