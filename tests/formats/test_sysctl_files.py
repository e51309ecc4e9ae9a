"""sysctl.d(5): what the next boot sets a key to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats.sysctl_files import Setting, effective, render, slashed

KEY = "net.ipv4.ip_forward"


def value(files: dict[str, str], key: str = KEY) -> str | None:
    found = effective({path: text.encode() for path, text in files.items()}, key)
    return found.value if found else None


def test_a_later_name_wins_wherever_its_folder_is() -> None:
    assert value({"/etc/sysctl.d/60-a.conf": f"{KEY}=1", "/usr/lib/sysctl.d/70-b.conf": f"{KEY}=0"}) == "0"
    assert value({"/etc/sysctl.d/60-a.conf": f"{KEY}=1", "/usr/lib/sysctl.d/50-b.conf": f"{KEY}=0"}) == "1"


def test_a_file_in_etc_masks_its_namesake_below() -> None:
    files = {"/usr/lib/sysctl.d/50-a.conf": f"{KEY}=1", "/run/sysctl.d/50-a.conf": "#", "/etc/sysctl.d/50-a.conf": ""}
    assert value(files) is None


def test_debians_main_file_is_read_as_99_sysctl_and_only_once() -> None:
    main = {"/etc/sysctl.conf": f"# x\n{KEY} = 1\n"}
    assert effective({p: t.encode() for p, t in main.items()}, KEY) == Setting("1", "/etc/sysctl.conf", 2)
    linked = main | {"/etc/sysctl.d/99-sysctl.conf": main["/etc/sysctl.conf"]}
    assert effective({p: t.encode() for p, t in linked.items()}, KEY) == Setting("1", "/etc/sysctl.conf", 2)
    assert value(main | {"/etc/sysctl.d/99-sysctl.conf": f"{KEY}=0"}) == "0"
    assert value(main | {"/etc/sysctl.d/99-z.conf": f"{KEY}=0"}) == "0"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{KEY}=1", "1"),
        (f"  {KEY}   =   1  ", "1"),
        ("net/ipv4/ip_forward=1", "1"),
        (f"-{KEY}=1", "1"),
        ("net.ipv4.conf.all.forwarding=1", "1"),
        (f"{KEY}=0\n{KEY}=1", "1"),
        ("net.ipv4.ip_*=1", "1"),
        (f"{KEY}=0\nnet.ipv4.ip_*=1", "0"),
        (f"net.ipv4.ip_*=1\n-{KEY}", None),
        (f"#{KEY}=1", None),
        (f";{KEY}=1", None),
        (f"{KEY}", None),
        ("net.*=1", None),
        ("kernel.ip_forward=1", None),
    ],
)
def test_a_line_is_read_as_systemd_reads_it(line: str, expected: str | None) -> None:
    assert value({"/etc/sysctl.d/x.conf": line}) == expected


CONF = "net.ipv4.conf"


@pytest.mark.parametrize(
    ("files", "of_all", "of_default", "of_card", "of_bridge"),
    [
        (["net.ipv4.ip_forward=1", f"{CONF}.*.forwarding=0"], "0", "0", "0", "0"),
        ([f"{CONF}.*.forwarding=0", "net.ipv4.ip_forward=1"], "1", "1", "0", "0"),
        ([f"{CONF}.card.forwarding=0\n{CONF}.br0.forwarding=0", "net.ipv4.ip_forward=1"], "1", "1", "0", "0"),
        (["net.ipv4.ip_forward=1", f"{CONF}.card.forwarding=0"], "1", "1", "0", "1"),
        ([f"{CONF}.default.forwarding=0", "net.ipv4.ip_forward=1"], "1", "1", "1", "1"),
        (["net.ipv4.ip_forward=1", f"{CONF}.*.forwarding=0\n-{CONF}.all.forwarding"], "1", "0", "0", "0"),
        (
            [f"{CONF}.card.forwarding=1", "net.ipv4.ip_forward=1", f"{CONF}.*.forwarding=0\n-{CONF}.all.forwarding"],
            "1", "0", "1", "0",
        ),
        (["net.ipv4.ip_forward=1", f"{CONF}.all.forwarding=0", "net.ipv4.ip_forward=1"], "0", "0", "0", "0"),
        (["net.ipv4.ip_forward=0", f"{CONF}.all.forwarding=0", "net.ipv4.ip_forward=1"], "1", "1", "1", "1"),
        (["net.ipv4.ip_for*=1"], "1", "1", "1", "1"),
        (["-net.ipv4.ip_forward=1"], "1", "1", "1", "1"),
        ([f"-{CONF}.card.forwarding", f"{CONF}.*.forwarding=1"], "1", "1", "1", "1"),
        ([f"{CONF}.card.forwarding=1", f"-{CONF}.card.forwarding", f"{CONF}.*.forwarding=0"], "0", "0", None, "0"),
        ([f"-{CONF}.card.forwarding", f"{CONF}.card.forwarding=1"], None, None, "1", None),
        ([f"{CONF}.*.forwarding=1", f"{CONF}.c*.forwarding=0"], "1", "1", "0", "1"),
        ([f"{CONF}.c*.forwarding=0", f"{CONF}.*.forwarding=1"], "1", "1", "1", "1"),
        ([f"{CONF}.*.forwarding=0", f"{CONF}.c*.forwarding=1", f"{CONF}.*.forwarding=0"], "0", "0", "1", "0"),
    ],
)  # fmt: skip
def test_forwarding_comes_out_as_systemd_sysctl_wrote_it_on_a_host(
    files: list[str], of_all: str | None, of_default: str | None, of_card: str | None, of_bridge: str | None
) -> None:
    """`card` is there when the boot writes, `br0` comes later (findings/sysctl-order.sh). None: no line is about
    it, and the host showed the kernel's 0."""
    texts = {f"/etc/sysctl.d/{number}0.conf": text for number, text in enumerate(files, 1)}
    assert value(texts) == of_all
    assert value(texts, f"{CONF}.all.forwarding") == of_all
    assert value(texts, f"{CONF}.default.forwarding") == of_default
    assert (value(texts, f"{CONF}.card.forwarding") or "0") == (of_card or "0")
    assert (value(texts, f"{CONF}.br0.forwarding") or "0") == (of_bridge or "0")


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize(("of_all", "of_default", "of_bridge"), [("0", "1", "1"), ("1", "1", "1")])
def test_a_switch_that_has_its_value_already_sets_no_interface(
    family: str, of_all: str, of_default: str, of_bridge: str
) -> None:
    """The kernel would for IPv6, but systemd-sysctl does not write the value (findings/sysctl-order.sh)."""
    conf = f"net.{family}.conf"
    files = {
        "/etc/sysctl.d/1.conf": f"{conf}.default.forwarding=1",
        "/etc/sysctl.d/2.conf": f"{conf}.all.forwarding={of_all}",
    }
    assert value(files, f"{conf}.all.forwarding") == of_all
    assert value(files, f"{conf}.default.forwarding") == of_default
    assert value(files, f"{conf}.br0.forwarding") == of_bridge


