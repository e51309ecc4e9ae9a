"""Hosts that passerelle has worked on before: what adopt cannot read back is reported, and never lost by a new spec."""

from pathlib import Path

import pytest

from service.adopt import Adopted, ConnectionGiven, adopt
from service.adopt.against import against
from service.adopt.material import WATCH, of_observed
from service.adopt.own import ALSO, without_section
from service.cli import run
from service.kinds import KINDS
from service.kinds.desire import desire
from service.plan.make import make_plan
from service.resources.bans import JAILS_FILE
from service.resources.desired import LastApplied
from service.resources.firewall import FIREWALL_FILE
from tests.adopt.trees import STYLES
from tests.laws.host import after_plan, bare_host
from tests.laws.specs import FOLDER, KEY, debian_names, desired_of, head, spec_of

ALONE = ("firewall", "forwards", "fail2ban")
"""Sections that only a spec can say."""


def text_of(name: str) -> str:
    return head() + (FOLDER / f"{name}.yaml").read_text()


def adopted(name: str) -> tuple[Adopted, set[str]]:
    """What adopt makes of a host after a spec's plan, and the kinds that the new spec's plan would change."""
    wanted = desired_of(name)
    host = bare_host(wanted.watch | WATCH)
    plan = make_plan(wanted, LastApplied(), host)
    given = ConnectionGiven("pve1", "198.51.100.11", host_keys=(KEY,))
    made = adopt(of_observed(after_plan(host, plan)), given)
    again = desire(spec_of(made.text), KINDS)
    host = after_plan(bare_host(wanted.watch | WATCH | again.watch), plan)
    drifts = make_plan(again, LastApplied(), host).drifts
    return made, {drift.difference.kind for drift in drifts}


@pytest.mark.parametrize("name", debian_names())
def test_what_the_plan_of_a_new_spec_would_take_away_is_named_and_refused(name: str) -> None:
    made, changed = adopted(name)
    lost = {thing.section for thing in made.own}
    sections = spec_of(text_of(name)).sections
    assert lost == {section for section in ALONE if {section, ALSO.get(section)} & sections.keys()}
    # the names of what is published; kernel settings that only the firewall, or what is published in IPv6, needed
    needed = (("dnsmasq", "forwards"), ("nat", "forwards"), ("nat", "firewall"))
    assert changed - lost <= {part for part, of in needed if of in lost}
    assert {n.section for n in made.report.of("danger") if "passerelle made this" in n.what} == lost
    assert bool(without_section(made.own, "")) == bool(lost)


@pytest.mark.parametrize("name", debian_names())
def test_a_spec_that_holds_the_sections_keeps_them(name: str) -> None:
    made, _ = adopted(name)
    assert without_section(made.own, text_of(name)) == ""
    after = against(text_of(name), made).text
    assert all(any(f"\n{section}:" in after for section in thing.sections) for thing in made.own)


def ran(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, what was printed, what was reported."""
    capsys.readouterr()
    code = run(words)
    return code, *capsys.readouterr()


def host_files(folder: Path, *own: str) -> Path:
    """A folder with a host's files, and empty ones of passerelle's own."""
    for path in ("/etc/hostname", "/etc/network/interfaces", "/etc/ssh/ssh_host_ed25519_key.pub"):
        put(folder, path, (STYLES / "ethers" / "root" / path.lstrip("/")).read_bytes())
    for path in own:
        put(folder, path, b"# written by passerelle\n")
    return folder


def put(folder: Path, path: str, data: bytes) -> None:
    where = folder / path.lstrip("/")
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(data)


def test_adopt_refuses_a_new_spec_and_says_where_the_old_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, repo = host_files(tmp_path / "root", FIREWALL_FILE, JAILS_FILE), tmp_path / "repo"
    repo.mkdir()
    words = ["adopt", "--root", str(root), "--repo", str(repo)]
    code, report, said = ran(words, capsys)
    assert code == 1
    assert f"{FIREWALL_FILE}: firewall: passerelle made this" in report
    assert "the spec would have no `firewall` and `fail2ban`" in said
    assert "the spec that made it is in Git" in said
    assert not list(repo.iterdir())
    code, patch, said = ran([*words, "--diff"], capsys)
    assert (code, patch[:13]) == (1, "--- /dev/null")
    assert "no `firewall` and `fail2ban`" in said


def test_adopt_compares_a_spec_that_has_the_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, repo = host_files(tmp_path / "root"), tmp_path / "repo"
    words = ["adopt", "--root", str(root), "--repo", str(repo)]
    assert ran(words, capsys)[0] == 0
    host_files(root, FIREWALL_FILE)
    code, _, said = ran(words, capsys)
    assert code == 1
    assert "the spec has no `firewall`" in said
    (spec,) = (repo / "hosts").iterdir()
    spec.write_text(spec.read_text() + "firewall:\n  enable: true\n")
    assert ran([*words, "--diff"], capsys) == (0, "", "")
    assert ran(words, capsys)[0] == 0
