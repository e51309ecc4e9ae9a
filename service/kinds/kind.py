"""The interface of a kind: one key of a host's spec, from what a user writes to what is wanted on the host.

Adding a managed thing is one file in this folder and one entry in `KINDS` (`service/kinds/__init__.py`);
deploy/docs/code.md has a whole one as an example, which is a test.

Two parts are optional. A kind has one by having its members. The caller checks the protocol next to it:

    shared_section, lint_shared(section, shared)    fleet.yaml may speak of it, too (SharedKind, service/spec/fleet.py)
    group_section, lint_groups(shared)              the files of groups/ are for it; one kind only
                                                    (GroupedKind, service/spec/groups.py)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from service.kinds.claims import Claim
from service.model.observed import Watch
from service.resources.resource import Resource
from service.spec.findings import Hit, LintRule
from service.spec.host import HostSpec


class Kind(Protocol):
    """What a section is, what is wrong with it, and what it asks of the host. All of it pure."""

    name: str
    """The key in the spec; also the word in URLs, metrics and the test folder."""

    section: Any
    """The pydantic type of the section (strict, frozen, extra=forbid); its field descriptions are the reference."""

    rules: tuple[LintRule, ...]
    """Everything that `lint` and `lint_fleet` may say."""

    def lint(self, section: Any, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        """Everything wrong or doubtful beyond types, each with a stable rule id; paths start in the section."""
        ...

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        """What is wrong between hosts, as (host name, hit)."""
        ...

    def claims(self, section: Any) -> Iterator[Claim]:
        """What other kinds may need to know."""
        ...

    def desire(self, section: Any | None, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Resource]:
        """What is wanted on the host. `section` is None when the spec has no such key: then what is provably ours
        (own files, own tables) is wanted absent."""
        ...

    def watch(self) -> Watch:
        """What is looked at even where the section is missing."""
        ...
