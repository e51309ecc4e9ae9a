"""The card that an interface's `mac` means: it is only looked for, and never renamed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from service.formats.link_files import FILES
from service.model.changes import Difference
from service.model.observed import HostObserved, Watch
from service.model.plans import Refusal
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.observe.cards import card_of, pinned_at_boot
from service.resources.resource import Compared, Contribution, Wishes, field_difference

LINK_FILE = "/etc/systemd/network/10-{name}.link"


@dataclass(frozen=True, slots=True)
class NamedCard:
    """The interface `name` is the card with the MAC address `mac` (small letters)."""

    kind: str = field(compare=False)
    name: str
    mac: str

    @property
    def id(self) -> str:
        return f"card:{self.name}"

    def wishes(self) -> Wishes:
        return {(self.name, "mac", "live"): self.mac}

    def watch(self) -> Watch:
        return Watch(files=frozenset({FILES}))

    def differences(self, observed: HostObserved) -> Iterator[Difference]:
        yield from field_difference(self, self.name, "mac", "live", self.mac, self.seen(observed))

    def seen(self, observed: HostObserved) -> Observed[Json]:
        """The MAC address that the host's card of this name was made with."""
        link = observed.fact(f"link:{self.name}")
        if not isinstance(link, Seen):
            return link if isinstance(link, Unknown) else Absent()
        card = observed.cards.get(self.name)
        if card is None or not card.own_mac:
            return Unknown(f"{observed.host} did not say the MAC address of {self.name}")
        return Seen(card.own_mac)

    @classmethod
    def steps(cls, compared: Sequence[Compared[Self]], observed: HostObserved) -> Contribution:
        wrong = [card for card, different in compared if different and not any(d.unknown for d in different)]
        return Contribution(refusals=tuple(card.refusal(observed) for card in wrong))

    def refusal(self, observed: HostObserved) -> Refusal:
        """Which card is where, and what to do. Nothing is changed on a host whose cards are not those of the spec."""
        seen, now = self.seen(observed), card_of(observed, self.mac)
        other = f"{self.name} has {seen.value}" if isinstance(seen, Seen) else f"there is no {self.name}"
        what = f"the spec says that {self.name} is the card {self.mac}. On {observed.host} "
        if not now:
            return Refusal(
                "no-way",
                f"{what}{other}, and no card has {self.mac}",
                hint=f"put the card back, or write the `mac` of the card that {self.name} is now",
            )
        pinned = pinned_at_boot(observed).get(now)
        if pinned is not None and pinned.name == self.name:
            hint = f"reboot {observed.host}: {pinned.path} gives {now} the name {self.name} then"
        else:
            path = LINK_FILE.format(name=self.name)
            hint = (
                f"write {now} in the spec in place of {self.name}, or give the card its name with {path} "
                f"(`[Match] PermanentMACAddress={self.mac}`, `[Link] Name={self.name}`) and reboot {observed.host}"
            )
        return Refusal("no-way", f"{what}{other}, and {now} is the card {self.mac}", hint=hint)
