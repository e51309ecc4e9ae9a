"""What people do to a config repository by accident or with intent, and what the service says of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.lab.field import Field


class Repository:
    """The config repository of a field, with commits that no careful person makes."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.work = field.room / "work"
        self.bare = field.repository

    def git(self, *arguments: str) -> str:
        """Git in the person's work tree."""
        return self.field.git(*arguments, at=self.work).strip()

    @property
    def head(self) -> str:
        """The work tree's commit."""
        return self.git("rev-parse", "HEAD")

    def push_bytes(self, files: Mapping[str, bytes], subject: str) -> str:
        """Commit and push files byte for byte."""
        for path, content in files.items():
            file = self.work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return self.field.push({}, subject)

    def push_link(self, path: str, target: str, subject: str) -> str:
        """Commit and push a symbolic link."""
        file = self.work / path
        file.unlink(missing_ok=True)
        file.symlink_to(target)
        return self.field.push({}, subject)

    def push_nothing(self, subject: str) -> str:
        """Commit and push a tree without any file."""
        self.git("rm", "--quiet", "-r", ".")
        return self.field.push({}, subject)

    def rewind(self, back: int, subject: str) -> str:
        """Throw the newest commits away, put another in their place and push that by force."""
        self.git("reset", "--quiet", "--hard", f"HEAD~{back}")
        return self.field.push({}, subject, force=True)

    def drop_branch(self) -> None:
        """Delete the branch in the repository itself."""
        self.field.git("update-ref", "-d", "refs/heads/main", at=self.bare)

    def restore(self, commit: str) -> None:
        """Bring the branch back to a commit, whatever was done to it."""
        self.git("reset", "--quiet", "--hard", commit)
        self.git("clean", "--quiet", "-fdx")
        self.git("push", "--quiet", "--force", "origin", "HEAD:main")
        extra = self.field.git("for-each-ref", "--format=%(refname)", at=self.bare).split()
        for name in extra:
            if name != "refs/heads/main":
                self.field.git("update-ref", "-d", name, at=self.bare)

    # what the service says

    def revision(self, commit: str) -> dict[str, Any]:
        """The revision, as soon as the service has looked at it."""

        def looked_at() -> dict[str, Any]:
            found = [r for r in self.field.items("revisions?limit=20") if r["commit"] == commit]
            return found[0] if found else {}

        found: dict[str, Any] = self.field.wait_for(looked_at, f"{commit[:10]} is looked at", timeout_s=30)
        return found

    def accepted(self) -> str:
        """The revision in force."""
        return next(str(r["commit"]) for r in self.field.items("revisions?limit=50") if r["state"] == "accepted")

    def events(self, after: int, type_: str) -> list[str]:
        """What was reported since."""
        return [event["text"] for event in self.field.items(f"events?after={after}&type={type_}&limit=200")]

    def newest_event(self) -> int:
        """The number of the last thing that happened."""
        number = 0
        while found := self.field.items(f"events?after={number}&limit=200"):
            number = int(found[-1]["id"])
        return number

    def wait_for_event(self, after: int, type_: str, words: str) -> str:
        """The event of that type whose text holds the words."""

        def told() -> str:
            return next((text for text in self.events(after, type_) if words in text), "")

        found: str = self.field.wait_for(told, f"{type_}: {words}", timeout_s=40)
        return found


def lint(field: Field, folder: Path) -> tuple[int, str]:
    """Exit code and text of `passerelle lint` on a folder."""
    done = field.run("lint", str(folder), check=False)
    return done.returncode, done.stdout.decode()
