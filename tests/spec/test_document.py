import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.spec.document import MAX_BYTES, MAX_DEPTH, load


def refusals(data: bytes | str) -> list[tuple[str, int, int]]:
    read = load(data.encode() if isinstance(data, str) else data)
    return [(problem.hit.rule, *problem.position) for problem in read.problems]


def test_only_true_false_and_plain_decimal_numbers_are_typed() -> None:
    text = """
    a: [true, false, 0, 10, -3]
    b: [no, on, Yes, True, 22:22, 52:54:00:12:34:56, 010, 1.10, 2026-11-23, 1e5, 00e0, 0x10, 1_000, +1, -0, .inf]
    c: ["true", '10', plain text]
    """
    value = load(text.encode()).value
    assert value is not None
    assert value["a"] == (True, False, 0, 10, -3)
    assert value["b"] == (
        *("no", "on", "Yes", "True", "22:22", "52:54:00:12:34:56", "010", "1.10", "2026-11-23", "1e5"),
        *("00e0", "0x10", "1_000", "+1", "-0", ".inf"),
    )
    assert value["c"] == ("true", "10", "plain text")


@pytest.mark.parametrize(("text", "number"), [("1000.0", 1000), ("0.0", 0), ("-3.000", -3), ("9.0", 9)])
def test_a_number_with_nothing_after_its_point_is_whole_as_for_json_schema(text: str, number: int) -> None:
    value = (load(f"cache_size: {text}\n".encode()).value or {})["cache_size"]
    assert (value, type(value)) == (number, int)


@pytest.mark.parametrize(
    "text", ["1.50", "00.0", "1.", ".0", "-0.0", "1.0.0", "1.0e3", "'1000.0'", "1.0000000000000000000"]
)
def test_what_only_looks_like_a_whole_number_is_text(text: str) -> None:
    assert load(f"cache_size: {text}\n".encode()).value == {"cache_size": text.strip("'")}


def test_a_number_as_a_key_is_text() -> None:
    assert load(b"options: {19: 1}").value == {"options": {"19": 1}}


def test_positions_are_those_of_the_file() -> None:
    read = load("é: ü\nbridges:\n  vmbr0:\n    ports:\n      - enp1s0\n      - {a: 1}\n".encode())
    assert read.places[("é",)] == (1, 4)
    assert read.places[("bridges", "vmbr0")] == (3, 3), "of its key, where the value is a mapping"
    assert read.places[("bridges", "vmbr0", "ports", 0)] == (5, 9)
    assert read.places[("bridges", "vmbr0", "ports", 1, "a")] == (6, 13)
    assert read.keys[("bridges", "vmbr0", "ports", 1, "a")] == (6, 10)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &x 1\nb: 2\n", [("yaml.anchor", 1, 4)]),
        ("a: 1\nb: *x\n", [("yaml.anchor", 2, 4)]),
        ("a: 1\n<<: {b: 1}\n", [("yaml.merge", 2, 1)]),
        ("a: !!str 1\nb: ! 2\n", [("yaml.tag", 1, 4), ("yaml.tag", 2, 4)]),
        ("a: !!python/object/apply:os.system [id]\n", [("yaml.tag", 1, 4)]),
        ("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", [("yaml.duplicate-key", 4, 3), ("yaml.duplicate-key", 5, 1)]),
        ("a: {19: 1, '19': 2}\n", [("yaml.duplicate-key", 1, 12)]),
        ("? [a]\n: 1\n", [("yaml.key", 1, 3)]),
        ("true: 1\nnull: 2\n~: 3\n", [("yaml.key", 1, 1), ("yaml.key", 2, 1), ("yaml.key", 3, 1)]),
        ("a:\nb: ~\nc: [null]\n", [("yaml.null", 1, 3), ("yaml.null", 2, 4), ("yaml.null", 3, 5)]),
        ("a: 1\n---\nb: 2\n", [("yaml.documents", 2, 1)]),
        ("%YAML 1.1\n---\na: 1\n", [("yaml.documents", 1, 1)]),
        ("%TAG ! tag:x,2000:\n---\na: 1\n", [("yaml.documents", 1, 1)]),
        ("", [("yaml.empty", 1, 1)]),
        ("# only a comment\n", [("yaml.empty", 1, 1)]),
        ("- a\n- b\n", [("yaml.empty", 1, 1)]),
        ("just text\n", [("yaml.empty", 1, 1)]),
        ("a: [1\nb: 2\n", [("yaml.syntax", 2, 2)]),
        ("a: 1\n\tb: 2\n", [("yaml.syntax", 2, 1)]),
        ("\ufeffa: 1\n", [("yaml.encoding", 1, 1)]),
        ("a: 1\r\nb: 2\r\n", [("yaml.character", 1, 5)]),
        ("a: 1 # \u202e comment\n", [("yaml.character", 1, 8)]),
        ('a: "x\\ny"\nb: |\n  text\n', [("yaml.character", 1, 4), ("yaml.character", 2, 4)]),
        ('a: "\\u2028"\nb: "\\ud7ff"\n', [("yaml.character", 1, 4), ("yaml.character", 2, 4)]),
        ('"a\\nb": 1\n', [("yaml.character", 1, 1)]),
        ("a: e\u0301\n", [("yaml.character", 1, 4)]),
        ("a: x\u00a0y\n", [("yaml.character", 1, 4)]),
    ],
)
def test_what_specs_do_not_use_is_refused_where_it_stands(text: str, expected: list[tuple[str, int, int]]) -> None:
    assert refusals(text) == expected


