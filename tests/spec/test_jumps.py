"""`connection.jump`: a host of the fleet, or one with its own keys; what is wrong with it is an error."""

from collections.abc import Callable

import pytest

from service.apply.fleet import target_of
from service.errors import InputError
from service.spec.fleet import Fleet
from service.spec.jumps import MOST_CHECKED
from tests.laws.specs import KEY

Read = Callable[..., Fleet]
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT"
BASTION = f"{{address: bastion.example.net, user: ops, port: 2222, host_keys: [{OTHER}]}}"


def host(name: str, address: str, jump: str = "", more: str = "") -> str:
    via = f"  jump: {jump}\n" if jump else ""
    return (
        f"host: {name}\nconnection:\n  address: {address}\n  host_keys: [{KEY}]\n  console: https://c.example.net/\n"
        f"{via}{more}"
    )


def fleet(read: Read, **jumps: str) -> Fleet:
    """Hosts pve1, pve2, …, each behind what is given."""
    named = {name: host(name, f"10.0.0.{number}", jump) for number, (name, jump) in enumerate(jumps.items(), 1)}
    return read({f"hosts/{name}.yaml": text for name, text in named.items()})


def said(found: Fleet) -> list[str]:
    return [f"{one} [{one.rule}]" for one in found.findings]


def test_a_host_behind_another_of_the_fleet_is_reached_through_it(read: Read) -> None:
    found = fleet(read, pve1=BASTION, pve2="pve1", pve3="pve2")
    assert said(found) == []
    target = target_of(found.hosts["pve3"])
    assert [(hop.name, hop.login, hop.is_jump) for hop in target.way] == [
        ("bastion.example.net", "ops@bastion.example.net:2222", True),
        ("pve1", "root@10.0.0.1:22", True),
        ("pve2", "root@10.0.0.2:22", True),
        ("pve3", "root@10.0.0.3:22", False),
    ]
    assert [hop.host_keys for hop in target.way] == [(OTHER,), (KEY,), (KEY,), (KEY,)]


@pytest.mark.parametrize(
    ("jumps", "line"),
    [
        (
            {"pve1": "", "pve2": "pve7"},
            "hosts/pve2.yaml:6:9: connection.jump: no file of hosts/ describes `pve7`. Fix: write `pve2`, if you mean "
            "that [connection.unknown-jump]",
        ),
        (
            {"pve1": "pve1"},
            "hosts/pve1.yaml:6:9: connection.jump: pve1 would be reached through pve1. Fix: remove `jump` from one of "
            "them, or move it from the shared file to a group without that host [connection.jump-loop]",
        ),
        (
            {"pve1": "pve2", "pve2": "pve1"},
            "hosts/pve1.yaml:6:9: connection.jump: pve1 would be reached through pve2 and pve1. Fix: remove `jump` "
            "from one of them, or move it from the shared file to a group without that host [connection.jump-loop]",
        ),
        (
            {"pve1": "", "pve2": "pve1", "pve3": "pve2", "pve4": "pve3", "pve5": "pve4"},
            "hosts/pve5.yaml:6:9: connection.jump: pve5 is reached through more than 3 hosts: pve4, pve3, pve2, pve1. "
            "Fix: name a host that is reached more directly [connection.jump-too-long]",
        ),
        (
            {"pve1": "{address: 198.51.100.7}"},
            "hosts/pve1.yaml:6:3: connection.jump.host_keys: the key is missing. Fix: add it [missing-key]",
        ),
        (
            {"pve1": "NotAName"},
            "hosts/pve1.yaml:6:9: connection.jump: `NotAName` is not a host name. Fix: write notaname [value]",
        ),
        (
            {"pve1": "[pve2]"},
            "hosts/pve1.yaml:6:3: connection.jump: the value is a list of 1. Fix: write keys and values [type]",
        ),
        (
            {"pve1": BASTION.replace("port", "prot")},
            "hosts/pve1.yaml:6:51: connection.jump.prot: unknown key `prot`. Fix: write `port`, if you mean that "
            "[unknown-key]",
        ),
    ],
)
def test_what_is_wrong_with_a_jump_host_is_an_error(read: Read, jumps: dict[str, str], line: str) -> None:
    found = fleet(read, **jumps)
    assert line in said(found)
    assert found.has_errors


def test_a_jump_host_with_errors_is_not_called_unknown_and_no_host_is_reached_directly(read: Read) -> None:
    files = {
        "hosts/pve1.yaml": host("pve1", "10.0.0.1", more="snyc: auto\n"),
        "hosts/pve2.yaml": host("pve2", "10.0.0.2", "pve1"),
    }
    found = read(files)
    assert {one.rule for one in found.findings} == {"unknown-key"}
    with pytest.raises(InputError, match="the way through pve1 is not known"):
        target_of(found.hosts["pve2"])


def test_what_is_behind_a_jump_host_is_checked_around_its_changes(read: Read) -> None:
    found = fleet(read, pve1="", pve2="pve1", pve3="pve1", pve4="pve2")
    assert [check.name for check in found.hosts["pve1"].checks] == ["tcp 10.0.0.2:22", "tcp 10.0.0.3:22"]
    assert [check.name for check in found.hosts["pve2"].checks] == ["tcp 10.0.0.4:22"]
    assert all(check.origin == "host" for check in found.hosts["pve1"].checks)
    many = fleet(read, pve1="", **{f"pve{n}": "pve1" for n in range(2, 60)})
    assert len(many.hosts["pve1"].checks) == MOST_CHECKED


def test_two_hosts_behind_two_jump_hosts_may_have_one_private_address(read: Read) -> None:
    files = {
        "hosts/a1.yaml": host("a1", "192.0.2.1"), "hosts/b1.yaml": host("b1", "192.0.2.2"),
        "hosts/a2.yaml": host("a2", "10.0.0.2", "a1"), "hosts/b2.yaml": host("b2", "10.0.0.2", "b1"),
    }  # fmt: skip
    assert said(read(files)) == []
    same = {**files, "hosts/b2.yaml": host("b2", "10.0.0.2", "a1")}
    assert [one.rule for one in read(same).findings] == ["connection.duplicate-address"]


def test_a_jump_host_for_all_but_itself_is_a_group(read: Read) -> None:
    group = "group: inside\nhosts: [pve2, pve3]\nvalues: {connection: {jump: pve1}}\n"
    files = {f"hosts/pve{n}.yaml": host(f"pve{n}", f"10.0.0.{n}") for n in (1, 2, 3)}
    found = read({**files, "groups/inside.yaml": group})
    assert said(found) == []
    assert [len(target_of(found.hosts[f"pve{n}"]).way) for n in (1, 2, 3)] == [1, 2, 2]
    shared = read({**files, "fleet.yaml": "passerelle: 1\ndefaults: {connection: {jump: pve1}}\n"})
    assert (
        "fleet.yaml:2:31: defaults.connection.jump: pve1 would be reached through pve1 (host pve1)" in said(shared)[0]
    )
