"""`packages`: Debian packages that have to be installed or gone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from service.hostside.vital import kept_package
from service.kinds.claims import Claim, NeedsPackage, PackageState
from service.model.observed import Watch
from service.model.trees import quoted
from service.resources.packages import Package
from service.resources.resource import Resource
from service.spec.findings import Hit, LintRule
from service.spec.grammar import text, wrong
from service.spec.host import HostSpec

# Debian Policy 5.6.1; a final - or + would be an instruction to apt-get, so only the ++ of real names is taken.
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{0,98}(?:[a-z0-9]|\+\+)")


def check_package(value: str) -> str:
    """A Debian package's name."""
    if not _PACKAGE.fullmatch(value):
        wrong(
            f"{quoted(value)} is not a Debian package",
            "write its name as `apt-cache search` shows it, without a version",
        )
    return value


PackageName = Annotated[str, *text(check_package, {"pattern": f"^{_PACKAGE.pattern}$"}, "the name of a Debian package")]
PackagesSection: TypeAlias = Annotated[Mapping[PackageName, Literal["present", "absent"]], Field(max_length=256)]

ABSENT_BUT_NEEDED = LintRule(
    "packages.absent-but-needed", "error", "a package that another section needs is not absent"
)
NEVER_ABSENT = LintRule("packages.never-absent", "error", "packages that SSH and the rollback need stay installed")


class Packages:
    """Debian packages by name, each `present` or `absent`."""

    name = "packages"
    section: Any = PackagesSection
    rules: tuple[LintRule, ...] = (ABSENT_BUT_NEEDED, NEVER_ABSENT)

    def lint(self, section: PackagesSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        causes = {claim.package: claim.cause for claim in claims if isinstance(claim, NeedsPackage)}
        for name, state in section.items():
            if state != "absent":
                continue
            if why := kept_package(name):
                yield NEVER_ABSENT.hit((name,), f"{name} must stay installed: {why}", "remove the line")
            if name in causes:
                yield ABSENT_BUT_NEEDED.hit(
                    (name,), f"{name} is absent, but `{causes[name]}` needs it", f"write `{name}: present`"
                )

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: PackagesSection) -> Iterator[Claim]:
        for name, state in section.items():
            yield PackageState(name, state)

    def desire(
        self,
        section: PackagesSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        for name, state in (section or {}).items():
            yield Package(self.name, name, state)

    def watch(self) -> Watch:
        return Watch()