def test_a_card_that_may_come_late_has_what_is_said_of_interfaces_to_come() -> None:
    files = {"/etc/sysctl.d/1.conf": "net.ipv4.ip_forward=1", "/etc/sysctl.d/2.conf": f"{CONF}.default.forwarding=0"}
    assert value(files, f"{CONF}.card.forwarding") == "0"
    assert value(files) == "1"


def test_what_is_said_of_all_interfaces_to_come_holds_for_one_of_which_nothing_is_said() -> None:
    files = {"/etc/sysctl.d/1.conf": f"{CONF}.default.rp_filter=1"}
    assert value(files, f"{CONF}.card.rp_filter") == "1"
    assert value(files | {"/etc/sysctl.d/2.conf": f"{CONF}.*.rp_filter=2"}, f"{CONF}.card.rp_filter") == "2"
    assert value(files, f"{CONF}.all.rp_filter") is None


def test_only_files_that_end_in_conf_and_stand_in_a_known_folder_count() -> None:
    names = ["/etc/sysctl.d/x", "/etc/sysctl.d/x.conf.bak", "/etc/sysctl.d/deep/x.conf", "/tmp/sysctl.d/x.conf"]
    assert value(dict.fromkeys(names, f"{KEY}=1")) is None


def test_a_key_with_an_interface_that_has_a_dot_is_one_key_in_both_spellings() -> None:
    assert slashed("net.ipv4.conf.eth0/5.forwarding") == "net/ipv4/conf/eth0.5/forwarding"
    assert (
        value({"/etc/sysctl.d/x.conf": "net/ipv4/conf/eth0.5/forwarding=1"}, "net.ipv4.conf.eth0/5.forwarding") == "1"
    )


def test_our_own_file_says_what_it_was_given() -> None:
    text = render([(KEY, "1"), ("net.ipv4.conf.all.rp_filter", "2")])
    files = {"/etc/sysctl.d/60-passerelle.conf": text}
    assert effective(files, KEY) == Setting("1", "/etc/sysctl.d/60-passerelle.conf", 3)
    assert text.startswith(b"# written by passerelle\n")


@pytest.mark.parametrize(
    "pair", [("kernel.core_pattern", "1"), (f"{KEY}\n", "1"), (KEY, "1\nx"), (KEY, ""), (KEY, "|sh")]
)
def test_anything_but_a_number_below_net_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(InputError):
        render([pair])


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_reader(data: bytes) -> None:
    effective({"/etc/sysctl.d/x.conf": data, "/etc/sysctl.conf": data}, KEY)
