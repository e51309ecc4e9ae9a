"""nginx in a guest: a change loads its files, a rollback loads the old ones again, whatever became of the guest."""

import base64
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from service.hostside.host import Host
from service.hostside.proxies import Proxies, load_once_up, proxy_fact
from tests.hostside.pct_recorded import PCT
from tests.hostside.scratch import (
    ID,
    NEW_SITE,
    OLD_SITE,
    PROXY,
    SITE,
    Answer,
    Scratch,
    fact_of,
    kill,
    loaded,
)

pytestmark = pytest.mark.host

OLD: Answer = {"active": True, "loaded": loaded(OLD_SITE)}
NEW: Answer = {"active": True, "loaded": loaded(NEW_SITE)}


def document(scratch: Scratch, content: bytes | None = NEW_SITE, **changes: Any) -> Answer:
    """A change of the one file that nginx reads, and of what it has loaded."""
    given = fact_of(content) if content is not None else None
    wanted = {"active": True, "loaded": loaded(content)} if content is not None else {"loaded": ""}
    steps = [
        scratch.step(f"file:{SITE}", fact_of(OLD_SITE), given),
        scratch.step(PROXY, changes.pop("before", OLD), wanted, restart=True),
    ]
    encoded = scratch.document()["blobs"] | blob(content or b"")
    return scratch.document(steps=steps, keep=[], checks=[], blobs=encoded, **changes)


def blob(content: bytes) -> dict[str, str]:
    return {fact_of(content)["sha256"]: base64.b64encode(content).decode()}


def captured(scratch: Scratch) -> Any:
    return scratch.call("capture", give=[PROXY])["facts"][PROXY]


def change_guest(scratch: Scratch, **values: Any) -> None:
    scratch.put("nginx.json", {**scratch.get("nginx.json"), **values})


def entered(scratch: Scratch) -> list[str]:
    """What was done in the guest, without the looks: the last words of each call."""
    return [words[-1] for words in scratch.calls("lxc-attach") if words[-1] in ("load", "stop")]


def test_a_guest_that_is_down_one_that_is_silent_and_one_that_is_nowhere_differ(scratch: Scratch) -> None:
    assert captured(scratch) == OLD
    change_guest(scratch, active=False, loaded="")
    assert captured(scratch) == {"active": False, "loaded": ""}
    change_guest(scratch, silent=True)
    assert captured(scratch) == {"away": "guest proxy does not say whether nginx runs in it"}
    change_guest(scratch, guest="STOPPED")
    assert captured(scratch) == {"away": "guest proxy is not running"}
    change_guest(scratch, guest="FROZEN")
    assert captured(scratch) == {"away": "guest proxy is in the state FROZEN"}
    (scratch.root / "var/lib/lxc/web1/config").unlink()
    assert captured(scratch) is None


def test_a_change_loads_the_new_files_and_a_rollback_the_old_ones(scratch: Scratch) -> None:
    before = scratch.state()
    assert scratch.begin(document(scratch))["state"] == "applied"
    assert captured(scratch) == NEW
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.state() == before
    assert entered(scratch) == ["load", "load"]


def test_what_nginx_does_not_accept_is_rolled_back_with_its_own_line(scratch: Scratch) -> None:
    before = scratch.state()
    answer = scratch.begin(document(scratch, b"# wrong\n"))
    assert (answer["state"], answer["cause"]) == ("rolled_back", "step failed")
    line = "nginx: [emerg] unknown directive ?[1mwrong in /etc/passerelle/nginx.conf:1"
    assert answer["error"] == f"guest proxy: {line}"
    assert scratch.state() == before


def test_the_same_files_are_loaded_again_where_a_step_asks_for_it(scratch: Scratch) -> None:
    steps = [scratch.step(PROXY, OLD, OLD, restart=True)]
    assert scratch.begin(scratch.document(steps=steps, keep=[], checks=[], blobs={}))["state"] == "applied"
    assert entered(scratch) == ["load"]


def test_nginx_may_load_files_on_its_own_while_they_are_written(scratch: Scratch) -> None:
    """The program for certificates reloads nginx when it has one: between two files that is neither old nor new."""
    begin = scratch.start("begin", give=document(scratch), environment=scratch.stop_at("step-1-before"))
    pid = scratch.stopped()
    change_guest(scratch, loaded="c" * 64)
    (scratch.root / "run/passerelle-test").unlink()
    os.kill(pid, signal.SIGCONT)
    begin.wait()
    assert scratch.call("status", ID)["state"] == "applied"
    assert captured(scratch) == NEW


def test_a_guest_that_went_down_after_the_plan_is_a_conflict(scratch: Scratch) -> None:
    before = scratch.state()
    change_guest(scratch, guest="STOPPED")
    answer = scratch.begin(document(scratch))
    assert (answer["state"], [item["fact"] for item in answer["conflicts"]]) == ("conflict", [PROXY])
    scratch.start_guests()
    assert scratch.state() == before


