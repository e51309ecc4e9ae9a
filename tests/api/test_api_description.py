from pathlib import Path

from openapi_spec_validator import validate

from service.api import openapi

KEPT = Path(__file__).parents[2] / "openapi" / "openapi.json"
PUBLIC = {"/livez", "/readyz", "/hooks/{receiver}", "/problems/{code}"}


def test_the_kept_description_is_the_programs_own() -> None:
    assert KEPT.read_text() == openapi.text(), "make it again: python -m service.api.openapi openapi/openapi.json"


def test_the_description_is_valid() -> None:
    validate(openapi.document())


def test_every_operation_says_what_it_is_and_who_may() -> None:
    seen: set[str] = set()
    for path, operations in openapi.document()["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["operationId"] not in seen
            seen.add(operation["operationId"])
            assert ("security" in operation) == (path not in PUBLIC), path
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert "422" not in operation["responses"]
    assert len(seen) >= 24
