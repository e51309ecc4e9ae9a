"""Jails of fail2ban that somebody wrote: reported, and suggested with their numbers; never a change."""

import re
from dataclasses import replace

from service.adopt import Adopted, adopt
from service.kinds.fail2ban import Fail2banSection
from tests.adopt.test_styles import planned, spec_of
from tests.adopt.trees import material

LOCAL = b"""\
[DEFAULT]
bantime = 600
ignoreip = 127.0.0.1/8 ::1
           203.0.113.7, office.example.net
[sshd]
enabled = true
maxretry = 3
findtime = 1d 12h
"""


def adopted(**files: bytes) -> Adopted:
    given = material("blog")
    kept = {path: data for path, data in given.files.items() if "fail2ban" not in path}
    placed = {f"/etc/fail2ban/{name.replace('__', '/').replace('_', '.')}": data for name, data in files.items()}
    made = adopt(replace(given, files={**kept, **placed}))
    plan, _, _ = planned(made.text, replace(given, files={**kept, **placed}))
    assert (plan.drifts, plan.steps, plan.refusals) == ((), (), ())
    return made


def suggested(made: Adopted) -> Fail2banSection:
    """The section once the signs in front are gone."""
    live = re.sub(r"^# (?=fail2ban:|  )", "", made.text, flags=re.MULTILINE)
    section = spec_of(live).sections["fail2ban"]
    assert isinstance(section, Fail2banSection)
    return section


def test_a_jails_numbers_are_suggested_as_far_as_a_section_can_say_them() -> None:
    made = adopted(jail_local=LOCAL.replace(b", office.example.net", b""))
    section = suggested(made)
    assert (section.jails, section.maxretry, section.bantime, section.findtime) == (("sshd",), 3, "600s", "36h")
    assert section.ignoreip == ("203.0.113.7",)
    default, note = [note for note in made.report.of("unmanaged") if note.section == "fail2ban"]
    assert (default.where, default.lines) == ("/etc/fail2ban/jail.local:1", (1, 2, 3, 4))
    assert (note.where, note.lines) == ("/etc/fail2ban/jail.local:6", (5, 6, 7, 8))
    assert "also spares the service" in note.what
    assert suggested(adopted(jail_local=LOCAL)).ignoreip == ()


def test_the_file_that_fail2ban_reads_last_has_the_word() -> None:
    off = b"[sshd]\nenabled = false\n"
    assert "fail2ban" not in adopted(jail_local=off, jail_d__a_conf=LOCAL).text
    assert "fail2ban" not in adopted(jail_local=LOCAL, jail_d__a_local=off).text
    assert suggested(adopted(jail_local=LOCAL, jail_d__a_conf=off)).jails == ("sshd",)


def test_a_jail_that_no_section_has_is_told_and_not_suggested() -> None:
    made = adopted(jail_local=b"[nginx-http-auth]\nenabled = true\n")
    notes = [note.what for note in made.report.of("unmanaged") if note.section == "fail2ban"]
    assert notes == ["jail nginx-http-auth"]
    assert "fail2ban" not in made.text
