"""The README and the pages next to it are true: their commands run, their example is good, nothing is missing."""

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from html import unescape
from pathlib import Path
from typing import get_args
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from service import __version__
from service.api.metrics import Metrics
from service.apply.document import CAUSES
from service.apply.retiring import Retired
from service.apply.switch import WORDS
from service.cli import run
from service.cli.retire import as_text
from service.environment import SERVICE_ENV
from service.history import open_history
from service.kinds import KINDS
from service.lab.waiting import grown_s
from service.model.access import SCOPES
from service.model.events.hosts import HostRenamed
from service.model.plans import RefusalRule
from service.model.runs import SyncMode
from service.settings import Settings
from tests.cli.words import commands as cli_commands
from tests.documents import DECISIONS, PAGES, RUNNERS, TOP, blocks, commands, example, run_by
from tests.git.forge import Forge
from tests.laws.specs import spec_of
from tests.state_folders import made

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES if page.parent != DECISIONS}
ALL = "\n".join(TEXTS.values())
TASKS = (
    "install.md", "adopt.md", "first-push.md", "approve.md", "roll-back.md", "changes.md", "shared.md", "upgrade.md",
    "migrate.md", "retire.md",
)  # fmt: skip
"""A page for each task. They come before the reference."""


@pytest.mark.parametrize("command", sorted(commands(), key=str), ids=str)
def test_somebody_runs_every_command(command: object) -> None:
    runner = command.runner  # type: ignore[attr-defined]
    assert runner is not None, f"{command}: no test runs it"
    file, words = runner
    text = (TOP / file).read_text(encoding="utf-8")
    assert (f"def {words}(" if words.startswith("test_") else words) in text


def test_nobody_waits_for_a_command_that_no_page_has() -> None:
    used = {known for command in commands() for known in [next(k for k in RUNNERS if str(command).startswith(k))]}
    assert used == set(RUNNERS)


@pytest.fixture
def my_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's example as the folder in its commands."""
    folder = tmp_path / "my-repository"
    (folder / "hosts").mkdir(parents=True)
    (folder / "fleet.yaml").write_text("passerelle: 1\n")
    (folder / "hosts" / "pve1.yaml").write_text(example())
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_folder_is_checked_and_its_schema_written(my_repository: Path) -> None:
    for command in run_by("test_a_folder_is_checked_and_its_schema_written"):
        assert run(command.words) == 0
    assert (my_repository / "host.schema.json").read_text().startswith("{")


@pytest.mark.long
def test_the_service_starts_and_ends(tmp_path: Path) -> None:
    (command,) = run_by("test_the_service_starts_and_ends")
    Forge(tmp_path / "my-repository.git").push({"fleet.yaml": "passerelle: 1\n"})
    words = [word.replace("/srv/git", str(tmp_path)) for word in command.words]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), "PASSERELLE_PORT": str(port),
        "PASSERELLE_STATE_DIR": str(tmp_path / "state"),
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "service", *words], env=environment, stderr=subprocess.PIPE
    ) as serving:
        try:
            assert answers(f"http://127.0.0.1:{port}/livez", serving)
        finally:
            serving.terminate()
        _, said = serving.communicate(timeout=grown_s(30))
    assert b"Traceback" not in said
    assert (tmp_path / "state" / "ssh_key.pub").read_text().startswith("ssh-ed25519 ")


def answers(url: str, serving: "subprocess.Popen[bytes]") -> bool:
    deadline = time.monotonic() + 40
    while serving.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            continue
    return False


