"""The pictures of pages in README and docs are of the pages as they are."""

from tests.web.pictures import COMMAND, FOLDER, MADE_FROM, MOST_BYTES, TOP, digests, names

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_pictures_are_not_stale() -> None:
    assert MADE_FROM.read_text() == digests(), f"a template or the style sheet is another one. Fix: {COMMAND}"


def test_there_are_these_pictures_and_they_are_small() -> None:
    found = {path.name: path for path in FOLDER.glob("*.png")}
    assert sorted(found) == sorted(names())
    for path in found.values():
        assert path.read_bytes().startswith(PNG)
        assert path.stat().st_size <= MOST_BYTES, path.name


def test_each_picture_is_in_the_documents() -> None:
    texts = "".join(path.read_text() for path in (TOP / "README.md", *(TOP / "deploy/docs").glob("*.md")))
    assert [name for name in names() if f"pictures/{name}" not in texts] == []
