"""The internet as a value: which checks fail, how sites answer, and what was queried."""

from dataclasses import dataclass, field, replace

from service.model.sites.seen import Answer, CertificateServed, Check, Preflight
from service.model.sites.wanted import SiteWanted


@dataclass
class PlayedInternet:
    """`wrong` are the sentences of checks that fail, by site; "?" in front: nobody could say. `closed` are sites that
    do not answer, `status` is what the others answer. `lines` are what was queried, in order."""

    wrong: dict[str, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    status: int = 200
    lines: list[str] = field(default_factory=list)

    async def preflight(self, site: SiteWanted, at: int) -> Preflight:
        self.lines.append(f"check {site.name}")
        why = self.wrong.get(site.name, "")
        check = Check("resolves", why.removeprefix("?"), is_known=not why.startswith("?"))
        return Preflight(at, (check, Check("port-80")))

    async def answers(self, site: SiteWanted) -> tuple[Answer, ...]:
        self.lines.append(f"request {site.name}")
        answer = Answer(site.addresses[0] if site.addresses else "", self.status)
        return (replace(answer, status=0, error="timed out") if site.name in self.closed else answer,)

    def certificate(self, der: bytes) -> CertificateServed | None:
        return None
