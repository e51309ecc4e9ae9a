"""A firewall file of Proxmox is changed in the lines that say something else, and nowhere else."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from service.firewall.pve.files import read_cluster
from service.firewall.pve.in_place import in_place
from service.firewall.pve.render import canonical, render
from service.firewall.terms.model import Level

BY_HAND = b"""\
# the whole house
[OPTIONS]
policy_in: DROP
enable: 1

[ALIASES]
printer 10.0.0.9   # second floor
office 203.0.113.0/24

[IPSET friends] # of the house
office
!203.0.113.66  # no more

# who may come in
[RULES]
in   SSH(ACCEPT) -source +friends   # Ada
# the printer
IN ACCEPT -p tcp -dport 9100
IN Ping(ACCEPT)
"""
AS_IT_IS = read_cluster(BY_HAND).level


def read(data: bytes) -> Level:
    reading = read_cluster(data)
    assert not reading.ignored, reading.ignored
    return reading.level


def changed(old: bytes, old_words: bytes, new_words: bytes) -> bytes:
    """The hand-written file after the same change in the model."""
    assert BY_HAND.count(old_words) == 1
    wanted = render(replace(read(BY_HAND.replace(old_words, new_words)), file="cluster.fw"))
    made = in_place(wanted, old, read)
    assert made is not None
    return made


def test_a_file_that_says_it_already_stays_byte_for_byte() -> None:
    assert in_place(render(AS_IT_IS), BY_HAND, read) == BY_HAND


def test_one_rule_changes_its_own_line() -> None:
    made = changed(BY_HAND, b"-dport 9100", b"-dport 9101")
    assert made == BY_HAND.replace(b"-dport 9100", b"-dport 9101")


def test_an_option_an_alias_and_an_entry_change_where_they_stand() -> None:
    assert changed(BY_HAND, b"policy_in: DROP", b"policy_in: REJECT") == BY_HAND.replace(
        b"policy_in: DROP", b"policy_in: REJECT"
    )
    assert changed(BY_HAND, b"office 203.0.113.0/24", b"office 203.0.113.0/25") == BY_HAND.replace(
        b"office 203.0.113.0/24", b"office 203.0.113.0/25"
    )
    assert changed(BY_HAND, b"!203.0.113.66  # no more\n", b"") == BY_HAND.replace(b"!203.0.113.66  # no more\n", b"")


def test_rules_are_added_and_go_without_moving_others() -> None:
    first = b"IN HTTPS(ACCEPT)\n"
    made = changed(BY_HAND, b"in   SSH(ACCEPT)", first + b"in   SSH(ACCEPT)")
    assert made == BY_HAND.replace(b"in   SSH(ACCEPT)", first + b"in   SSH(ACCEPT)")
    made = changed(BY_HAND, b"IN Ping(ACCEPT)\n", b"IN Ping(ACCEPT)\nIN DROP\n")
    assert made == BY_HAND.replace(b"IN Ping(ACCEPT)\n", b"IN Ping(ACCEPT)\nIN DROP\n")
    assert changed(BY_HAND, b"IN Ping(ACCEPT)\n", b"") == BY_HAND.replace(b"IN Ping(ACCEPT)\n", b"")


def test_a_new_section_stands_where_proxmox_writes_it_and_the_usual_is_not_written() -> None:
    old = b"[RULES]\n\nIN SSH(ACCEPT)\n"
    web = b"[group web]\n\nIN Web(ACCEPT)\n"
    wanted = b"[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n\n[RULES]\n\nIN SSH(ACCEPT)\n\n" + web + b"\n"
    assert in_place(wanted, old, read) == b"[OPTIONS]\n\nenable: 1\n\n[RULES]\n\nIN SSH(ACCEPT)\n\n" + web
    assert in_place(b"[OPTIONS]\n\npolicy_in: DROP\n\n[RULES]\n\nIN SSH(ACCEPT)\n\n", old, read) == old


def test_a_section_that_stands_twice_is_not_changed_in_place() -> None:
    assert in_place(render(AS_IT_IS), BY_HAND + b"[RULES]\nIN DROP\n", read) is None


RULES = ("IN SSH(ACCEPT)", "IN DROP", "IN ACCEPT -p tcp -dport 80", "|OUT ACCEPT", "IN Ping(ACCEPT) # all")
PIECES = st.fixed_dictionaries({
    "OPTIONS": st.lists(st.sampled_from(("enable: 1", "policy_in: DROP", "policy_out: REJECT")), unique=True),
    "ALIASES": st.lists(st.sampled_from(("a1 10.0.0.1", "b1 10.0.0.2 # b", "c1 2001:db8::1")), unique=True),
    "IPSET s1": st.lists(st.sampled_from(("10.0.0.1", "!10.0.0.2", "10.0.1.0/24 # c")), unique=True),
    "RULES": st.lists(st.sampled_from(RULES), max_size=8),
    "group g1": st.lists(st.sampled_from(RULES), max_size=3),
})  # fmt: skip


def text_of(pieces: dict[str, list[str]]) -> bytes:
    return "".join(f"[{head}]\n\n" + "".join(f"{x}\n" for x in lines) + "\n" for head, lines in pieces.items()).encode()


@settings(max_examples=60, deadline=None)
@given(PIECES, PIECES)
def test_what_comes_out_says_what_is_wanted(old: dict[str, list[str]], new: dict[str, list[str]]) -> None:
    wanted = render(replace(read(text_of(new)), file="cluster.fw"))
    made = in_place(wanted, text_of(old), read)
    assert made is not None
    have, want = canonical(read(made)), canonical(read(wanted))
    usual = {"policy_in": "DROP"}
    assert {**usual, **have.options} == {**usual, **want.options}
    assert (have.rules, {n: g.rules for n, g in have.groups.items()}) == (
        want.rules, {n: g.rules for n, g in want.groups.items()}
    )  # fmt: skip
    assert {n: a.cidr for n, a in have.aliases.items()} == {n: a.cidr for n, a in want.aliases.items()}
    assert [[(e.cidr, e.nomatch) for e in s.entries] for s in have.ipsets.values()] == [
        [(e.cidr, e.nomatch) for e in s.entries] for s in want.ipsets.values()
    ]