def test_the_example_is_a_good_spec_without_a_warning(my_repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(spec_of(example()).sections) > 5
    assert run(["lint", str(my_repository)]) == 0
    assert capsys.readouterr().err == "1 host, 0 errors, 0 warnings\n"


def test_the_readme_names_every_kind() -> None:
    table = TEXTS["README.md"].partition("## What it manages")[2].partition("\n## ")[0]
    assert [kind.name for kind in KINDS if f"`{kind.name}`" not in table] == []


def test_every_command_of_the_command_line_is_in_the_docs_and_no_other() -> None:
    known = {" ".join(words) for words in cli_commands()}
    shown = {" ".join(m.split()) for m in re.findall(r"passerelle ((?:[a-z]+)(?: [a-z]+)?)", ALL)}
    assert (
        sorted(name for name in known if name not in shown and not any(s.startswith(f"{name} ") for s in shown)) == []
    )
    called = re.findall(r"(?:`|\$ (?:\.venv/bin/)?)passerelle ([a-z]+)", ALL)
    assert sorted(set(called) - {name.split()[0] for name in known}) == []


def test_every_setting_is_described_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(PASSERELLE_\w+)` \|([^|]*)\|", TEXTS["service.md"], re.MULTILINE))
    defaults = {
        f"PASSERELLE_{name.upper()}": "" if setting.default is None else str(setting.default)
        for name, setting in Settings.model_fields.items()
    }
    assert {name: told.strip(" `").capitalize() for name, told in rows.items()} == {
        name: told.capitalize() for name, told in (defaults | {"PASSERELLE_SSH_KEY": "STATE_DIR/ssh_key"}).items()
    }


def test_every_variable_that_is_read_is_described_and_no_other() -> None:
    read = {f"PASSERELLE_{name.upper()}" for name in Settings.model_fields}
    for file in (TOP / "service").rglob("*.py"):
        read |= set(re.findall(r"""environ[^\n]*["'](PASSERELLE_[A-Z_]+)""", file.read_text(encoding="utf-8")))
    assert set(re.findall(r"PASSERELLE_[A-Z_]+", ALL)) - {"PASSERELLE_ACCEPT"} == read


def test_every_number_for_prometheus_is_described_and_no_other(tmp_path: Path) -> None:
    with open_history(made(tmp_path / "passerelle.sqlite")) as history:
        metrics = Metrics()
        metrics.kept(history.store.kept(), {})
        page = metrics.page(history.queries.counts()).decode()
    real = {name for name in re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE) if not name.endswith("_created")}
    shown = set(re.findall(r"^\| `(passerelle_[a-z_]+)", TEXTS["service.md"], re.MULTILINE))
    assert shown == real


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("apply.md", [*WORDS, *CAUSES, *get_args(RefusalRule)]),
        ("service.md", [*SCOPES, *get_args(SyncMode)]),
    ],
    ids=["apply.md", "service.md"],
)
def test_every_fixed_word_is_explained(page: str, words: list[str]) -> None:
    assert [word for word in words if f"`{word}`" not in TEXTS[page]] == []


def test_the_key_and_a_token_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(tmp_path / "state"))
    for command in run_by("test_the_key_and_a_token_are_printed"):
        assert run(command.words) == 0
    plain, limited, jump, *tokens = capsys.readouterr().out.splitlines()
    assert plain.startswith("restrict ssh-ed25519 AAAA")
    assert limited == f'from="192.0.2.10",{plain}'
    assert jump == plain.replace("restrict ", "restrict,port-forwarding ")
    assert tokens
    assert all(token.startswith("psr_") for token in tokens)


def test_a_copied_host_is_checked_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text("passerelle: 1\n")
    (tmp_path / "hosts" / "pve1.yaml").write_text(example())
    (tmp_path / "hosts" / "pve2.yaml").write_text(example())
    monkeypatch.chdir(tmp_path)
    for command in run_by("test_a_copied_host_is_checked_as_the_page_shows"):
        assert run(command.words) == 1
    assert capsys.readouterr().out in blocks(TEXTS["changes.md"], "text")


def test_the_pages_quote_what_the_program_says() -> None:
    renamed = HostRenamed(host="pve9", old="pve1").text
    assert renamed in " ".join(TEXTS["changes.md"].split())
    retired = Retired("", ("/etc/dnsmasq.d/passerelle.conf", "/etc/passerelle/nft.d"))
    assert "\n".join(as_text("pve1", "hosts/pve1.yaml", retired)) + "\n" in blocks(TEXTS["retire.md"], "text")


STORIES = ("story.py", "firewall_story.py", "web_story.py")


