"""What lint accepts of `dnsmasq` the real program accepts, too: hundreds of files for `dnsmasq --test`."""

import os
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from service.formats import dnsmasq
from service.kinds.claims import AddressClaim, Claim, Named
from service.kinds.dnsmasq.directives import directives
from service.kinds.dnsmasq.lint import lint_dnsmasq
from service.kinds.dnsmasq.section import DnsmasqSection
from tests.lab_fixtures import FreshHost
from tests.spec.test_agree import frozen, good, lint_takes, places_of, schema_of
from tests.spec.values import Place, fitting, replaced

pytestmark = [pytest.mark.lab(minutes=2), pytest.mark.every_suite]

CLAIMS: tuple[Claim, ...] = (
    Named("enp1s0", "interface"),
    Named("enp2s0", "interface"),
    Named("vmbr0", "bridge"),
    AddressClaim("vmbr0", "10.10.10.1/24"),
    AddressClaim("vmbr0", "fd00:10::1/64"),
)
PLACES = [p for p in places_of("host") if p.path[0] == "dnsmasq" and p.schema.get("type") != "boolean"]
FILES = 400 if os.environ.get("TESTS_FULL") else 100
TEST_ALL = """\
cd /root/written
for file in *; do
    said=$(dnsmasq --test --conf-file="$file" 2>&1) || echo "$file: $said"
done
"""


def text_of(place: Place, value: Any) -> bytes | None:
    """dnsmasq's file with one value in its place; None where lint does not accept it."""
    if not lint_takes("host", place, value):
        return None
    section = DnsmasqSection.model_validate(frozen(replaced(good("host"), place, value))["dnsmasq"])
    if any(hit.severity == "error" for hit in lint_dnsmasq(section, CLAIMS)):
        return None
    return dnsmasq.render(directives(section, CLAIMS))


def written_in_bulk() -> dict[str, bytes]:
    """{name: text} of files with values that the schema describes, always the same ones."""
    made: dict[str, bytes] = {}

    @settings(
        max_examples=FILES, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=st.data())
    def make(data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(PLACES))
        text = text_of(place, data.draw(fitting(place, schema_of("host"))))
        if text is not None:
            made[f"{len(made):04d}"] = text

    make()
    return made


def as_script(files: Mapping[str, bytes]) -> str:
    """Here-documents: no value has a line of its own."""
    parts = [f"cat > {name} << 'END OF FILE'\n{text.decode()}END OF FILE\n" for name, text in files.items()]
    return "mkdir -p /root/written && cd /root/written\n" + "".join(parts)


def test_dnsmasq_takes_every_file_that_lint_lets_be_written(fresh_host: FreshHost) -> None:
    host = fresh_host("pve1")
    host.sh("systemctl disable --now named && apt-get update && apt-get install --yes dnsmasq", timeout_s=120)
    files = written_in_bulk()
    assert len(files) > FILES / 2
    host.exec(["sh"], input=as_script(files), check=True)
    assert host.sh(TEST_ALL, timeout_s=120) == ""
    host.exec(["sh"], input=as_script({"wrong": b"server=9.9.9.9#70000\n"}), check=True)
    assert host.sh(TEST_ALL, timeout_s=120).split(maxsplit=2)[::2] == ["wrong:", "bad port at line 1 of wrong\n"]
