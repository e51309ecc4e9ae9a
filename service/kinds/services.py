"""`services`: systemd services that have to be enabled, disabled or masked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from service.hostside.vital import power_unit, way_in_unit
from service.kinds.claims import Claim, NeedsUnit, Serves
from service.model.observed import Watch
from service.model.trees import quoted
from service.resources.resource import Resource
from service.resources.units import Unit
from service.spec.findings import Hit, LintRule
from service.spec.grammar import text, wrong
from service.spec.host import HostSpec
from service.spec.patterns import whole

_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?:@[A-Za-z0-9_.-]{1,99})?")
_OTHER_UNITS = (".socket", ".timer", ".target", ".path", ".mount", ".slice", ".scope", ".device", ".swap", ".automount")

ALIASES = {"bind9": "named", "sshd": "ssh"}
"""Debian's alias names by the name of the unit file: bind9.service is an alias of named.service, sshd of ssh."""


def check_service(value: str) -> str:
    """A service's name, with or without `.service`; stays as written."""
    if value.endswith(_OTHER_UNITS):
        wrong(f"{quoted(value)} is not a service", "name a .service unit")
    if not _UNIT.fullmatch(value):
        wrong(f"{quoted(value)} is not a service name", "write a name as systemctl shows it, such as dnsmasq")
    return value


def unit_of(name: str) -> str:
    """The unit that a name of the section means: `bind9` is `named.service`."""
    stem = name.removesuffix(".service")
    return f"{ALIASES.get(stem, stem)}.service"


_WORDS = "the name of a service unit, with or without .service"
_SERVICE_SCHEMA = whole(rf"(?!.*[.](?:{'|'.join(unit[1:] for unit in _OTHER_UNITS)})$){_UNIT.pattern}", _WORDS)
ServiceName = Annotated[str, *text(check_service, _SERVICE_SCHEMA)]
ServiceState: TypeAlias = Literal["enabled", "disabled", "masked"]
ServicesSection: TypeAlias = Annotated[Mapping[ServiceName, ServiceState], Field(max_length=256)]

ALIAS = LintRule("services.alias", "warning", "a service is named by its unit file, not by an alias")
TWICE = LintRule("services.twice", "error", "a service is named once")
OFF_BUT_NEEDED = LintRule(
    "services.off-but-needed", "error", "a service that another section needs is not switched off"
)
NEVER_OFF = LintRule("services.never-off", "error", "services that SSH, the boot or the rollback needs stay on")
NOT_FREE = LintRule("services.not-free", "error", "a spec does not switch units of systemd and passerelle")
PORT_53 = LintRule("services.port-53", "warning", "one server answers on port 53")


class Services:
    """Systemd services by name, each `enabled` (and running), `disabled` (and stopped) or `masked`."""

    name = "services"
    section: Any = ServicesSection
    rules: tuple[LintRule, ...] = (ALIAS, TWICE, OFF_BUT_NEEDED, NEVER_OFF, NOT_FREE, PORT_53)

    def lint(self, section: ServicesSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        causes = {claim.unit: claim.cause for claim in claims if isinstance(claim, NeedsUnit)}
        answers_names = any(isinstance(claim, Serves) and claim.protocol == "dns" for claim in claims)
        first_named: dict[str, str] = {}
        for name, state in section.items():
            unit = unit_of(name)
            stem = name.removesuffix(".service")
            first = first_named.setdefault(unit, name)
            if first != name:
                yield TWICE.hit((name,), f"`{name}` is the same service as `{first}`", "keep one of the two")
            if stem in ALIASES:
                yield ALIAS.hit((name,), f"{stem} is an alias of {ALIASES[stem]}", f"write `{ALIASES[stem]}: {state}`")
            if why := power_unit(unit):
                yield NOT_FREE.hit((name,), f"a spec cannot switch {unit}: {why}", "remove the line")
            elif state != "enabled" and (why := way_in_unit(unit)):
                yield NEVER_OFF.hit((name,), f"{unit} must stay on: {why}", "remove the line")
            if state != "enabled" and unit in causes:
                yield OFF_BUT_NEEDED.hit(
                    (name,), f"{unit} is {state}, but `{causes[unit]}` needs it", f"write `{name}: enabled`"
                )
            if state == "enabled" and unit == "named.service" and answers_names:
                yield PORT_53.hit(
                    (name,), "BIND and dnsmasq cannot both listen on port 53", f"write `{name}: disabled`"
                )

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        yield from ()

    def claims(self, section: ServicesSection) -> Iterator[Claim]:
        yield from ()

    def desire(
        self,
        section: ServicesSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        needed = {claim.unit for claim in claims if isinstance(claim, NeedsUnit)}
        for name, state in (section or {}).items():
            if unit_of(name) not in needed:
                yield Unit(self.name, unit_of(name), state, free=True)

    def watch(self) -> Watch:
        return Watch()
