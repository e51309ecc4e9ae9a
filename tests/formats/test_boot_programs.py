"""What ifupdown2's version and configuration file change at the next boot, as the real 3.0.0-1.1 was seen to do."""

import pytest

from service.formats.interfaces import CONF_FILE, MAIN_FILE, boot_program, load

TWO = b"""auto vmbr0
iface vmbr0 inet manual
\tbridge-ports none
\tbridge-vlan-aware yes
auto vmbr1
iface vmbr1 inet manual
\tbridge-ports none
\tbridge-vlan-aware yes
"""
DEFAULT = b"multiple_vlan_aware_bridge_support=0\n"


@pytest.mark.parametrize(
    ("version", "conf", "names"),
    [
        ("3.0.0-1.1", DEFAULT, ("vmbr0",)),
        ("3.0.0-1.1", b"# nothing said\ntemplate_enable=1\n", ("vmbr0",)),
        ("3.0.0-1.1", b"multiple_vlan_aware_bridge_support = 1\n", ("vmbr0", "vmbr1")),
        ("3.0.0-1.1", b"MULTIPLE_VLAN_AWARE_BRIDGE_SUPPORT: yes\n", ("vmbr0", "vmbr1")),
        ("3.0.0-1.1", b"[other]\nmultiple_vlan_aware_bridge_support=1\n", ("vmbr0",)),
        ("", None, ("vmbr0",)),
        ("3.2.0-1+pmx9", None, ("vmbr0", "vmbr1")),
        ("3.2.0-1+pmx9", DEFAULT, ("vmbr0",)),
    ],
)
def test_of_two_vlan_aware_bridges_the_configuration_file_says_how_many_count(
    version: str, conf: bytes | None, names: tuple[str, ...]
) -> None:
    config = load({MAIN_FILE: TWO}, program=boot_program(version, conf))
    assert config.names == names
    assert [(p.line, CONF_FILE in p.what) for p in config.problems] == ([] if len(names) == 2 else [(6, True)])
    assert [one.stanza.name for one in config.ignored] == [name for name in ("vmbr1",) if name not in names]


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        (None, "is missing: ifupdown2 brings nothing up without it"),
        (b"a=1\na=2\n", "is refused by Python's configparser, so ifupdown2 brings nothing up"),
        (b"no such line\n", "is refused by Python's configparser, so ifupdown2 brings nothing up"),
        (b"\xff\xfe=1\n", "is refused by Python's configparser, so ifupdown2 brings nothing up"),
        (b"default_interfaces_configfile=/etc/network/other\n", "names /etc/network/other: the boot reads that file"),
    ],
)
def test_a_configuration_file_that_stops_ifupdown2_is_fatal_for_the_interfaces_files(
    conf: bytes | None, said: str
) -> None:
    fatal = load({MAIN_FILE: TWO}, program=boot_program("3.0.0-1.1", conf, is_missing=conf is None)).fatal
    assert fatal is not None
    assert str(fatal).startswith(f"{CONF_FILE}:1: {said}")


def test_the_file_that_debian_ships_stops_nothing() -> None:
    said = b"default_interfaces_configfile=/etc/network/interfaces\nifquery_check_unknown_str=\n# a = b\n"
    assert load({MAIN_FILE: TWO}, program=boot_program("3.0.0-1.1", said)).fatal is None
