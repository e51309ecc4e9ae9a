"""What the host's file waits for: the kernel's word on an address, and another try to roll back; and what it stages."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from service.hostside.canonical import STATE
from service.hostside.capture import route_words
from service.hostside.deadline import expire
from service.hostside.errors import Trouble
from service.hostside.host import Host
from service.hostside.journal import KEPT_COPY, Transaction
from service.hostside.set_network import NetworkSetter
from tests.hostside.scratch import ID, Scratch

NEW, OLD = "fd51::1", "fd51::2"
IP = """\
#!/bin/sh
PATH=/usr/bin:/bin
cd {folder}
echo "$*" >>calls
[ "$*" = "-j addr show" ] || exit 0
number=$(cat looks); echo $((number + 1)) >looks
if [ -e answer-$number ]; then cat answer-$number; else cat answer-last; fi
"""


def host_of(folder: Path) -> Host:
    return Host(str(folder), str(folder / "bin"))


def seen(*addresses: dict[str, Any], has_carrier: bool = True) -> list[dict[str, Any]]:
    usual = {"family": "inet6", "prefixlen": 64, "scope": "global"}
    other = {"ifname": "other", "flags": ["LOWER_UP"], "addr_info": [{**usual, "local": "fd52::1", "tentative": True}]}
    flags = ["UP", "LOWER_UP"] if has_carrier else ["UP"]
    return [{"ifname": "up0", "flags": flags, "addr_info": [{**usual, **each} for each in addresses]}, other]


def host_that_shows(folder: Path, *answers: list[dict[str, Any]]) -> Host:
    """Its `ip` shows these addresses one after the other, and the last ones from then on."""
    for number, answer in enumerate(answers[:-1]):
        (folder / f"answer-{number}").write_text(json.dumps(answer))
    (folder / "answer-last").write_text(json.dumps(answers[-1]))
    (folder / "looks").write_text("0\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "ip").write_text(IP.format(folder=folder))
    (folder / "bin" / "ip").chmod(0o755)
    return host_of(folder)


def test_an_address_that_another_machine_has_goes_again_once_the_kernel_knows(tmp_path: Path) -> None:
    old = {"local": OLD}
    waits, has = {"local": NEW, "tentative": True}, {"local": NEW, "tentative": True, "dadfailed": True}
    host = host_that_shows(tmp_path, seen(old), seen(old, waits), seen(old, waits), seen(old, waits), seen(old, has))
    with pytest.raises(Trouble, match=rf"another machine on the network of up0 has {NEW}/64 "):
        NetworkSetter(host, {"addresses": {}}).set_addresses("up0", [f"{NEW}/64", f"{OLD}/64"])
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in calls if call.startswith("addr del")] == [f"addr del {NEW}/64 dev up0"]
    assert calls.count("-j addr show") == 6, "before, after, twice without an answer, with it, and the last word"


@pytest.mark.parametrize(
    "after",
    [seen({"local": NEW}), seen({"local": NEW, "tentative": True}, has_carrier=False)],
    ids=["the kernel knows that it is ours", "without a carrier it will never know"],
)
def test_nothing_is_waited_for_that_is_known_or_never_will_be(tmp_path: Path, after: list[dict[str, Any]]) -> None:
    host = host_that_shows(tmp_path, seen(has_carrier=False), after)
    NetworkSetter(host, {"addresses": {}}).set_addresses("up0", [f"{NEW}/64"])
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls.count("-j addr show") == 4
    assert not [call for call in calls if call.startswith("addr del")]


def test_an_address_of_before_that_is_still_tried_is_not_waited_for(tmp_path: Path) -> None:
    old = {"local": OLD, "tentative": True}
    host = host_that_shows(tmp_path, seen(old), seen(old, {"local": NEW}))
    NetworkSetter(host, {"addresses": {}}).set_addresses("up0", [f"{NEW}/64", f"{OLD}/64"])
    assert (tmp_path / "calls").read_text().splitlines().count("-j addr show") == 4


def test_a_rollback_at_the_deadline_is_tried_for_a_quarter_of_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / STATE[1:] / "lock").mkdir(parents=True)  # nobody can lock the host
    pauses_s: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses_s.append)
    with pytest.raises(IsADirectoryError):
        expire(Transaction(host_of(tmp_path), ID))
    assert pauses_s == [0.5, 1, 2, 4, 8]


def test_a_route_is_written_with_all_that_ip_shows_of_it() -> None:
    route = {
        "dst": "10.9.0.0/16", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "up0", "flags": ["onlink"],
        "protocol": "static", "scope": "global", "prefsrc": "10.0.0.1", "metric": 20,
    }  # fmt: skip
    words = "10.9.0.0/16 via inet6 fe80::1 dev up0 onlink proto static scope global src 10.0.0.1 metric 20"
    assert route_words(route) == words.split()
    hops = [{"gateway": "10.0.0.2", "dev": "up0", "weight": 3}, {"gateway": "10.0.0.3", "dev": "up1", "weight": 1}]
    words = "default nexthop via 10.0.0.2 dev up0 weight 3 nexthop via 10.0.0.3 dev up1 weight 1 proto kernel"
    assert route_words({"dst": "default", "nexthops": hops, "protocol": "kernel"}) == words.split()


def test_a_transaction_is_for_root_alone_and_its_copy_of_the_file_can_run(scratch: Scratch) -> None:
    assert scratch.begin()["state"] == "applied"
    folder = Path(host_of(scratch.root).state("txn", ID))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / KEPT_COPY).stat().st_mode & 0o777 == 0o700
    assert (folder / KEPT_COPY).read_bytes() == scratch.file.read_bytes()
