"""Ten times as much is read in about ten times the CPU time, and what is beyond a limit is not read at all."""

import gc
import json
import time
from collections.abc import Callable, Generator
from contextlib import closing

import pytest

from service.model.observed import HostObserved
from service.model.states import Absent, Seen, Unknown
from service.observe.frames import digest, sections
from service.observe.limits import LIMITS, MIB
from service.observe.read_answer import parse, read_answer
from tests.observe.growth import GROWING, INTERFACES, LEASES, big, framed, leases, with_file
from tests.observe.samples import AT, NONCE, WATCH

MOST_RATIO = 20.0
"""Ten times the input in at most twice ten times the time: a quadratic reader takes a hundred times."""
LEAST_S = 0.002


RUNS = 3


def runs_s(work: Callable[[], object]) -> Generator[float, None, None]:
    """The CPU time of each of some runs; other tests run on the same machine. The collector of cycles is off: it walks
    whatever the process holds, and what it costs says nothing about a reader."""
    gc.disable()
    try:
        for _ in range(RUNS):
            began_s = time.process_time()
            work()
            yield time.process_time() - began_s
    finally:
        gc.enable()


def ratio(of: Callable[[int], Callable[[], object]], small: int) -> float:
    """How many times as long ten times as much takes, by the least of some runs: three small, large as needed."""
    small_s, large_s = max(LEAST_S, min(runs_s(of(small)))), float("inf")
    with closing(runs_s(of(10 * small))) as runs:
        for took_s in runs:
            large_s = min(large_s, took_s)
            if large_s < MOST_RATIO * small_s:
                break
    return large_s / small_s


def reading(answer: bytes) -> Callable[[], object]:
    return lambda: read_answer(answer, NONCE, WATCH, "pve1", AT)


# below the limits, or what is measured would be how quickly it is refused
SMALL = {"values": 150, "ip": 90, "ip6": 90, "nft": 600, "iptables": 1900, "iptables_legacy": 1900, "units": 700,
         "bans": 3000, "listeners": 190, "packages": 700, "stat": 500, "again": 500, "marks": 500}  # fmt: skip


@pytest.mark.parametrize("section", GROWING)
def test_a_reader_is_linear(section: str) -> None:
    assert ratio(lambda count: reading(framed({section: big(section, count)})), SMALL[section]) < MOST_RATIO


@pytest.mark.parametrize("path", [LEASES, INTERFACES])
def test_reading_files_is_linear(path: str) -> None:
    assert ratio(lambda count: reading(framed(with_file(path, leases(count)))), 1500) < MOST_RATIO


def own_tables(count: int) -> bytes:
    objects = [{"table": {"family": "inet", "name": f"passerelle_{n % count}"}} for n in range(20 * count)]
    return json.dumps({"nftables": objects}).encode()


def test_many_own_tables_are_found_in_one_look() -> None:
    assert ratio(lambda count: reading(framed({"nft": own_tables(count)})), 100) < MOST_RATIO


def test_more_tables_of_ours_than_we_ever_make_are_unknown() -> None:
    assert isinstance(seen({"nft": own_tables(30)}).fact("nft:inet passerelle_1"), Unknown)


@pytest.mark.parametrize("what", ["begin", "words", "end", "done", "x"])
def test_taking_an_answer_apart_is_linear(what: str) -> None:
    def marks(count: int) -> Callable[[], object]:
        answer = b"@@%b %b nft 0\n" % (NONCE.encode(), what.encode()) * count
        return lambda: [digest(one) for one in sections(answer, NONCE).whole.values()]

    assert ratio(marks, 5000) < MOST_RATIO


def seen(bodies: dict[str, bytes]) -> HostObserved:
    return parse(framed(bodies), NONCE, WATCH, "pve1", AT)


def test_140_000_rules_of_nat_are_unknown_at_once() -> None:
    answer = framed({"iptables": big("iptables", 140_000)[: 2 * MIB]})
    began_s = time.process_time()
    observed = parse(answer, NONCE, WATCH, "pve1", AT)
    assert time.process_time() - began_s < 1
    assert isinstance(observed.masquerades, Unknown)
    assert observed.masquerades.why.startswith("iptables: the host printed ")
    assert observed.masquerades.why.endswith(" lines; at most 20000 are read")
    assert isinstance(observed.fact("masquerade:10.0.0.1/32>eth0"), Unknown)


