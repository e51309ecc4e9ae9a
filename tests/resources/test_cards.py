"""The card that `mac` means, and names that systemd's .link files give a card at the next boot."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from service.formats.link_files import FOLDER, PinnedName, pinned_name
from service.model.observed import Card, HostObserved
from service.model.states import Absent, Observed, Seen
from service.observe.cards import pinned_at_boot
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.laws.host import INTERFACES, bare_host, link
from tests.laws.specs import desired_from

MAC, OTHER = "bc:24:11:0a:00:01", "bc:24:11:0a:00:02"
SPEC = f'interfaces:\n  enp1s0: {{addresses: [198.51.100.11/24], gateway: 198.51.100.1, mac: "{MAC.upper()}"}}\n'
PIN = f"[Match]\nMACAddress={MAC}\nType=ether\n\n[Link]\nName=nic0\n".encode()
PATH = f"{FOLDER}/50-pmx-nic0.link"


def host_of(
    text: str, cards: Mapping[str, Card], files: Mapping[str, bytes] | None = None, gone: tuple[str, ...] = ()
) -> HostObserved:
    """A host with these cards; `gone` are links that it does not have."""
    bare = bare_host(desired_from(text).watch, files)
    facts: dict[str, Observed[object]] = {**bare.facts, **{f"link:{name}": Seen(link()) for name in cards}}  # type: ignore[dict-item]
    facts |= {f"link:{name}": Absent() for name in gone}
    return replace(bare, facts=facts, cards=cards)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Row:
    name: str
    cards: Mapping[str, Card]
    refused: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


ROWS = [
    Row("the card is where the spec says", {"enp1s0": Card(MAC, MAC)}),
    Row("a bond gave it another address to use", {"enp1s0": Card(OTHER, MAC)}),
    Row("a VLAN on it has the same", {"enp1s0": Card(MAC, MAC), "enp1s0.7": Card(MAC, MAC, None, "enp1s0")}),
    Row(
        "two cards changed places",
        {"enp1s0": Card(OTHER, OTHER), "enp2s0": Card(MAC, MAC)},
        (f"enp1s0 is the card {MAC}. On pve1 enp1s0 has {OTHER}, and enp2s0 is the card {MAC}",),
    ),
    Row(
        "the card has another name",
        {"enp2s0": Card(MAC, MAC)},
        ("there is no enp1s0, and enp2s0 is the card", "write enp2s0 in the spec in place of enp1s0"),
        gone=("enp1s0",),
    ),
    Row(
        "the next boot gives it its name back",
        {"enp2s0": Card(MAC, MAC)},
        ("reboot pve1: " + PATH + " gives enp2s0 the name enp1s0 then",),
        gone=("enp1s0",),
        files={PATH: PIN.replace(b"nic0", b"enp1s0")},
    ),
    Row("the card is gone", {"enp1s0": Card(OTHER, OTHER)}, (f"no card has {MAC}", "put the card back")),
    Row("nobody said the address", {}, ("did not say the MAC address of enp1s0",)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_plan_is_refused_where_the_card_is_not_the_one_of_the_spec(row: Row) -> None:
    host = host_of(SPEC, row.cards, row.files, row.gone)
    said = "\n".join(f"{r.what}\n{r.hint}" for r in make_plan(desired_from(SPEC), LastApplied(), host).refusals)
    assert bool(said) == bool(row.refused), said
    assert all(words in said for words in row.refused), said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (PIN, PinnedName((MAC,), "nic0")),
        (PIN.replace(b"MACAddress", b"PermanentMACAddress").replace(MAC.encode(), MAC.upper().encode()),
         PinnedName((MAC,), "nic0")),
        (b"# by hand\n" + PIN, PinnedName((MAC,), "nic0")),
        (PIN.replace(b"Type=ether", b"Driver=e1000e"), None),
        (PIN.replace(b"Type=ether", b"Type=wlan"), None),
        (PIN.replace(b"Name=nic0", b"NamePolicy=keep"), None),
        (PIN.replace(b"Name=nic0", b"Name=a name/../x"), None),
        (b"\xff\xfe[Match]\n=\n[", None),
        (b"", None),
    ],
)  # fmt: skip
def test_a_link_file_gives_a_name_by_an_address_alone(text: bytes, found: PinnedName | None) -> None:
    assert pinned_name(text) == found


PLAIN = SPEC.replace(f', mac: "{MAC.upper()}"', "")


def test_of_two_files_for_one_card_the_first_counts() -> None:
    files = {PATH: PIN, f"{FOLDER}/60-other.link": PIN.replace(b"nic0", b"nic9")}
    found = pinned_at_boot(host_of(PLAIN, {"enp1s0": Card(MAC, MAC)}, files))
    assert {now: (then.name, then.path) for now, then in found.items()} == {"enp1s0": ("nic0", PATH)}


def test_a_card_that_the_next_boot_renames_away_from_its_stanza_is_reported() -> None:
    host = host_of(PLAIN, {"enp1s0": Card(MAC, MAC)}, {PATH: PIN})
    plan = make_plan(desired_from(PLAIN), LastApplied(), host)
    assert not plan.refusals  # it is so already, whatever is planned
    assert any(f"enp1s0 is renamed to nic0 ({PATH})" in what for what in plan.at_boot)
    assert any(f"{PATH} renames it to nic0, and no interfaces file" in what for what in plan.at_boot)


def test_stanzas_under_the_names_of_the_next_boot_bring_the_way_up() -> None:
    files = {PATH: PIN, "/etc/network/interfaces": INTERFACES.replace(b"enp1s0", b"nic0")}
    host = host_of(PLAIN, {"enp1s0": Card(MAC, MAC)}, files)
    said = make_plan(desired_from(PLAIN), LastApplied(), host)
    assert [what for what in said.at_boot if "renames it" in what or "is not brought up" in what] == []
    new = PLAIN.replace("enp1s0", "nic0")
    refused = make_plan(desired_from(new), LastApplied(), replace(host, facts={**host.facts, "link:nic0": Absent()}))
    assert any("the next boot renames enp1s0 to nic0" in refusal.what for refusal in refused.refusals)