@pytest.mark.parametrize("how", [{"guest": "STOPPED"}, {"silent": True}])
def test_a_guest_that_is_away_keeps_nothing_from_being_rolled_back(scratch: Scratch, how: Answer) -> None:
    before = scratch.state()
    assert scratch.begin(document(scratch))["state"] == "applied"
    change_guest(scratch, **how)
    answer = scratch.call("rollback", ID)
    assert (answer["state"], answer["verified_old"]) == ("rolled_back", True)
    why = captured(scratch)["away"]
    assert answer["error"] == f"what nginx has loaded is not known: {why}"
    scratch.start_guests()
    assert scratch.state()["files"] == before["files"]
    if "guest" in how:  # it loads the old files when it starts
        assert captured(scratch) == OLD


def test_a_guest_that_goes_down_in_between_ends_in_the_old_files(scratch: Scratch) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=document(scratch), environment=scratch.stop_at("verifying"))
    pid = scratch.stopped()
    change_guest(scratch, guest="STOPPED")
    (scratch.root / "run/passerelle-test").unlink()
    os.kill(pid, signal.SIGCONT)
    begin.wait()
    journal = scratch.journal()
    assert (journal["state"], journal["cause"]) == ("rolled_back", "verify failed")
    scratch.start_guests()
    assert scratch.state() == before


def test_nothing_is_done_in_guests_before_they_start(scratch: Scratch) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=document(scratch), environment=scratch.stop_at("applied"))
    kill(scratch.stopped())
    begin.wait()
    (scratch.model / "calls").unlink()
    assert scratch.power_cut()["state"] == "rolled_back"
    assert scratch.calls("lxc-attach") == scratch.calls("lxc-info") == []
    assert scratch.state() == before
    assert scratch.call("status", ID, "--verify")["verified_old"] is True


def test_a_host_that_publishes_nothing_any_more_has_nothing_loaded(scratch: Scratch) -> None:
    before = scratch.state()
    assert scratch.begin(document(scratch, None))["state"] == "applied"
    assert captured(scratch) == {"active": True, "loaded": ""}
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.state() == before


def test_an_nginx_that_was_down_is_down_again_after_a_rollback(scratch: Scratch) -> None:
    change_guest(scratch, active=False, loaded="")
    before = scratch.state()
    assert scratch.begin(document(scratch, before={"active": False, "loaded": ""}))["state"] == "applied"
    assert captured(scratch) == NEW
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.state() == before
    assert entered(scratch) == ["load", "stop"]


def test_a_guest_that_starts_for_the_first_time_loads_its_sites_and_one_without_sites_is_left_alone(
    scratch: Scratch,
) -> None:
    host, key = Host(str(scratch.root), str(scratch.bin)), PROXY.removeprefix("proxy:")
    change_guest(scratch, loaded="")
    load_once_up(host, key, "proxy")
    assert captured(scratch) == OLD
    (scratch.root / SITE[1:]).write_bytes(b"# wrong\n")
    load_once_up(host, key, "proxy")  # that is drift: a transaction says why
    assert captured(scratch) == OLD
    (scratch.root / SITE[1:]).unlink()
    load_once_up(host, key, "proxy")
    assert entered(scratch) == ["load", "load"]


def test_a_guest_that_is_nowhere_has_no_nginx(scratch: Scratch) -> None:
    (scratch.root / "var/lib/lxc/web1/config").unlink()
    before = scratch.state()
    answer = scratch.begin(document(scratch, before=None))
    assert (answer["state"], answer["error"]) == ("rolled_back", "the host has no guest proxy")
    assert scratch.state() == before


SAYS = f"Loaded=7 {'a' * 64}\\nMounted=yes\\nLoadState=loaded\\nActiveState=active\\nMainPID=7"


def test_on_proxmox_the_same_goes_through_pct(tmp_path: Path) -> None:
    """pct as it was recorded, but for what runs in the guest: it says that nginx runs."""
    host = Host(str(tmp_path), str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc/pve/lxc").mkdir(parents=True)
    (tmp_path / "etc/pve/lxc/105.conf").write_text("net0: name=eth0,hwaddr=BC:24:11:00:00:02,bridge=vmbr0\n")
    (tmp_path / "bin/pct").write_text(PCT.replace("os.execvp(rest[1], rest[1:])", f'print("{SAYS}")'))
    (tmp_path / "bin/pct").chmod(0o755)
    for key in ("proxy@105", "proxy@bc:24:11:00:00:02"):
        assert proxy_fact(host, key) == {"away": "guest proxy is not running"}
    (tmp_path / "bin/pct.running.105").touch()
    for key in ("proxy@105", "proxy@bc:24:11:00:00:02"):
        assert proxy_fact(host, key) == {"active": True, "loaded": "a" * 64}
        Proxies(host).set(key, {"active": True})
    said = (tmp_path / "bin/pct.said").read_text()
    assert said.count("exec 105 -- /usr/bin/env -i ") == 4 == said.count("/bin/sh -c")
    assert proxy_fact(host, "proxy@106") is None
