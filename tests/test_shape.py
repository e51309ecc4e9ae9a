"""The check of sizes can fail, and its exceptions can only shrink."""

from pathlib import Path

from tests.shape import complaints, known, too_large


def test_what_is_too_large_is_found(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "long.py").write_text("x = 1\n" * 401)
    (tmp_path / "service" / "fine.py").write_text("def f():\n" + "    x = 1\n" * 59)
    (tmp_path / "service" / "deep.py").write_text("class A:\n  async def f(self):\n" + "    x = 1\n" * 60)
    assert dict(too_large(tmp_path)) == {"service/long.py": 401, "service/deep.py::f": 61}


def test_an_exception_may_only_shrink() -> None:
    exceptions = known("# why\n500 service/a.py\n70 service/b.py::f\n")
    assert complaints({"service/a.py": 450, "service/b.py::f": 70}, exceptions) == []
    (grown,) = complaints({"service/a.py": 501, "service/b.py::f": 70}, exceptions)
    assert "grew from 500 to 501" in grown
    (new,) = complaints({"service/a.py": 450, "service/b.py::f": 70, "service/c.py": 402}, exceptions)
    assert "402 lines, more than 400" in new
    (mended,) = complaints({"service/a.py": 450}, exceptions)
    assert "take its line out" in mended
