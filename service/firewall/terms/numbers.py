"""Numbers as the C library reads them: a leading 0 is octal, 0x is hexadecimal (strtoul(3) with base 0)."""

import re

_FORMS = (
    (re.compile(r"0[xX]([0-9a-fA-F]{1,16})"), 16),
    (re.compile(r"0([0-7]{0,22})"), 8),
    (re.compile(r"([1-9][0-9]{0,18})"), 10),
)


def c_number(text: str, highest: int) -> int | None:
    """The number, None if the text is none or it is above `highest`."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) < 19:
        return number if (number := int(text)) <= highest else None  # nearly all are of this form
    for form, radix in _FORMS:
        found = form.fullmatch(text)
        if found:
            number = int(found[1] or "0", radix)
            return number if number <= highest else None
    return None
