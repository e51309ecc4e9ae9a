"""Whatever a host's files hold: reading them ends soon, never fails, and what is refused is refused with its line."""

import os
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from service.adopt import Material, adopt
from service.adopt.material import HOSTNAME_FILE, KEY_FILE
from service.errors import InputError
from service.formats import dnsmasq, ethers, leases, nat_files, pve_guests, pve_interfaces
from service.formats.dnsmasq_tags import without_tag_names
from service.formats.interfaces import MAIN_FILE, load, meanings, up_effects
from service.formats.pve_interfaces.checks import WriterRefuses
from tests.adopt import laws
from tests.adopt.corpora import hosts
from tests.adopt.test_styles import planned, shared_of
from tests.adopt.trees import NAMES, material

pytestmark = pytest.mark.long

MUTATIONS = 100_000 if os.environ.get("TESTS_FULL") else 5_000
WHOLE_HOSTS = MUTATIONS // 50
LONGEST_S = 1.0
LEASES = b"""\
1764000000 bc:24:11:00:00:01 10.10.10.100 dev 01:bc:24:11:00:00:01
0 bc:24:11:00:00:02 10.10.10.20 * *
1764000000 06-bc:24:11:00:00:03 10.10.10.101 box ff:00:00:00:01
duid 00:01:00:01:2c:aa
1764000000 T123456 fd00::100 dev 00:01:00:01
vendorclass 10.10.10.100 4d53
"""
WORDS = [
    b"\n", b"\r\n", b"\\\n", b"\x00", b"\xff\xfe", b"\xc3\xa9", b"\xe2\x80\xa8", b"#", b'"', b"'", b"{", b"}",
    b"[", b"]",
    b"=", b",", b";", b":", b"/", b"*", b"%", b"$IFACE", b"${x}", b"0", b"-1", b"99999999999999999999", b"1e9", b" ",
    b"\t", b"auto", b"iface", b"source", b"inet", b"inet6", b"address", b"10.10.10.1/24", b"::1", b"255.255.255.0",
    b"bridge-ports", b"[pve:pending]", b"[snap]", b"delete: net0", b"net0: ", b"template: 1", b"dhcp-range=",
    b"dhcp-host=",
    b"interface=", b"conf-dir=/", b"include \"/etc/*\"", b"define x = $x", b"masquerade", b"table ip t {", b"infinite",
]  # fmt: skip


def refusals(problems: Iterable[object]) -> list[str]:
    return [str(problem) for problem in problems]


def read_interfaces(data: bytes) -> list[str]:
    config = load({MAIN_FILE: data})
    meanings(config)
    list(up_effects(config))
    return refusals(config.problems)


def read_dnsmasq(data: bytes) -> list[str]:
    file, hosts = dnsmasq.parse(data, "/etc/dnsmasq.d/x"), dnsmasq.parse_hosts(data, "/etc/dnsmasq.d/x")
    dnsmasq.meaning([file], ["10.10.10.1/24"])
    without_tag_names([(d.key, d.value) for d in file.directives])
    return [*file.problems, *hosts.problems]


def read_pve_interfaces(data: bytes) -> list[str]:
    read = pve_interfaces.parse(data)
    read.as_json()
    try:
        pve_interfaces.canonical(read)
    except InputError as error:
        assert isinstance(error, WriterRefuses), error
        return [f"/etc/network/interfaces:{error.line}: {error.what}"]
    return []


def read_nft(data: bytes) -> list[str]:
    nat_files.of_nft_script({nat_files.NFT_MAIN: data})
    nat_files.of_iptables_rules(data, nat_files.IPTABLES_FILE)
    nat_files.of_command(data.decode("utf-8", "replace"), MAIN_FILE, 1)
    return []


def samples(*parts: str) -> list[bytes]:
    found = [
        data for name in NAMES for path, data in material(name).files.items() if any(part in path for part in parts)
    ]
    assert found
    return found


READERS: dict[str, tuple[Callable[[bytes], list[str]], Callable[[], list[bytes]]]] = {
    "interfaces": (read_interfaces, lambda: samples("/etc/network/interfaces")),
    "leases": (lambda data: list(leases.parse(data).problems), lambda: [LEASES]),
    "dnsmasq": (read_dnsmasq, lambda: samples("/etc/dnsmasq")),
    "proxmox interfaces": (read_pve_interfaces, lambda: samples("/etc/network/interfaces")),
    "guests": (
        lambda data: (
            list(pve_guests.parse(data, "/etc/pve/lxc/100.conf").problems)
            + list(pve_guests.parse(data, "/etc/pve/qemu-server/200.conf").problems)
        ),
        lambda: samples("/etc/pve/lxc", "/etc/pve/qemu-server"),
    ),
    "ethers": (lambda data: list(ethers.parse(data).problems), lambda: samples("/etc/ethers")),
    "nat files": (read_nft, lambda: samples("/etc/nftables.conf", "/etc/iptables")),
}


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Some bytes of it cut, doubled, changed, placed elsewhere, or exchanged for words that mean something."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(out) + 1)
        length = chance.choice((0, 1, 1, 4, 20, 80))
        piece = bytes(out[at : at + length])
        match chance.randrange(5):
            case 0:
                del out[at : at + length]
            case 1:
                out[at:at] = piece * chance.choice((1, 2, 40))
            case 2:
                out[at : at + length] = chance.choice(WORDS)
            case 3:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                del out[at : at + length]
                to = chance.randrange(len(out) + 1)
                out[to:to] = piece
    return bytes(out)


