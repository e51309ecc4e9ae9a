"""Whatever a file holds, reading and writing it ends soon, and either works or gives a reason."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats.pve_interfaces import WriterRefuses, canonical, parse

INPUTS = [case.joinpath("input").read_bytes() for case in sorted((Path(__file__).parent / "cases").iterdir())]
NAMES = st.sampled_from(
    [
        "lo",
        "eth0",
        "eth1",
        "eno1",
        "eno1.5",
        "eth0.7",
        "vlan9",
        "vmbr0",
        "vmbr1",
        "vmbr0.3",
        "bond0",
        "wan",
        "eth0:1",
        "vx1",
        "dum0",
        "int0",
        ".5",
        ":",
        "0",
    ]
)
OPTIONS = st.sampled_from(
    [
        "address 10.0.0.1/24", "address 10.0.0.2", "netmask 255.255.255.0", "gateway 10.0.0.3", "mtu 1400",
        "bridge-ports eth0", "bridge_ports none", "bridge-stp on", "bridge-fd 5", "bridge-vlan-aware yes",
        "bond-slaves eth0 eth1", "bond_mode 1", "bond-primary eth0", "vlan-raw-device eth0", "vlan-id 12",
        "vxlan-id 4", "vxlan-remoteip 192.0.2.4", "ovs_type OVSBridge", "ovs_type OVSPort", "ovs_type OVSBond",
        "ovs_ports eth1 bond0", "ovs_bonds eth0", "ovs_options tag=5 a=b", "ovs_options bond_mode=balance-slb",
        "up echo x", "# c", "#", "hwaddress x", "bridge-access 5", "oneword", "", "uplink-id 3", "alias \xfc", "mtu x",
    ]
)  # fmt: skip
STANZAS = st.builds(
    lambda name, family, options, auto: "\n".join(
        [*([f"auto {name}"] if auto else []), f"iface {name}{family}", *options]
    ),
    NAMES,
    st.sampled_from(["", " inet static", " inet manual", " inet6 static"]),
    st.lists(OPTIONS, max_size=5),
    st.booleans(),
)
WORDS = st.sampled_from(
    [b"iface", b"auto", b"source", b"allow-", b"allow-vmbr0", b" ", b"\t", b"\n", b"\r", b"\\\n", b"vmbr0", b"inet",
     b"inet6", b"static", b"address", b"10.0.0.1/24", b"netmask", b"#", b"\x00", b"\xff", b"\xc3\xa9", b"=", b"/",
     b"ovs_ports"]
)  # fmt: skip


def _second_pass(data: bytes) -> tuple[bytes, bytes] | None:
    try:
        text = canonical(parse(data)).text
        return text, canonical(parse(text)).text
    except WriterRefuses as refused:
        assert refused.what
        assert 1 <= refused.line <= data.count(b"\n") + 1
        return None


@given(st.one_of(st.binary(max_size=300), st.lists(WORDS, max_size=40).map(b"".join)))
def test_any_bytes_are_read_and_written_or_refused(data: bytes) -> None:
    parse(data).as_json()
    _second_pass(data)


@given(st.lists(STANZAS, max_size=8).map("\n".join))
def test_any_stanzas_are_read_and_written_or_refused(source: str) -> None:
    _second_pass(source.encode())


@given(st.sampled_from(INPUTS), st.data())
def test_a_case_with_a_few_bytes_changed_is_read_and_written_or_refused(data: bytes, chosen: st.DataObject) -> None:
    mutated = bytearray(data)
    for _ in range(chosen.draw(st.integers(1, 4))):
        at = chosen.draw(st.integers(0, len(mutated)))
        length = chosen.draw(st.integers(0, 12))
        mutated[at : at + length] = chosen.draw(st.one_of(st.binary(max_size=6), WORDS))
    _second_pass(bytes(mutated))


PLAIN_NAMES = st.lists(
    st.sampled_from(["eth0", "eth1", "eno1", "vmbr0", "vmbr1", "wan", "dum0", "nic2"]), unique=True, max_size=6
)
PLAIN_OPTIONS = st.lists(
    st.sampled_from(
        ["address 10.0.0.1", "netmask 255.0.0.0", "gateway 10.0.0.3", "mtu 1400", "bridge_ports none", "bridge-stp on",
         "bridge-fd 40", "bridge-vlan-aware no", "post-up x  y", "# c", "   # d", "#", "broadcast 10.0.0.255", "word"]
    ), max_size=6,
)  # fmt: skip


@given(PLAIN_NAMES, st.data())
def test_the_canonical_form_of_one_stanza_an_interface_is_stable(names: list[str], chosen: st.DataObject) -> None:
    lines = []
    for name in names:
        lines += [f"auto {name}"] * chosen.draw(st.integers(0, 1))
        lines.append(f"iface {name} {chosen.draw(st.sampled_from(['inet static', 'inet manual', 'inet6 static']))}")
        lines += chosen.draw(PLAIN_OPTIONS)
        lines += chosen.draw(st.sampled_from([[], [""], ["", "source x", "mapping y"]]))
    both = _second_pass("\n".join(lines).encode())
    assert both is not None
    assert both[0] == both[1]


MANY = [b"a%d" % number for number in range(4_900)]


@pytest.mark.long
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"auto " + b" ".join(MANY), id="names"),
        pytest.param(b"".join(b"iface %s inet static\n address 10.0.0.1/8\n" % name for name in MANY), id="stanzas"),
        pytest.param(b"iface eth0\n" + b"".join(b"iface eth0.%d\n mtu 9\n" % n for n in range(1, 4_000)), id="vlans"),
        pytest.param(b"a\n" * 99_000, id="other lines"),
        pytest.param(b"iface a inet manual\n" + b"x y\n" * 99_000, id="options"),
        pytest.param(b"iface a inet manual\n" * 20_000 + b"up a\n" * 20_000, id="stanzas of one interface"),
        pytest.param(b"iface a inet manual\n" + b"bridge-ports a b c\n" * 50_000, id="ports"),
        pytest.param(b"iface bond0\novs_type OVSBond\novs_options " + b"a=b " * 200_000, id="ovs options"),
        pytest.param(b"iface b\novs_ports " + b"x " * 90_000 + b"\n" + b"\nallow-b x y\n" * 45_000, id="allow lines"),
        pytest.param(b"iface " + b"." * 1_000_000, id="dots"),
        pytest.param(b"iface a " + b" " * 500_000 + b"inet" + b" " * 500_000 + b"x", id="blanks"),
        pytest.param(b"iface a\nmtu " + b"9" * 1_000_000 + b"\niface vmbr0\nbridge-ports a\nmtu 9e9999\n", id="digits"),
        pytest.param(b"".join(b"iface a%s\n" % (b".5" * n) for n in range(1, 800)), id="chain"),
    ],
)
def test_no_file_of_a_mebibyte_takes_a_second_of_the_processor(data: bytes) -> None:
    assert len(data) <= 1_048_576
    began_s = time.process_time()
    try:
        canonical(parse(data))
    except InputError as refused:
        assert refused.what
    assert time.process_time() - began_s < 5  # what is quadratic takes minutes; a busy machine takes its time
