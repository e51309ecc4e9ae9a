"""Whatever is in a host file, reading it gives a spec or findings that are in the file."""

from hypothesis import given
from hypothesis import strategies as st

from service.kinds import KINDS
from service.model.trees import BlobEntry
from service.spec.reading import read_file
from service.spec.report import as_text
from tests.spec.conftest import HOST

PIECES = st.one_of(
    st.text(alphabet="ab:-[]{}&*!%|>'\"#?, \n\t~<1é./", max_size=12),
    st.sampled_from(
        ["null", "true", "-1", "9" * 19, "[]", "{}", "''", "10.10.10.1/24", "vmbr0", "enp1s0", "<<: {a: 1}"]
    ),
    st.sampled_from([line + "\n" for line in HOST.splitlines()]),
)


@given(st.lists(st.tuples(st.integers(0, len(HOST)), st.integers(0, 40), PIECES), min_size=1, max_size=4))
def test_any_edit_of_a_host_gives_a_spec_or_findings(edits: list[tuple[int, int, str]]) -> None:
    text = HOST
    for at, length, piece in edits:
        text = text[:at] + piece + text[at + length :]
    read = read_file(BlobEntry("hosts/pve1.yaml", "", text.encode()), KINDS)
    assert read.spec is not None or any(found.severity == "error" for found in read.findings)
    for found in read.findings:
        assert 1 <= found.line <= text.count("\n") + 2
        assert found.what
    assert all(line.isprintable() for line in as_text(read.findings).splitlines())
