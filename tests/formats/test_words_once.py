from service.formats.read_once import WORD_CHARS, forget, word_once


def test_a_word_is_read_once_until_it_is_forgotten_and_a_long_one_each_time() -> None:
    read: list[str] = []

    @word_once
    def upper(word: str, ending: str = "") -> str:
        read.append(word)
        return word.upper() + ending

    assert [upper("a"), upper("a"), upper("a", "!"), upper("a", "!")] == ["A", "A", "A!", "A!"]
    assert upper("a", ending="?") == "A?"
    assert read == ["a", "a", "a"]
    forget()
    assert upper("a") == "A"
    assert len(read) == 4
    long = "a" * (WORD_CHARS + 1)
    assert {upper(long), upper(long)} == {long.upper()}
    assert len(read) == 6
