"""fail2ban's jails on a host: who is spared, what is drift, what goes when nobody wants it."""

import re
from dataclasses import replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, ManagementPath
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.reconcile.decide import decide
from service.resources.bans import FILTER, FILTER_FILE, JAILS_FILE
from service.resources.desired import Desired, LastApplied
from tests.laws.host import after_plan, bare_host, file_fact
from tests.laws.specs import FOLDER, desired_of, head, spec_of

SEED = (FOLDER / "seed.yaml").read_text()
RULES = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH, source: "192.0.2.7,198.51.100.0/25"}
    - {type: in, action: accept, macro: SSH, source: 198.18.0.0/16}
    - {type: in, action: accept, proto: tcp, dport: "20:30", source: 203.0.113.64/26, enable: false}
    - {type: in, action: accept, macro: HTTP, source: 203.0.113.9}
    - {type: in, action: accept, macro: SSH}
"""
UNIT = "unit:fail2ban.service"


def applied(desired: Desired) -> HostObserved:
    host = bare_host(desired.watch)
    return after_plan(host, make_plan(desired, LastApplied(), host))


def jails_of(host: HostObserved) -> str:
    text = host.texts[JAILS_FILE]
    assert isinstance(text, Seen)
    return text.value.decode()


def base_of(desired: Desired) -> LastApplied:
    return LastApplied.from_json(desired.as_json())


def test_the_service_the_spec_and_whom_the_firewall_names_are_spared() -> None:
    spec = head() + SEED + RULES + "fail2ban: {jails: [sshd], ignoreip: 2001:db8::1}\n"
    text = jails_of(applied(desire(spec_of(spec), KINDS)))
    line = "ignoreip = 127.0.0.1/8 ::1 198.18.0.10 2001:db8::1 192.0.2.7/32 198.51.100.0/25\n"
    assert line in text
    assert "[sshd]\nbackend = systemd\nbanaction = nftables[type=multiport]\nenabled = true\n" in text
    assert 'filter = sshd[mode=%(mode)s, _daemon="sshd(?:-session)?"]\n' in text
    assert "journalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session\nport = ssh\n" in text


def test_a_service_that_comes_from_elsewhere_is_spared_from_then_on() -> None:
    desired = desired_of("fail2ban")
    host = applied(desired)
    moved = replace(host, path=ManagementPath("198.18.0.99", "198.51.100.11", 22))
    plan = make_plan(desired, base_of(desired), moved)
    assert [(d.difference.field, d.difference.where) for d in plan.drifts] == [("sshd.ignoreip", "file")]
    after = after_plan(moved, plan)
    assert "198.18.0.99" in jails_of(after)
    assert "198.18.0.10 " not in jails_of(after)
    assert next(step.restart for step in plan.steps if step.fact == UNIT)


def test_a_jail_that_is_not_up_is_started_again() -> None:
    desired = desired_of("fail2ban")
    host = replace(applied(desired), bans=Seen({"recidive": ()}))
    plan = make_plan(desired, base_of(desired), host)
    assert [(d.difference.resource, d.difference.field, d.moved) for d in plan.drifts] == [("sshd", "jail", "host")]
    assert [(step.fact, step.restart) for step in plan.steps] == [(UNIT, True)]


@pytest.mark.parametrize(
    ("what", "words"), [("journalmatch", "choice of journal entries"), ("filter", "filter leaves out")]
)
def test_a_jail_that_cannot_hear_sshd_is_drift_that_no_step_mends(what: str, words: str) -> None:
    desired = desired_of("fail2ban")
    host = replace(applied(desired), deaf={"sshd": (what, "sshd-session")})
    plan = make_plan(desired, base_of(desired), host)
    assert [(d.difference.resource, d.difference.field, d.moved) for d in plan.drifts] == [("sshd", "hears", "host")]
    assert plan.steps == ()
    decision = decide(plan, "auto", latched=False, request=None)
    assert (decision.action, decision.sync) == ("nothing", "OutOfSync")
    assert "fail2ban's jail sshd is up and bans nobody" in decision.message
    assert words in decision.message
    assert "`sshd-session`" in decision.message
    assert "Fix: " in decision.message


def test_a_jail_of_an_older_service_that_hears_nothing_is_written_anew() -> None:
    desired = desired_of("fail2ban")
    host = applied(desired)
    older = "".join(line for line in jails_of(host).splitlines(keepends=True) if "sshd-session" not in line).encode()
    facts = {**host.facts, f"file:{JAILS_FILE}": Seen(file_fact(older))}
    deaf = replace(
        host, facts=facts, texts={**host.texts, JAILS_FILE: Seen(older)}, deaf={"sshd": ("filter", "sshd-session")}
    )
    plan = make_plan(desired, base_of(desired), deaf)
    assert [step.fact for step in plan.steps] == [f"file:{JAILS_FILE}", UNIT]
    assert plan.steps[-1].restart
    assert "sshd-session" in jails_of(after_plan(deaf, plan))


def test_who_is_banned_is_no_drift_and_what_cannot_be_read_is_not_absent() -> None:
    desired = desired_of("fail2ban")
    host = applied(desired)
    assert make_plan(desired, base_of(desired), replace(host, bans=Seen({"sshd": ("192.0.2.1",)}))).is_empty
    blind = make_plan(desired, base_of(desired), replace(host, bans=Unknown("no answer")))
    assert blind.is_empty
    assert [refusal.rule for refusal in blind.refusals] == ["unknown"]


@pytest.mark.parametrize(
    ("others", "after"),
    [
        ({}, "disabled"),
        ({"/etc/fail2ban/jail.local": Absent()}, "disabled"),
        ({"/etc/fail2ban/jail.d/mine.conf": Seen(b"")}, "enabled"),
        ({"/etc/fail2ban/jail.d/mine.conf": Unknown("it is not a plain file but a link")}, "enabled"),
    ],
)
def test_without_the_section_fail2ban_ends_unless_somebody_else_has_jails(
    others: dict[str, Observed[bytes]], after: str
) -> None:
    wanted = desired_of("fail2ban")
    host = applied(wanted)
    texts = {**host.texts, **others}
    facts: dict[str, Observed[Json]] = dict(host.facts)
    for path, content in others.items():
        facts[f"file:{path}"] = Seen(file_fact(content.value)) if isinstance(content, Seen) else content
    bare = desire(spec_of(head() + (FOLDER / "fail2ban.yaml").read_text().partition("fail2ban:")[0]), KINDS)
    plan = make_plan(bare, base_of(wanted), replace(host, texts=texts, facts=facts))
    by_fact = {step.fact: step for step in plan.steps}
    assert by_fact[f"file:{JAILS_FILE}"].after is None
    assert by_fact[UNIT].after == {"enabled": after, "active": after == "enabled"}
    assert by_fact[UNIT].restart == (after == "enabled")


def test_nothing_goes_while_fail2ban_is_just_being_started() -> None:
    """Without our file nothing would tell later that the unit still runs."""
    wanted = desired_of("fail2ban")
    host = applied(wanted)
    bare = desire(spec_of(head() + (FOLDER / "fail2ban.yaml").read_text().partition("fail2ban:")[0]), KINDS)
    starting = replace(host, facts={**host.facts, UNIT: Unknown("fail2ban.service is just being started or stopped")})
    plan = make_plan(bare, base_of(wanted), starting)
    assert plan.is_empty
    assert [refusal.rule for refusal in plan.refusals] == ["unknown"]
    assert decide(plan, "auto", latched=False, request=None).sync != "Synced"
    by_fact = {step.fact: step.after for step in make_plan(bare, base_of(wanted), host).steps}
    assert by_fact == {f"file:{JAILS_FILE}": None, UNIT: {"enabled": "disabled", "active": False}}


def test_a_host_that_never_had_it_is_left_alone() -> None:
    desired = desired_of("seed")
    host = replace(bare_host(desired.watch), bans=Absent())
    facts = {**host.facts, UNIT: Seen({"enabled": "enabled", "active": True})}
    assert UNIT not in {step.fact for step in make_plan(desired, LastApplied(), replace(host, facts=facts)).steps}


def test_on_proxmox_the_filter_is_anchored() -> None:
    spec = (head() + (FOLDER / "fail2ban.yaml").read_text()).replace("platform: debian", "platform: proxmox")
    wishes = desire(spec_of(spec.replace("[sshd]", "[sshd, proxmox]")), KINDS).wishes
    assert ("fail2ban", FILTER_FILE, "Definition.failregex", "file") in wishes
    assert wishes["fail2ban", JAILS_FILE, "proxmox.port", "file"] == "https,http,8006"
    (expression,) = re.findall(rb"^failregex = (.*)$", FILTER, re.MULTILINE)
    pattern = re.compile(expression.decode().replace("<ADDR>", r"(?P<addr>\S+)"))
    said = "pve1 pvedaemon[12]: authentication failure; rhost=::ffff:192.0.2.9 user=root@pam msg=no"
    assert (match := pattern.match(said))
    assert match["addr"] == "::ffff:192.0.2.9"
    forged = "pvedaemon[1]: authentication failure; rhost=198.51.100.1 user=z"
    assert (match := pattern.match(said.replace("root@pam", forged)))
    assert match["addr"] == "::ffff:192.0.2.9"
    assert not pattern.match(f"pve1 sshd[1]: Invalid user {forged} msg=x")