def timed(work: Callable[[], list[str]], what: str) -> list[str]:
    began = time.process_time()
    found = work()
    assert time.process_time() - began < LONGEST_S, what
    return found


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", READERS)
def test_a_file_changed_at_random_is_read_or_refused_with_its_line(name: str) -> None:
    read, given = READERS[name]
    seed = random.randrange(1 << 32)
    chance, files = random.Random(seed), given()
    for number in range(MUTATIONS // len(READERS) + 1):
        data = mutated(chance.choice(files), chance)
        for problem in timed(lambda data=data: read(data), f"seed {seed}, number {number}"):  # type: ignore[misc]
            assert re.match(r"/[^:]+:[1-9][0-9]*: .", problem), (seed, number, problem)
            assert problem.isprintable() or name == "proxmox interfaces", (seed, number, problem)


FW_WORDS = (
    b"IN DROP", b"IN ACCEPT", b"OUT DROP", b"GROUP web", b"|IN SSH(ACCEPT)", b"IN Web(ACCEPT) -source +friends", b"# x",
    b"[RULES]", b"[OPTIONS]", b"[IPSET friends]", b"[group web]", b"enable: 0", b"enable: 1", b"ndp: 0",
    b"macfilter: 0", b"policy_in: ACCEPT", b"policy_out: REJECT", b"x1 10.0.0.1", b"!10.0.0.0/8 # y", b"nonsense", b"",
)  # fmt: skip


def rewritten(data: bytes, chance: random.Random) -> bytes:
    """A firewall file with another line somewhere, or changed at random."""
    if chance.random() < 0.4:
        return mutated(data, chance)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    lines[at : at + chance.choice((0, 0, 1))] = [chance.choice(FW_WORDS)]
    return b"\n".join(lines)


@pytest.mark.timeout(1200)
def test_whatever_a_nodes_firewall_files_say_the_plan_after_adopting_is_empty() -> None:
    seed = random.randrange(1 << 32)
    chance, node = random.Random(seed), material("pve-firewall")
    for number in range(MUTATIONS // 100):
        path = chance.choice([path for path in node.files if path.endswith(".fw")])
        given = replace(node, files={**node.files, path: rewritten(node.files[path], chance)})
        made = adopt(given)
        plan, _, _ = planned(made.text, given, shared_of(made))
        left = (plan.drifts, plan.steps, plan.packages, plan.refusals)
        assert left == ((), (), (), ()), (seed, number, given.files[path])


def whole(given: Material, files: dict[str, bytes]) -> str:
    """What adopt says of a host with these files."""
    try:
        return adopt(replace(given, files=files)).report.as_text().replace("\n", "")
    except InputError as error:
        assert error.hint, error
        return error.what


@pytest.mark.timeout(1200)
def test_a_whole_host_changed_at_random_gives_a_spec_or_says_what_is_missing() -> None:
    seed = random.randrange(1 << 32)
    chance, hosts = random.Random(seed), [material(name) for name in NAMES]
    for number in range(WHOLE_HOSTS):
        given = chance.choice(hosts)
        files = {p: mutated(d, chance) if chance.random() < 0.5 else d for p, d in given.files.items()}

        what = f"seed {seed}, number {number}"
        (said,) = timed(lambda given=given, files=files: [whole(given, files)], what)  # type: ignore[misc]
        assert said.isprintable(), what


def with_other_lines(data: bytes, pool: list[bytes], chance: random.Random) -> bytes:
    """A file with lines of other files in it, lines twice, lines gone."""
    lines = data.split(b"\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        lines[at : at + chance.choice((0, 1))] = chance.choice(([], [chance.choice(pool)], [lines[at], lines[at]]))
        lines = lines or [b""]
    return b"\n".join(lines)


@pytest.mark.timeout(1200)
def test_the_laws_of_the_report_hold_for_hosts_changed_at_random() -> None:
    seed = random.randrange(1 << 32)
    chance, every = random.Random(seed), [(name, given) for name, given in hosts() if not name.startswith("firewall")]
    pool = [line for _, given in every for path, data in given.files.items() if "/ssh/" not in path
            for line in data.split(b"\n")]  # fmt: skip
    for number in range(WHOLE_HOSTS):
        name, host = chance.choice(every)
        kept = {path: data for path, data in host.files.items() if path in (HOSTNAME_FILE, KEY_FILE)}
        files = {
            path: with_other_lines(d, pool, chance) if chance.random() < 0.5 else d for path, d in host.files.items()
        }
        given = replace(host, files={**files, **kept})
        made = laws.made_of(given)
        if made is None:
            continue
        try:
            laws.each_line_once(given, made)
            laws.dnsmasq_as_said(given, made)
            laws.links_and_nat_as_said(given, made)
            laws.first_plan_announced(given, made)
            for section in ("nat", "dnsmasq", "guests"):
                laws.taken_over(given, made, section)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, number {number}, {name}: {given.files}") from error
