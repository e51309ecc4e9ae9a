"""GitPython's advisories as a rule: nothing reaches its command wrappers, and git is run in one place."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import service

ROOT = Path(service.__file__).parent
RUNS_GIT = {
    ROOT / "git" / "commands.py",
    # the user's own clone, with the user's own rights
    ROOT / "git" / "clone.py",
    # plays the person who writes and pushes specs, against a repository of its own
    ROOT / "lab" / "field.py",
}

# Attribute names that reach git's option parser, its configuration or its work tree by way of GitPython.
FORBIDDEN = {
    "git": "repo.git.* runs any command with any option (no check at all)",
    "clone": "ext:: and --upload-pack run commands (CVE-2022-24439)",
    "clone_from": "ext:: and --upload-pack run commands (CVE-2022-24439)",
    "Remote": "fetch, pull and push options (CVE-2023-40267)",
    "remote": "fetch, pull and push options (CVE-2023-40267)",
    "remotes": "fetch, pull and push options (CVE-2023-40267)",
    "create_remote": "ext:: and --upload-pack run commands (CVE-2022-24439)",
    "multi_options": "options split after they were checked (CVE-2026-42284)",
    "config_writer": "a newline in a value writes core.hooksPath (CVE-2026-67326)",
    "Submodule": "section names out of the repository",
    "submodule": "section names out of the repository",
    "submodules": "section names out of the repository",
    "create_submodule": "section names out of the repository",
    "archive": "--exec runs commands (CVE-2026-67323)",
    "blame": "--contents reads files (PYSEC-2026-3788)",
    "blame_incremental": "--contents reads files (PYSEC-2026-3788)",
    "iter_commits": "a revision is parsed as an option",
    "ls_remote": "unguarded (CVE-2026-67325)",
    "rev_parse": "reference names read files (CVE-2023-41040)",
    "IndexFile": "an index has a work tree",
    "execute": "Git.execute runs any command",
    "custom_environment": "loosens what the environment isolates",
}
FORBIDDEN_WORDS = {"allow_unsafe_protocols", "allow_unsafe_options", "multi_options", "upload_pack", "shell"}
# Names that have an innocent meaning elsewhere are forbidden only where GitPython is imported.
ONLY_WITH_GITPYTHON = {"index": "an index has a work tree", "commit": "a revision is parsed as an option"}


NAMES_GIT = re.compile(r"\bgit(?:db)?\b")
"""In every source that imports GitPython or runs git; parsing those alone is ten times as fast."""


def violations(source: str, *, may_run_git: bool = False) -> list[str]:
    if not NAMES_GIT.search(source):
        return []
    tree = ast.parse(source)
    with_gitpython = any(imports_gitpython(node) for node in ast.walk(tree))
    found = []
    for node in ast.walk(tree):
        if with_gitpython:
            found += list(of_gitpython(node))
        if not may_run_git:
            found += list(of_git_program(node))
    return found


def imports_gitpython(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in ("git", "gitdb") for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and (node.module or "").partition(".")[0] in ("git", "gitdb")
    if isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__") and node.args:
        return isinstance(node.args[0], ast.Constant) and node.args[0].value in ("git", "gitdb")
    return False


def of_gitpython(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        reason = (FORBIDDEN | ONLY_WITH_GITPYTHON).get(node.attr)
        if reason:
            yield f"line {node.lineno}: .{node.attr}: {reason}"
    if isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if node.module and node.module.partition(".")[0] == "git" and alias.name in FORBIDDEN:
                yield f"line {node.lineno}: import {alias.name}: {FORBIDDEN[alias.name]}"
    if isinstance(node, ast.keyword) and node.arg in FORBIDDEN_WORDS:
        yield f"line {node.value.lineno}: {node.arg}= is an option of git"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
        yield f"line {node.lineno}: getattr hides which attribute is used"
    if isinstance(node, ast.Call) and last_name(node.func) in ("Repo", "_MirrorRepo"):
        given = {word.arg: word.value for word in node.keywords}
        for option in ("expand_vars", "search_parent_directories"):
            value = given.get(option)
            if not (isinstance(value, ast.Constant) and value.value is False):
                yield f"line {node.lineno}: Repo without {option}=False"


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def of_git_program(node: ast.AST) -> Iterator[str]:
    """A literal argument list that begins with git, or a call that runs it."""
    if isinstance(node, ast.List) and len(node.elts) > 1 and is_git(node.elts[0]):
        yield f"line {node.lineno}: an argument list that begins with git"
    if isinstance(node, ast.Call) and last_name(node.func) in RUNNERS:
        first = node.args[0] if node.args else None
        listed = first.elts[0] if isinstance(first, ast.List | ast.Tuple) and first.elts else first
        if listed is not None and is_git(listed):
            yield f"line {node.lineno}: {last_name(node.func)} runs git"


RUNNERS = {
    *(
        "run",
        "Popen",
        "call",
        "check_call",
        "check_output",
        "getoutput",
        "system",
        "popen",
        "execvp",
        "execv",
        "execvpe",
    ),
    *("spawnvp", "posix_spawn", "posix_spawnp", "create_subprocess_exec", "create_subprocess_shell"),
}


def is_git(node: ast.expr) -> bool:
    """A literal whose first word is the git program."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    program = text.partition(" ")[0].rpartition("/")[2]
    return program == "git" or program.startswith("git-")


