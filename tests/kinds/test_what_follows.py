"""What a section asks for beyond what is in it, because without it the host would fail later."""

from service.kinds import KINDS
from service.kinds.desire import desire
from service.kinds.dnsmasq import ORDER_FILE
from service.model.states import Json
from tests.laws.specs import head, spec_of

SPEC = """\
interfaces: {enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}}
bridges: {vmbr0: {addresses: [10.10.10.1/24]}}
packages: {dnsmasq: present}
dnsmasq:
  dhcp: [{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}]
"""


def wishes(text: str) -> dict[tuple[str, str], Json]:
    """{(resource, field): value} of everything wanted."""
    return {key[1:3]: want for key, want in desire(spec_of(text), KINDS).wishes.items()}


def test_dnsmasq_waits_for_the_bridges_at_boot_only_where_it_ends_without_them() -> None:
    assert not [key for key in wishes(head() + SPEC) if key[0] == ORDER_FILE]
    bound = wishes(head() + SPEC + "  bind_interfaces: true\n")
    assert bound[ORDER_FILE, "Unit.After"] == ["networking.service"]
    dynamic = wishes(head() + SPEC + "  bind_dynamic: true\n")
    assert (ORDER_FILE, "Unit.After") not in dynamic


def test_a_bridge_keeps_its_guests_over_a_reload_on_debian_and_by_itself_on_proxmox() -> None:
    assert wishes(head() + SPEC)["vmbr0", "keeps_guests"] is True
    assert ("vmbr0", "keeps_guests") not in wishes(head().replace("debian", "proxmox") + SPEC)
