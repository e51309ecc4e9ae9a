"""The words of scenarios about published sites."""

from service.model.listings import SiteListing
from tests.scenarios.comparing import compared
from tests.scenarios.script import Line
from tests.scenarios.stage import Stage

DAY_S = 86_400


class PlaysSites:
    """What the guest says, what is seen from outside, and what the service makes of it."""

    stage: Stage

    async def _guest(self, line: Line) -> None:
        """What the program in the proxy's guest says of a certificate from now on."""
        site, _, said = line.rest.partition(" ")
        word, _, text = said.partition(" ")
        now = int(self.stage.clock.now().timestamp())
        row = self.stage.played.certificates.setdefault(
            site,
            {"names": [site], "certificate": {"kind": "self-signed", "not_before": now, "not_after": now + DAY_S}},
        )
        row |= {"window": None, "waits_for": None, "next_attempt_at": None}
        if word == "waits":
            row["waits_for"] = text
        elif word == "issued":
            serial = f"{int(row['certificate'].get('serial') or '0', 16) + 1:x}"
            held = {"kind": "issued", "not_before": now, "not_after": now + 90 * DAY_S, "serial": serial}
            window = {"start": now + 60 * DAY_S, "end": now + 61 * DAY_S, "by": "ari"}
            row |= {"certificate": held, "window": window, "failed_since_issue": 0, "last_attempt": None}
        elif word == "failed":
            attempt = {"at": now, "outcome": "failed", "stage": "challenge", "type": "urn:x", "detail": text}
            row |= {"last_attempt": attempt, "failed_since_issue": row.get("failed_since_issue", 0) + 1}
            row |= {"waits_for": "back-off", "next_attempt_at": now + 3600}
        else:
            raise line.bad("what does the guest say? Fix: guest SITE waits WORD | issued | failed TEXT")

    async def _internet(self, line: Line) -> None:
        """What is seen from outside from now on."""
        word, _, rest = line.rest.partition(" ")
        site, _, text = rest.partition(" ")
        internet = self.stage.internet
        if word == "wrong":
            internet.wrong[site] = text
        elif word == "closed":
            internet.closed.add(site)
        elif word == "status":
            internet.status = int(site)
        elif word == "well":
            internet.wrong.clear()
            internet.closed.clear()
            internet.status = 200
        else:
            raise line.bad("Fix: internet wrong SITE TEXT | closed SITE | status NUMBER | well")

    def _see_site(self, line: Line, rest: str) -> str:
        """What API, CLI and metrics show of a site."""
        name, _, wanted = rest.partition(" ")
        found = self.stage.queries.sites(SiteListing(host=self.stage.at, name=name)).items
        return compared(line, next(iter(found), None), wanted)

    def _see_permits(self, _line: Line, rest: str) -> str:
        """How often the guest got results; SITE ok or SITE no: the last one of a site."""
        permits = self.stage.played.permits
        if rest.isdigit():
            return "" if len(permits) == int(rest) else f"{permits}"
        name, _, word = rest.partition(" ")
        last = next((one[name] for one in reversed(permits) if name in one), None)
        return "" if last is not None and last["ok"] == (word == "ok") else f"{permits}"

    def _see_checks(self, _line: Line, rest: str) -> str:
        """How often the checks of a site ran."""
        name, _, number = rest.partition(" ")
        found = self.stage.internet.lines.count(f"check {name}")
        return "" if found == int(number) else f"{found}"
