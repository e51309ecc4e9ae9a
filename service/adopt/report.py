"""The report of adopt: the understood, the unmanaged and the dangerous."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from service.adopt.next_plan import FirstPlan
from service.model.changes import Difference
from service.model.states import Json
from service.model.trees import shown

Sort = Literal["understood", "unmanaged", "danger"]

HEADINGS: Mapping[Sort, str] = {
    "understood": "understood: in the spec, and the host already has it",
    "unmanaged": "stays unmanaged: kept byte for byte",
    "danger": "dangerous: works now, and may fail after the next reload, reboot or upgrade",
}
PLAN = "the first plan changes this on the host"
_WORDS = 400


@dataclass(frozen=True, slots=True)
class Note:
    """One thing found: its sort, the section of the spec that it concerns, its place (`path:line`), in words.

    `lines` are all of its lines in that file: a line that was read is in exactly one note. `in_spec`: whether the
    spec has it; None where it is about the host as a whole.
    """

    sort: Sort
    section: str
    where: str
    what: str
    lines: tuple[int, ...] = ()
    in_spec: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found on one host. `guests` are those known to Proxmox, with what their own settings say.

    `plan` is what the first plan of the spec would change, as far as it is known; `refusal` says why no spec could be
    made at all.
    """

    host: str
    notes: tuple[Note, ...] = ()
    guests: tuple[Mapping[str, Json], ...] = ()
    refusal: str = ""
    plan: FirstPlan = field(default_factory=FirstPlan)

    def of(self, sort: Sort) -> Sequence[Note]:
        """The notes of one sort, in the order of their places."""
        return [note for note in self.notes if note.sort == sort]

    def as_json(self) -> dict[str, Json]:
        """For programs."""
        found: dict[str, Json] = {"host": self.host, "refusal": self.refusal}
        for sort in HEADINGS:
            found[sort] = [
                {**{k: v for k, v in asdict(note).items() if k != "sort"}, "lines": [*note.lines]}
                for note in self.of(sort)
            ]
        found["guests"] = [dict(guest) for guest in self.guests]
        found["plan"] = [
            {
                "section": d.kind,
                "resource": d.resource,
                "field": d.field,
                "where": d.where,
                "want": d.want,
                "have": d.have,
            }
            for d in self.plan.changes
        ]
        found["plan_refusals"] = [f"{refusal.what}. Fix: {refusal.hint}" for refusal in self.plan.refusals]
        return found

    def as_text(self) -> str:
        """For people."""
        lines = [f"refused: {self.refusal}"] if self.refusal else []
        for sort, heading in HEADINGS.items():
            notes = self.of(sort)
            if notes:
                lines += ["", f"{heading} ({len(notes)})"] if lines else [f"{heading} ({len(notes)})"]
                lines += [f"  {note.where or '-'}: {note.section}: {shown(note.what, _WORDS)}" for note in notes]
        changes = [*map(_change, self.plan.changes), *(f"refused: {r.what}" for r in self.plan.refusals)]
        if changes:
            lines += ["", f"{PLAN} ({len(changes)})", *(f"  {shown(line, _WORDS)}" for line in changes)]
        if self.guests:
            lines += ["", f"guests known to Proxmox ({len(self.guests)})"]
            lines += [f"  {guest['where']}: {_guest(guest)}" for guest in self.guests]
        return "".join(f"{line}\n" for line in lines)


def _change(difference: Difference) -> str:
    """One line of the first plan."""
    cause = f" ({difference.cause})" if difference.cause else ""
    return (
        f"{difference.kind}: {difference.resource} {difference.field} [{difference.where}]: "
        f"{_value(difference.have)} -> {_value(difference.want)}{cause}"
    )


def _value(value: Json) -> str:
    return "none" if value in (None, []) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _guest(guest: Mapping[str, Json]) -> str:
    cards = guest["cards"]
    words = [str(guest["name"]), *(_card(card) for card in (cards if isinstance(cards, list) else []))]
    words += ["template"] if guest["template"] else []
    pending = guest["pending"]
    words += [f"waits for a restart: {', '.join(map(str, pending))}"] if isinstance(pending, list) and pending else []
    return shown(", ".join(words), _WORDS)


def _card(card: Json) -> str:
    if not isinstance(card, dict):
        return ""
    return " ".join(str(card[key]) for key in ("mac", "bridge", "address") if card.get(key))