@pytest.mark.parametrize("style", ["|", "|-", "|+", ">", ">-"])
def test_pem_is_one_text_however_it_is_pasted(style: str) -> None:
    read = load(f"a: {style}\n  -----BEGIN X-----\n  AAAA\n  BBBB\n  -----END X-----\nb: 1\n".encode())
    assert (read.problems, read.value) == ((), {"a": "-----BEGIN X----- AAAA BBBB -----END X-----", "b": 1})


def test_what_is_not_visible_is_refused_in_pem_too() -> None:
    assert refusals("a: |\n  -----BEGIN X-----\n  A\u200bA\n  -----END X-----\n")


@pytest.mark.parametrize(
    "char",
    [*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)), *"\u200b\u200d\u200e\u2028\u2029\u202a\u2066\ufeff"],
    ids=lambda char: f"U+{ord(char):04X}",
)
def test_a_hidden_character_in_a_string_is_refused(char: str) -> None:
    for text in (f'{{a: "x{char}y"}}', f'{{a: "x\\u{ord(char):04x}y"}}', f'{{"x\\u{ord(char):04x}": y}}'):
        if "\n" in text:
            continue  # a raw line break folds into a blank
        found = refusals(text)
        assert [rule for rule, *_ in found] == ["yaml.character"], repr(text)


HIDDEN = (0xAD, 0x34F, 0x61C, 0x115F, 0x17B4, 0x180E, 0x200B, 0x200D, 0x200E, 0x202A, 0x202E, 0x2060, 0x2066, 0x2069)
HIDDEN += (0x206F, 0x3164, 0xFEFF, 0xFFA0, 0xFFF9, 0x1D173, 0xE0000, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xE01EF)


@pytest.mark.parametrize("code", HIDDEN)
def test_what_nobody_sees_may_stand_in_no_comment_and_no_string(code: int) -> None:
    """With the tags U+E0000 a whole text is carried past who reads the commit."""
    assert refusals(f"a: 1  # open{chr(code)} door\n") == [("yaml.character", 1, 13)]
    assert refusals(f"a: open{chr(code)}door\n") == [("yaml.character", 1, 8)]
    assert [rule for rule, _, _ in refusals(f'a: "open\\U{code:08x}door"\n')] == ["yaml.character"]


def test_an_emoji_in_a_comment_is_no_harm_and_a_row_of_selectors_is() -> None:
    assert refusals("a: 1  # \u26a0\ufe0f mind: caf\u00e9, \u041f\u0440\u0438\u0432\u0435\u0442\n") == []
    assert refusals("a: 1  # \u26a0\ufe0f\ufe01 mind\n") == [("yaml.character", 1, 11)]


def test_a_raw_line_break_in_a_quoted_string_becomes_a_blank() -> None:
    assert load(b'a: "x\n  y"').value == {"a": "x y"}


@pytest.mark.parametrize("text", ["a:\n\tb: 1\n", "a: 1\n\tb: 2\n"])
def test_a_tab_is_called_a_tab(text: str) -> None:
    (problem,) = load(text.encode()).problems
    assert "tab" in problem.hit.what
    assert problem.hit.right == "indent with spaces"


def test_line_ends_of_windows_are_one_problem_however_many() -> None:
    (problem,) = load(b"a: 1\n" + b"b: 2\r\n" * 100).problems
    assert (problem.position, problem.hit.right) == ((2, 5), "save the file with LF line endings")


def test_every_problem_is_said_at_once() -> None:
    text = 'a: &x 1\nb: *x\nc: !t 1\nd: 1\nd: {e: [1, 2]}\nf:\ng: "\\x07"\n'
    assert [rule for rule, *_ in refusals(text)] == [
        *("yaml.anchor", "yaml.anchor", "yaml.tag", "yaml.duplicate-key", "yaml.null", "yaml.character")
    ]


def test_what_is_not_utf8_is_refused_at_its_line() -> None:
    assert refusals(b"a: 1\nb: \xff\n") == [("yaml.encoding", 2, 1)]
    assert refusals("a: b".encode("utf-16")) == [("yaml.encoding", 1, 1)]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b"{a: " * 100_000,
        b"? " * 100_000,
        b"- " * 100_000,
        b"a: 1\na: " + b"[" * 100_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"a: 1\n" * 100_000,
        b"a: [" + b"1," * 250_000 + b"]",
        b"a" * (MAX_BYTES + 1),
    ],
    ids=["brackets", "braces", "keys", "dashes", "below-a-bad-key", "just-too-deep", "repeats", "elements", "bytes"],
)
def test_a_bomb_is_refused_before_anything_is_built(data: bytes) -> None:
    started = time.process_time()
    read = load(data)
    assert time.process_time() - started < 5
    assert {problem.hit.rule for problem in read.problems} <= {
        *("yaml.size", "yaml.duplicate-key", "yaml.key", "yaml.syntax")
    }
    assert read.problems
    assert read.value is None


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    read = load("\n".join(lines).encode())
    assert {problem.hit.rule for problem in read.problems} == {"yaml.anchor"}


def test_the_deepest_that_is_taken_is_taken() -> None:
    inner = MAX_DEPTH - 1
    assert load(b"a: " + b"[" * inner + b"1" + b"]" * inner).problems == ()


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_problem(data: bytes) -> None:
    read = load(data)
    assert read.value is not None or read.problems


@given(st.text(alphabet="ab:-[]{}&*!%|>'\"#?, \n\t~<1é", max_size=60))
def test_any_yaml_like_text_gives_a_value_or_a_problem_in_the_file(text: str) -> None:
    read = load(text.encode())
    assert read.value is not None or read.problems
    for problem in read.problems:
        line, col = problem.position
        assert 1 <= line <= text.count("\n") + 2
        assert 1 <= col <= len(text) + 2
