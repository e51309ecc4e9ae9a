"""How a host says that sites answer: read whole, or Garbled. A host may say anything."""

import base64
from typing import Any

import pytest

from service.apply.sites import order_of, read_answers
from service.errors import Garbled
from service.model.sites.seen import Answer
from tests.model.sites.looks import SITE

ROW: dict[str, Any] = {"name": "www.example.org", "status": 200, "error": "", "certificate": ""}


def test_the_question_names_the_proxy_and_the_way() -> None:
    assert order_of([SITE]) == [{"name": "www.example.org", "address": "10.10.10.20", "port": 443, "tls": True}]


def test_an_answer_is_read() -> None:
    der = base64.b64encode(b"\x30\x03der").decode()
    found = read_answers({"answers": [ROW | {"certificate": der}]}, [SITE])
    assert found == {"www.example.org": (Answer("10.10.10.20", 200), b"\x30\x03der")}


def test_no_answer_has_a_reason_that_can_be_shown() -> None:
    for error, shown in (("", "no answer"), ("no\x1b[31m route\n" + "x" * 900, "no[31m route xxx")):
        ((answer, _),) = read_answers({"answers": [ROW | {"status": 0, "error": error}]}, [SITE]).values()
        assert answer.error.startswith(shown)
        assert len(answer.error) <= 120


def test_what_is_no_certificate_is_empty() -> None:
    assert read_answers({"answers": [ROW | {"certificate": "!"}]}, [SITE])["www.example.org"][1] == b""


@pytest.mark.parametrize(
    "answers",
    [
        None, [], [ROW, ROW], [1], [ROW | {"name": "other.example.org"}], [ROW | {"status": "200"}],
        [ROW | {"status": True}], [ROW | {"status": 1000}], [ROW | {"status": -1}], [ROW | {"error": None}],
        [ROW | {"certificate": "A" * 40_000}], [ROW | {"certificate": 1}],
    ],
)  # fmt: skip
def test_another_form_is_garbled(answers: Any) -> None:
    with pytest.raises(Garbled):
        read_answers({"answers": answers}, [SITE])
