"""The section `dnsmasq` in its short form, when adopt is done with it."""

from service.adopt.sketch import Sketch

SECTION = "dnsmasq"


def shortened(sketch: Sketch) -> None:
    """The section in its short form: no `interface` where the ranges name the same, a list of one text as that text.

    Done when lint has removed what it refuses: until then each value has its own place.
    """
    value = sketch.values.get(SECTION)
    if not isinstance(value, dict):
        return
    lists = [found for key in ("dhcp", "dhcp6") if isinstance(found := value.get(key), list)]
    named = [entry.get("interface") for found in lists for entry in found if isinstance(entry, dict)]
    is_said_by_ranges = "listen_address" not in value  # with it, dnsmasq serves only the interfaces in `interface`
    if named and is_said_by_ranges and list(dict.fromkeys(named)) == value.get("interface"):
        del value["interface"]
        sketch.comment((SECTION,), sketch.above.pop((SECTION, "interface"), []))
        sketch.notes.moved((SECTION, "interface"), (SECTION, "dhcp" if "dhcp" in value else "dhcp6"))
    for key, item in value.items():
        if isinstance(item, list) and len(item) == 1 and isinstance(item[0], str):
            value[key] = item[0]