def test_the_picture_shows_what_the_demo_prints() -> None:
    """Its stages are those of the story, in the same order, and its flags are all that the demo has."""
    picture = (TOP / "deploy" / "docs" / "demo.svg").read_text(encoding="utf-8")
    lines = [unescape(text) for text in re.findall(r"<text[^>]*>(.*?)</text>", picture)]
    shown = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
    sources = [(TOP / "deploy" / name).read_text(encoding="utf-8") for name in STORIES]
    stages = [stage for source in sources for stage in re.findall(r'stage\("\w+", "(.+?)"\)', source)]
    start = [text for text in re.findall(r'"-- (.+?)"', sources[0]) if text.startswith("the lab starts")]
    assert sorted(shown) == sorted([*start, *stages])
    assert shown[:2] == [*start, stages[0]]
    (wanted,) = re.findall(r"^FLAGS = \(\n(.*?)\n\)", sources[0], re.MULTILINE | re.DOTALL)
    flags = [line.split(":")[0].strip() for line in lines if line.startswith("   ")]
    assert sorted(flags) == sorted(re.findall(r'"(\w+)"', wanted))
    assert lines[0] == "# deploy/demo"


def test_the_commands_of_the_install_pages_fit_the_unit() -> None:
    """The shell blocks, which need a machine of their own, are valid shell, and use the unit's user and folders."""
    unit = (TOP / "deploy" / "systemd" / "passerelle.service").read_text(encoding="utf-8")
    shell = [block for name in TASKS for block in blocks(TEXTS[name], "sh")]
    for block in shell:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True, timeout=30)
    said = "\n".join(shell)
    assert "User=passerelle\n" in unit
    assert "useradd --system --home-dir /var/lib/passerelle-service " in said
    for path in re.findall(r"/(?:opt|etc)/passerelle/[\w./-]+", unit):
        assert path.removesuffix("/deploy/docs/service.md") in said or path.startswith("/opt/passerelle/.venv/bin/"), (
            path
        )


@pytest.mark.parametrize("name", TASKS)
def test_each_task_begins_with_what_the_reader_can_do_after_it(name: str) -> None:
    heading, _, rest = TEXTS[name].partition("\n\n")
    assert heading.startswith("# ")
    assert rest.startswith("After reading this page you ")
    assert f"deploy/docs/{name}" in TEXTS["README.md"].partition("## A host's file")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert not target.startswith("http")
        assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_pages_are_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(((?:deploy/docs/)?[A-Za-z0-9-]+\.md)\)", TEXTS["README.md"])) - {"CHANGELOG.md"}
    assert linked == {str(page.relative_to(TOP)) for page in PAGES[1:] if page.parent != DECISIONS}


def test_the_changes_begin_with_the_version_that_this_is() -> None:
    versions = re.findall(r"^## (\S+)", (TOP / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == __version__
    assert len(versions) == len(set(versions))


def test_every_decision_is_linked_from_their_list_and_the_list_from_the_code_map() -> None:
    linked = re.findall(r"\]\(([a-z-]+\.md)\)", (DECISIONS / "README.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(page.name for page in DECISIONS.glob("*.md") if page.name != "README.md")
    assert "(decisions/README.md)" in TEXTS["code.md"]


def test_the_locks_hold_what_is_needed_and_name_no_place() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {"runtime": project["dependencies"]}
    needed["dev"] = needed["runtime"] + [each for extra in project["optional-dependencies"].values() for each in extra]
    for name, wanted in needed.items():
        text = (TOP / "deploy" / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        assert {re.split(r"[<>=\[]", each)[0] for each in wanted} - locked == set(), name
        assert {"hatchling", "editables"} <= locked  # deploy/setup builds with what is locked, and installs with -e
        assert "://" not in text
    helped = subprocess.run([TOP / "deploy" / "lock", "--help"], capture_output=True, text=True, check=True)
    assert "writes no index into the files" in helped.stdout
    assert "--keep" in helped.stdout


def test_the_unit_runs_a_command_that_is_there_and_makes_the_state_folder() -> None:
    lines = (TOP / "deploy" / "systemd" / "passerelle.service").read_text(encoding="utf-8").splitlines()
    (started,) = [line.partition("/bin/passerelle ")[2] for line in lines if line.startswith("ExecStart=")]
    assert tuple(started.split()) in set(cli_commands())
    assert f"EnvironmentFile={SERVICE_ENV}" in lines
    assert f"StateDirectory={Settings.model_fields['state_dir'].default.relative_to('/var/lib')}" in lines
