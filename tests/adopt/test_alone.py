"""The spec that adopt writes is read once for each text of it: reading it is most of what adopt costs."""

from service.adopt import adopt
from service.adopt.alone import read_alone
from tests.adopt.corpora import hosts
from tests.calls import counted

PLAIN = dict(hosts())["style classic"]


def test_the_sketch_and_the_text_with_its_notes_are_read_once_each() -> None:
    with counted() as calls:
        assert not adopt(PLAIN).report.refusal
    assert calls["spec/fleet.py:read_fleet"] <= 2


def test_another_host_and_another_file_beside_it_are_read_anew() -> None:
    fleet = {"fleet.yaml": "passerelle: 1\n"}
    read = read_alone("pve1", "host: pve1\n", fleet)
    assert read_alone("pve1", "host: pve1\n", dict(fleet)) is read
    assert read_alone("pve2", "host: pve1\n", fleet).findings != read.findings
    assert read_alone("pve1", "host: pve1\n", {"fleet.yaml": "passerelle: 2\n"}).findings != read.findings
