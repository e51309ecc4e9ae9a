"""A run of the lab's tests reads only the files that name their mark, and no test is lost that way."""

from pathlib import Path

import pytest

from tests.documents import TOP
from tests.marked import has_none, unnamed

pytest_plugins = ["pytester"]


def test_a_file_is_left_out_only_where_no_test_of_it_can_be_selected(tmp_path: Path) -> None:
    named, other = tmp_path / "test_named.py", tmp_path / "test_other.py"
    named.write_text("pytestmark = pytest.mark.lab(minutes=1)")
    other.write_text("pytestmark = pytest.mark.long")
    assert (has_none(named, "lab"), has_none(other, "lab")) == (False, True)
    for expression in ("", "not lab and not host and not long", "(host or long) and not lab", "lab or host"):
        assert not has_none(other, expression)


def test_the_run_of_all_tests_selects_the_labs_by_this_expression() -> None:
    assert " tests -m lab " in (TOP / "tests/run").read_text()


def test_a_mark_that_comes_from_elsewhere_is_found(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = lab\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        elsewhere="import pytest\nmarks = [pytest.mark.lab]\n",
        test_one="from elsewhere import marks as pytestmark\ndef test_it(): pass\n",
        test_two="import pytest\n@pytest.mark.lab\ndef test_it(): pass\n",
    )
    items, _ = pytester.inline_genitems("-p", "no:randomly")
    assert unnamed(items) == ["test_one.py::test_it"]


def test_a_run_without_the_lab_ends_where_such_a_test_would_be_lost(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = lab\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        elsewhere="import pytest\nmarks = [pytest.mark.lab]\n",
        test_one="from elsewhere import marks as pytestmark\ndef test_it(): pass\n",
        test_two="def test_it(): pass\n",
    )
    pytester.makeconftest("from tests.conftest import pytest_refuse_unnamed")
    ran = pytester.runpytest_inprocess("-p", "no:randomly", "-m", "not lab")
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    ran.stderr.fnmatch_lines(["ERROR: the file of a test has to name its mark: test_one.py::test_it"])
