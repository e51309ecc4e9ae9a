"""The page with the picture of a host, and the picture alone."""

from pathlib import Path
from xml.etree import ElementTree as ET

from service.errors import NeverSeen
from service.pictures.palette import web_rules
from service.pictures.svg import POLICY
from service.web import files
from tests.api.world import World
from tests.web.visitor import Visitor

AT = "/hosts/pve1/topology"


async def test_the_page_has_the_picture_and_all_of_it_in_words(visitor: Visitor) -> None:
    page = await visitor.look(AT)
    assert page.faults == []
    assert page.h1 == "pve1: topology"
    (image,) = page.root.all("img")
    assert image.attributes["src"] == f"{AT}.svg?width=1080"
    assert page.root.first("source").attributes["srcset"] == f"{AT}.svg?width=340"
    for text in ("vmbr0, 10.10.10.1/24, NAT through enp1s0, drifted: mtu", "443/tcp → web:443 on enp1s0"):
        assert text in page.text
    guest = next(one for one in page.root.all("a") if one.text.startswith("web, 10.10.10.20"))
    assert guest.attributes["href"] == "/hosts/pve1/leases"


async def test_the_picture_alone_has_its_own_policy(visitor: Visitor) -> None:
    answer = await visitor.send("GET", f"{AT}.svg?width=340")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-security-policy"] == POLICY
    assert ET.fromstring(answer.text).attrib["width"] == "340"
    assert (await visitor.send("GET", f"{AT}.svg?width=1")).status_code == 422


async def test_nobody_sees_it_who_is_not_signed_in_or_may_not_see_the_host(world: World, visitor: Visitor) -> None:
    for path in (AT, f"{AT}.svg"):
        other = Visitor(world, ("read",), hosts=("pve2",))
        assert (await other.send("GET", path)).status_code == 404


async def test_a_host_that_was_never_seen_says_so(visitor: Visitor, world: World) -> None:
    world.desk.unknown["pve1"] = NeverSeen("pve1 was never seen: it is unreachable")
    page = await visitor.look(AT)
    assert page.faults == []
    assert "Never seen" in page.text
    assert "pve1 was never seen: it is unreachable" in page.text


def test_the_style_sheet_has_the_colours_of_pictures() -> None:
    sheet = Path(files.__file__).with_name("static") / "style.css"
    assert web_rules() in sheet.read_text()


async def test_the_fleet_leads_to_the_picture_of_each_host(visitor: Visitor) -> None:
    page = await visitor.look("/topology")
    assert page.faults == []
    assert page.h1 == "Topology"
    links = {one.attributes["href"]: one.text for one in page.root.all("a")}
    assert links["/hosts/pve2/topology"] == "pve2, 198.51.100.12, through pve1, not compared"
    answer = await visitor.send("GET", "/topology.svg?width=340")
    assert answer.headers["content-security-policy"] == POLICY
