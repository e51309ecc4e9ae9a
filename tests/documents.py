"""README and the pages of deploy/docs: their commands, and who runs each of them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

TOP = Path(__file__).parent.parent
DECISIONS = TOP / "deploy" / "docs" / "decisions"
PAGES = (
    TOP / "README.md",
    *sorted((TOP / "deploy" / "docs").glob("*.md")),
    TOP / "CONTRIBUTING.md",
    TOP / "SECURITY.md",
    *sorted(DECISIONS.glob("*.md"), key=lambda page: (page.name != "README.md", page.name)),
)
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(\$|pve1#) (.+?)(?:\s{2,}#.*)?")

HERE = "tests/test_docs.py"
LAB = "tests/e2e/test_readme.py"
ADOPT = "tests/adopt/test_styles.py"
MIGRATE = "tests/cli/test_migrate.py"
ADOPT_LAB = "tests/adopt/test_adopt_lab.py"
KERNEL = "tests/lab/test_second_kernel.py"
RUNNERS = {
    "$ deploy/demo": ("tests/run", "deploy/demo --once"),
    "$ deploy/compose/secrets": ("tests/test_compose.py", "test_the_secrets_are_made_once"),
    "$ tests/mutation/run": ("tests/run", "tests/mutation/run"),
    "$ tests/run": (".ci/run", "tests/run"),
    "$ deploy/lock": (HERE, "test_the_locks_hold_what_is_needed_and_name_no_place"),
    "$ deploy/setup": ("tests/run", "deploy/setup"),
    "$ deploy/package/deb": ("tests/e2e/test_package.py", '"deploy" / "package" / "deb"'),
    "$ deploy/package/image": ("tests/test_image.py", '"deploy" / "package" / "image"'),
    "$ .venv/bin/python -m tests.prose": ("tests/run", "python -m tests.prose"),
    "$ .venv/bin/python -m pytest": ("tests/run", "python -m pytest"),
    "$ .venv/bin/passerelle lint my-repository": (HERE, "test_a_folder_is_checked_and_its_schema_written"),
    "$ passerelle lint .": (HERE, "test_a_copied_host_is_checked_as_the_page_shows"),
    "$ passerelle explain guests.NAME.address": (HERE, "test_a_folder_is_checked_and_its_schema_written"),
    "$ passerelle show pve1 my-repository": (HERE, "test_a_folder_is_checked_and_its_schema_written"),
    "$ .venv/bin/passerelle schema": (HERE, "test_a_folder_is_checked_and_its_schema_written"),
    "$ .venv/bin/passerelle plan pve1 --repo my-repository": (LAB, "test_a_plan_from_a_folder_looks_at_the_host"),
    "$ .venv/bin/passerelle serve --source": (HERE, "test_the_service_starts_and_ends"),
    "$ passerelle doctor pve1 --repo my-repository": (LAB, "test_doctor_looks_at_the_host"),
    "$ passerelle --version": ("tests/cli/test_commands.py", '"--version"'),
    "$ passerelle db copy": ("tests/history/test_copying.py", "test_the_pages_commands_copy_and_look"),
    "$ passerelle notices test": ("tests/notices/test_webhook.py", "test_a_notice_is_sent_as_a_test"),
    "$ passerelle notices show": ("tests/notices/test_webhook.py", '"notices", "show"'),
    "$ passerelle login": ("tests/people/test_login.py", "test_the_pages_commands_sign_in"),
    "$ passerelle logout": ("tests/people/test_login.py", 'run(["logout"])'),
    "$ passerelle whoami": ("tests/people/test_whoami.py", 'run(["whoami"])'),
    "$ passerelle backup": ("tests/cli/test_backup.py", "test_a_service_in_use_goes_on_elsewhere"),
    "$ passerelle restore": ("tests/cli/test_backup.py", '"restore"'),
    "$ passerelle db stats": ("tests/cli/test_db_stats.py", "test_each_table_is_shown_with_its_size"),
    "$ passerelle doctor": (LAB, "test_doctor_looks_at_the_machine"),
    "$ passerelle key": (HERE, "test_the_key_and_a_token_are_printed"),
    "$ passerelle token create": (HERE, "test_the_key_and_a_token_are_printed"),
    "$ passerelle latch clear pve1": ("tests/e2e/test_checks.py", 'field.run("latch", "clear", "pve1"'),
    "$ passerelle rollback pve1": ("tests/cli/test_rollback.py", "test_the_pages_commands_go_back"),
    "$ passerelle topology pve1": ("tests/cli/test_topology.py", "test_the_pages_commands_draw_a_host"),
    "$ passerelle suspend ": ("tests/cli/test_suspend.py", "test_the_pages_commands"),
    "$ passerelle windows": ("tests/cli/test_suspend.py", "test_the_windows_of_the_page"),
    "$ passerelle suspensions": ("tests/cli/test_suspend.py", "test_the_pages_commands"),
    "$ passerelle resume ": ("tests/cli/test_suspend.py", "test_the_pages_commands"),
    '$ echo "the storage is being moved"': ("tests/cli/test_suspend.py", "test_the_stop_file_is_reported"),
    "$ sudo rm /var/lib/passerelle-service/STOP": ("tests/cli/test_suspend.py", "test_the_stop_file_is_reported"),
    "$ passerelle release pve1": ("tests/e2e/test_restart.py", 'field.run("release", "pve1"'),
    "$ passerelle source accept ": ("tests/cli/test_belonging.py", 'run(["source", "accept", "bbbbbbbbbb"'),
    "$ passerelle host forget pve1": ("tests/cli/test_belonging.py", 'run(["host", "forget", "pve1"'),
    **{
        f"$ passerelle rollout {verb}": ("tests/cli/test_rollout.py", f'run(["rollout", "{verb}"')
        for verb in ("list", "show", "halt", "resume", "abort")
    },
    "$ passerelle migrate pve1 --to pve2 --dry-run": (MIGRATE, "test_the_order_is_printed_and_nothing_is_done"),
    "$ passerelle migrate pve1 --to pve2": (MIGRATE, "test_it_is_carried_out_and_taken_back"),
    "$ passerelle retire pve1 --repo": ("tests/e2e/test_retire.py", '"retire", "pve1", "--repo"'),
    "$ passerelle drift pve1 --patch": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle status": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle drift": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle plan --branch": ("tests/cli/test_proposed.py", "test_the_pages_commands_show_a_branch"),
    "$ passerelle plan pve1 --pull": ("tests/cli/test_proposed.py", "test_the_pages_commands_show_a_branch"),
    "$ passerelle plan pve1": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle apply pve1 --yes": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle leases --active": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle sites": ("tests/cli/test_sites.py", "test_each_site_is_a_line_and_trouble_has_its_fix"),
    "$ passerelle wait --all": ("tests/cli/test_waiting.py", "test_the_pages_command_waits_for_a_revision"),
    "$ passerelle look pve1": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle events pve1 --follow": (
        "tests/cli/test_events_history.py",
        "test_a_pipe_gets_each_event_when_it_happens",
    ),
    "$ passerelle history verify": ("tests/cli/test_audit.py", 'run(["history", "verify"])'),
    "$ passerelle history export": ("tests/cli/test_audit.py", 'run(["history", "export"])'),
    "$ passerelle history": (LAB, "test_the_commands_beside_the_service"),
    "$ passerelle drill pve1 --reboot": ("tests/e2e/test_next_boot.py", 'field.run("drill", name, "--reboot"'),
    "$ passerelle drill pve1": ("tests/e2e/test_drill.py", 'field.run("drill", "pve1"'),
    "$ passerelle receiver add forge --type github": (LAB, "test_receivers_come_and_go"),
    "$ passerelle receiver list": (LAB, "test_receivers_come_and_go"),
    "$ passerelle receiver deliveries": (LAB, "test_receivers_come_and_go"),
    "$ passerelle receiver rotate": (LAB, "test_receivers_come_and_go"),
    "$ passerelle receiver suspend": (LAB, "test_receivers_come_and_go"),
    "$ passerelle receiver resume": (LAB, "test_receivers_come_and_go"),
    "$ passerelle receiver remove forge": (LAB, "test_receivers_come_and_go"),
    "$ passerelle adopt --root": (ADOPT, "test_the_pages_commands_work_on_a_folder"),
    "$ passerelle adopt --take-over": (ADOPT, "test_the_pages_commands_work_on_a_folder"),
    "$ passerelle adopt root@": (ADOPT_LAB, "test_the_pages_commands_work_on_a_host"),
    "$ passerelle trace --host pve1": (LAB, "test_questions_about_packets"),
    "$ passerelle trace --repo my-repository": (HERE, "test_a_folder_is_checked_and_its_schema_written"),
    "$ passerelle firewall pve1 --repo my-repository": (HERE, "test_a_folder_is_checked_and_its_schema_written"),
    "$ curl ": (LAB, "test_the_api_answers_curl"),
    "$ printf '%s namespaces": ("tests/git/test_git_trust.py", "test_the_pages_command_makes_a_signer"),
    "$ passerelle lab up -n virtual": (KERNEL, "test_a_host_with_debians_kernel_from_up_to_down"),
    "$ passerelle lab exec -n virtual": (KERNEL, "test_a_host_with_debians_kernel_from_up_to_down"),
    "$ passerelle lab down -n virtual": (KERNEL, "test_a_host_with_debians_kernel_from_up_to_down"),
    "$ passerelle lab ": (LAB, "test_a_lab_from_up_to_down"),
    "pve1# python3 -I -S /var/lib/passerelle/boot.py status": (LAB, "test_the_journal_at_the_console"),
}
"""The beginning of a command, and the file and words (or the test) that run it. The first that fits counts."""


@dataclass(frozen=True)
class Command:
    """One command of a page, with its prompt."""

    page: str
    prompt: str
    text: str

    def __str__(self) -> str:
        return f"{self.prompt} {self.text}"

    @property
    def words(self) -> list[str]:
        """Its arguments, after the program's name."""
        return shlex.split(self.text)[1:]

    @property
    def runner(self) -> tuple[str, str] | None:
        """Who runs it."""
        return next((runner for known, runner in RUNNERS.items() if str(self).startswith(known)), None)


def blocks(page: str, language: str) -> list[str]:
    """The code of a page in one language, also inside of list entries."""
    return [dedent(code) for found, code in BLOCK.findall(page) if found == language]


def commands() -> Iterator[Command]:
    """Every command of every page. A line without a command fails."""
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), "console"):
            for line in block.splitlines():
                parts = COMMAND.fullmatch(line)
                assert parts, f"{page.name}: {line!r} is not a command"
                yield Command(page.name, parts[1], parts[2])


def run_by(test: str) -> list[Command]:
    """The commands that a test has to run, in the order of the pages, each once."""
    found = {str(c): c for c in commands() if c.runner is not None and c.runner[1] == test}
    assert found, f"no page has a command for {test}"
    return list(found.values())


def example() -> str:
    """The host's file in the README."""
    (text,) = blocks(PAGES[0].read_text(encoding="utf-8"), "yaml")
    return text
