"""Examples in the description of the API: real requests and the answers that they got, kept in examples.json.

tests/api/test_api_examples.py makes the file, by a request of every operation, and fails where an example is not what
the application answers.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

JSON = "application/json"
REFUSED = "refused"
"""The name of the one example of an error."""


def put_examples(document: dict[str, Any], problem_type: str) -> None:
    """Put into each operation the example of its parameters, its body and its answer."""
    kept: Mapping[str, Any] = json.loads(files("service.api").joinpath("examples.json").read_text(encoding="utf-8"))
    for operations in document["paths"].values():
        for operation in operations.values():
            _put(operation, kept.get(operation["operationId"], {}))
            if "security" in operation and REFUSED in kept:
                operation["responses"]["default"]["content"][problem_type]["example"] = kept[REFUSED]


def _put(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    given = example.get("parameters", {})
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in given:
            parameter["example"] = given[parameter["name"]]
    if "body" in example:
        operation["requestBody"]["content"][JSON]["example"] = example["body"]
    if "answer" in example:
        operation["responses"][example["status"]]["content"][JSON]["example"] = example["answer"]