def test_a_section_of_too_many_bytes_is_unknown_and_the_others_are_read() -> None:
    observed = seen({"iptables": big("iptables", 140_000), "listeners": big("listeners", 3)})
    assert observed.masquerades == Unknown("iptables: the host printed 7.4 MiB; at most 2.0 MiB are read")
    assert isinstance(observed.listeners, Seen)
    assert observed.fact("link:x") == Absent()


def test_each_question_of_the_batch_has_its_own_limit() -> None:
    routes = json.dumps([{"dst": "default", "gateway": "0" * 64} for _ in range(12_000)]).encode()
    observed = seen({"ip": b'[{"ifname": "lo"}]\n' + routes})
    assert isinstance(observed.fact("link:lo"), Seen)
    assert observed_why(observed, "routes:default").endswith("at most 256 KiB are read")
    links = json.dumps([{"ifname": "l", "x": "0" * (3 << 20)}]).encode()
    assert observed_why(seen({"ip": links + b"\n[]"}), "link:l").endswith("at most 2.0 MiB are read")


def test_what_a_program_complains_of_without_end_is_not_read() -> None:
    answer = framed({}).replace(b"words\n\n@@%b end nft" % NONCE.encode(), b"words\n%b\n@@%b end nft" % (
        b"x" * 70_000, NONCE.encode()))  # fmt: skip
    observed = parse(answer, NONCE, WATCH, "pve1", AT)
    assert (
        observed_why(observed, "nft:inet passerelle") == "nft: the host complained in 68 KiB; at most 64 KiB are read"
    )


def observed_why(observed: HostObserved, fact: str) -> str:
    found = observed.fact(fact)
    assert isinstance(found, Unknown)
    return found.why


def test_every_section_has_a_limit_and_all_together_are_bounded() -> None:
    assert LIMITS.keys() >= {*GROWING, "session", "body"}


ODD_JSON = {
    "no number": b'{"nftables": [{"table": {"family": "inet", "name": "passerelle", "x": NaN}}]}',
    "beyond all numbers": b'{"nftables": [{"table": {"family": "inet", "name": "passerelle", "x": 1e999}}]}',
    "infinite": b'{"nftables": [{"table": {"family": "inet", "name": "passerelle", "x": -Infinity}}]}',
    "too many digits": b'{"nftables": [{"table": {"family": "inet", "name": "passerelle", "x": %b}}]}' % (b"9" * 9000),
    "half a character": b'{"nftables": [{"table": {"family": "inet", "name": "passerelle", "x": "\\ud800"}}]}',
    "deep": b'{"nftables": [{"table": {"family": "inet", "name": "passerelle", "x": %b%b}}]}' % (b"[" * 60, b"]" * 60),
    "very deep": b'{"nftables": %b%b}' % (b"[" * 100_000, b"]" * 100_000),
    "no object": b'{"nftables": [1]}',
    "no list": b'{"nftables": {}}',
}


@pytest.mark.parametrize("name", ODD_JSON)
def test_json_that_means_nothing_is_unknown(name: str) -> None:
    assert observed_why(seen({"nft": ODD_JSON[name]}), "nft:inet passerelle")


def test_a_link_whose_name_is_no_text_takes_none_of_the_others_along() -> None:
    links = b'[{"ifname": "lo"}, {"ifname": "a\xff\xfe"}, {"ifname": "\x1b[31m"}, {"ifname": "a\\nb"}, {"ifname": 7}]'
    observed = seen({"ip": links + b"\n[]"})
    assert [fact for fact in observed.facts if fact.startswith("link:")] == ["link:lo"]


@pytest.mark.parametrize(
    "field", ['"mtu": []', '"mtu": 1e999', '"mtu": true', '"mtu": -1', '"flags": {}', '"master": []']
)
def test_a_link_with_values_of_other_types_is_unknown(field: str) -> None:
    links = b'[{"ifname": "lo", %b}]\n[]' % field.encode()
    assert observed_why(seen({"ip": links}), "link:lo")


def test_the_name_of_a_links_master_is_shown_safely() -> None:
    observed = seen({"ip": b'[{"ifname": "lo", "master": "\x1b]0;x"}]\n[]'})
    link = observed.fact("link:lo")
    assert isinstance(link, Seen)
    assert "\x1b" not in str(link.value)
