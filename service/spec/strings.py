"""Which characters a spec file and its strings may contain. Checked before any typing.

A typed field is not a safe field: `ipaddress` takes `fe80::1%a\\npost-up id` and gives the line break back.
"""

import re
import unicodedata

from service.spec.findings import Position

MAX_STRING = 2048
"""Characters in one string: an RSA host key of 8192 bits has about 1400."""

# C0 and C1 but line feed and tab, DEL, the Unicode line ends, the byte order mark, and code points that are not
# characters. Characters that change the direction or the meaning of the text around them. All invisible ones: Unicode's
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt), with the tags U+E0000 to U+E0FFF, which can hide whole
# texts. Of the variation selectors, which make an emoji of a sign, one may follow a character.
_FORBIDDEN_IN_FILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]"
)
_FORBIDDEN_CATEGORIES = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
_NAMES = {
    "\n": "a line break",
    "\r": "a carriage return",
    "\t": "a tab",
    "\x00": "a NUL character",
    "\x1b": "an escape character",
    "\ufeff": "a byte order mark",
    "\u2028": "a line separator (U+2028)",
    "\u2029": "a paragraph separator (U+2029)",
}


def forbidden_in_file(text: str, limit: int) -> list[tuple[Position, str]]:
    """The places of characters that are not allowed in a spec file, comments included; at most `limit` of them."""
    found: list[tuple[Position, str]] = []
    for match in _FORBIDDEN_IN_FILE.finditer(text):
        at = match.start()
        line_start = text.rfind("\n", 0, at) + 1
        found.append(((text.count("\n", 0, at) + 1, at - line_start + 1), named(match.group())))
        if len(found) >= limit:
            break
    return found


def wrong_in_string(text: str) -> str:
    """What is wrong with a string of a spec, as a verb and its object; empty if nothing is."""
    if len(text) > MAX_STRING:
        return f"has {len(text)} characters, more than {MAX_STRING}"
    if text.isascii() and text.isprintable():
        return ""
    for char in text:
        category = unicodedata.category(char)
        if category in _FORBIDDEN_CATEGORIES or (category == "Zs" and char != " "):
            return f"contains {named(char)}"
    if hidden := _FORBIDDEN_IN_FILE.search(text):
        return f"contains {named(hidden.group())}"
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode's composed form (NFC)"
    return ""


def named(char: str) -> str:
    """A hidden character in words."""
    return _NAMES.get(char, f"the character U+{ord(char):04X}, which is invisible")
