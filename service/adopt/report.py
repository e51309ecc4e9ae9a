"""What adopt says beside the spec: what was understood, what stays unmanaged, what is dangerous."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from service.model.states import Json
from service.model.trees import shown

Sort = Literal["understood", "unmanaged", "danger"]

HEADINGS: Mapping[Sort, str] = {
    "understood": "understood: met where it stands, and in the spec",
    "unmanaged": "stays unmanaged: kept byte for byte",
    "danger": "dangerous: works, and may not tomorrow",
}
MAX_NOTES = 2000
_WORDS = 400


@dataclass(frozen=True, slots=True)
class Note:
    """One thing found: its sort, the section of the spec that it concerns, where it stands (`path:line`), in words."""

    sort: Sort
    section: str
    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found on one host. `guests` are those known to Proxmox, with what their own settings say.

    `refusal` says why no spec could be made at all.
    """

    host: str
    notes: tuple[Note, ...] = ()
    guests: tuple[Mapping[str, Json], ...] = ()
    refusal: str = ""

    def of(self, sort: Sort) -> Sequence[Note]:
        """The notes of one sort, in the order of their places."""
        return [note for note in self.notes if note.sort == sort]

    def as_json(self) -> dict[str, Json]:
        """For programs."""
        found: dict[str, Json] = {"host": self.host, "refusal": self.refusal}
        for sort in HEADINGS:
            found[sort] = [{k: v for k, v in asdict(note).items() if k != "sort"} for note in self.of(sort)]
        found["guests"] = [dict(guest) for guest in self.guests]
        return found

    def as_text(self) -> str:
        """For people."""
        lines = [f"refused: {self.refusal}"] if self.refusal else []
        for sort, heading in HEADINGS.items():
            notes = self.of(sort)
            if notes:
                lines += ["", f"{heading} ({len(notes)})"] if lines else [f"{heading} ({len(notes)})"]
                lines += [f"  {note.where or '-'}: {note.section}: {shown(note.what, _WORDS)}" for note in notes]
        if self.guests:
            lines += ["", f"guests known to Proxmox ({len(self.guests)})"]
            lines += [f"  {guest['where']}: {_guest(guest)}" for guest in self.guests]
        return "".join(f"{line}\n" for line in lines)


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


@dataclass(slots=True)
class Notes:
    """Notes while they are gathered."""

    made: list[Note] = field(default_factory=list)

    def add(self, sort: Sort, section: str, where: str, what: str) -> None:
        """One more, if it is none that is there."""
        note = Note(sort, section, where, shown(what, _WORDS))
        if len(self.made) < MAX_NOTES and note not in self.made:
            self.made.append(note)