def test_the_service_uses_nothing_of_gitpython_that_runs_commands_and_git_in_one_place_only() -> None:
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        wrong = violations(file.read_text(), may_run_git=file in RUNS_GIT)
        if wrong:
            found[str(file.relative_to(ROOT))] = wrong
    assert found == {}


def test_gitpython_is_imported_in_the_git_room_only() -> None:
    importers = {
        str(file.relative_to(ROOT))
        for file in ROOT.rglob("*.py")
        if NAMES_GIT.search(text := file.read_text())
        and any(imports_gitpython(node) for node in ast.walk(ast.parse(text)))
    }
    assert importers == {"git/tree.py"}


OPEN = "import git\nrepo = git.Repo(path, expand_vars=False, search_parent_directories=False)\n"


@pytest.mark.parametrize(
    "snippet",
    [
        "import git\ngit.Repo.clone_from(url, to)",
        "from git import Repo\nRepo.clone_from(url, to)",
        "import git as g\nx = g.Repo.clone_from",
        OPEN + "repo.clone(to)",
        OPEN + "repo.git.fetch('origin')",
        OPEN + "repo.git.execute(['true'])",
        OPEN + "repo.remotes.origin.fetch()",
        OPEN + "repo.remote().pull()",
        OPEN + "git.Remote(repo, 'x')",
        "from git.remote import Remote",
        "from git import Submodule",
        OPEN + "repo.submodules",
        OPEN + "repo.config_writer()",
        OPEN + "repo.archive(out)",
        OPEN + "repo.blame('HEAD', path)",
        OPEN + "repo.index.add([path])",
        OPEN + "repo.iter_commits(rev)",
        OPEN + "repo.commit(rev)",
        OPEN + "repo.rev_parse(rev)",
        OPEN + "f(multi_options=['-c x'])",
        OPEN + "f(allow_unsafe_options=True)",
        OPEN + "f(allow_unsafe_protocols=True)",
        OPEN + "getattr(repo, name)",
        "import git\ngit.Repo(path)",
        "import git\ngit.Repo(path, expand_vars=True, search_parent_directories=False)",
        "import git\ngit.Repo(path, expand_vars=False)",
        "import importlib\nimportlib.import_module('git').Repo(path)",
        "import subprocess\nsubprocess.run(['git', 'fetch', url])",
        "import subprocess\nsubprocess.Popen(('/usr/bin/git', 'fetch', url))",
        "import subprocess\nargv = ['git', *arguments]\nsubprocess.run(argv)",
        "import os\nos.system('git fetch')",
        "import os\nos.system(f'git fetch {url}')",
        "import asyncio\nasyncio.create_subprocess_exec('git', 'fetch')",
    ],
)
def test_each_forbidden_use_is_caught(snippet: str) -> None:
    assert violations(snippet) != []


@pytest.mark.parametrize(
    "snippet",
    [
        OPEN + "repo.odb.info(identity)",
        "from service.git.mirror import Mirror\nmirror.commit(commit)",
        "import subprocess\nsubprocess.run(['nft', '-f', path])",
        "words = ('git', 'ssh', 'history')",
        "text.index('x')",
    ],
)
def test_harmless_code_is_not_caught(snippet: str) -> None:
    assert violations(snippet) == []
