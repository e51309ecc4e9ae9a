"""Texts that would leave their directive, their line, their quotes or their file, if somebody let them."""

from itertools import product

_INNER = (
    "return 200 owned", "include /etc/shadow", "proxy_pass http://192.0.2.1", "root /", "autoindex on", "allow all",
    "ssl_certificate_key /etc/passwd", "load_module /tmp/x.so",
)  # fmt: skip
_AROUND = (
    "; {};", "\n{};\n", "\r\n{};", "}} {}; {{", "\"; {}; \"", "'; {}; '", "\\\"; {}; #", "\\", "\\\\\"; {};", "${{{}}}",
    "$({})", "`{}`", "# {}", "{{ {}; }}", " ;{}; ", "\t{};", "\x00{};", "\x1b]0;{}\x07", "%0a{};", "\u2028{};",
    "\u00a0{};", "a b; {}", "\"{}\"", "a.example.org; {}", "a.example.org\" {}", "//{}", "../../{}",
)  # fmt: skip
PAYLOADS = tuple(dict.fromkeys(around.format(inner) for around, inner in product(_AROUND, _INNER)))
