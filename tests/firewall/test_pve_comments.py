"""Comment lines of Proxmox's firewall files keep their places when the file is written again."""

from hypothesis import given
from hypothesis import strategies as st

from service.firewall.pve.comments import MAX_KEPT_BYTES, keep_comments
from service.firewall.pve.files import read_cluster

OLD = b"""\
# the whole house
[OPTIONS]

enable: 1

# who may come in
[RULES]

# the office, until spring
IN SSH(ACCEPT) -source 203.0.113.7 -log nolog # Ada
# printer
IN ACCEPT -p tcp -dport 9100
# nothing else

# of the web servers
[group web]

IN Web(ACCEPT)
"""

NEW = b"""\
[OPTIONS]

enable: 1
policy_in: DROP

[RULES]

IN SSH(ACCEPT) -source 203.0.113.7 -log nolog # Grace
IN DROP

"""

KEPT = b"""\
# the whole house
[OPTIONS]

enable: 1
policy_in: DROP

# who may come in
[RULES]

# the office, until spring
IN SSH(ACCEPT) -source 203.0.113.7 -log nolog # Grace
IN DROP

# printer
# nothing else
# of the web servers
"""


def test_a_comment_stays_above_its_line_or_at_the_end_of_its_section() -> None:
    assert keep_comments(NEW, OLD) == KEPT


def test_a_section_that_moves_takes_its_comment_along() -> None:
    old = b"# names\n[ALIASES]\n\na 192.0.2.1\n\n# all\n[OPTIONS]\n\nenable: 1\n"
    new = b"[OPTIONS]\n\nenable: 1\n\n[ALIASES]\n\na 192.0.2.1\n\n"
    assert keep_comments(new, old) == b"# all\n[OPTIONS]\n\nenable: 1\n\n# names\n[ALIASES]\n\na 192.0.2.1\n\n"


def test_too_many_comments_are_left_out() -> None:
    assert keep_comments(NEW, b"# x\n" * MAX_KEPT_BYTES) == NEW


LINES = st.sampled_from(
    (b"[RULES]", b"[rules]", b"[group web]", b"[IPSET s]", b"IN DROP", b"OUT ACCEPT # x", b"192.0.2.1", b"", b"#",
     b"# a", b"  # b \r", b"[", b"enable: 1", b"[OPTIONS]", b"\xff", b"#\xff\x00")
)  # fmt: skip
FILES = st.lists(LINES, max_size=14).map(lambda lines: b"".join(line + b"\n" for line in lines))


@given(new=FILES, old=FILES)
def test_no_comment_is_lost_none_is_doubled_and_nothing_else_changes(new: bytes, old: bytes) -> None:
    heads = {line.lower(): line for line in new.split(b"\n") if line.startswith(b"[")}
    plain = [line for line in new.split(b"\n")[:-1] if b"#" not in line and not line.startswith(b"[")]
    new = b"".join(line + b"\n" for head in heads.values() for line in (head, *plain, b""))  # each section once
    kept = keep_comments(new, old)
    comments = [line.strip(b" \t\r\n") for line in old.split(b"\n") if line.strip(b" \t").startswith(b"#")]
    assert [line for line in kept.split(b"\n") if not line.startswith(b"#")] == new.split(b"\n")
    assert sorted(line for line in kept.split(b"\n") if line.startswith(b"#")) == sorted(comments)
    assert keep_comments(new, kept) == kept
    was, now = read_cluster(new).level, read_cluster(kept).level
    assert (was.options, [r.text for r in was.rules], set(was.groups)) == (
        now.options, [r.text for r in now.rules], set(now.groups)
    )  # fmt: skip
