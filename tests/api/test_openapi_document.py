"""The OpenAPI document is enough to call each operation: it has a summary, examples and the codes of errors."""

from typing import Any, NamedTuple

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

DOCUMENT: Any = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
OPERATIONS = {
    f"{verb.upper()} {path.removeprefix('/api/v1/')}": operation
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
}
of_each_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))


class Content(NamedTuple):
    """The body of a request or response."""

    status: str
    shape: dict[str, Any]
    examples: list[Any]


def contents(part: dict[str, Any], status: str = "") -> list[Content]:
    return [
        Content(status, media["schema"], [example["value"] for example in media.get("examples", {}).values()])
        for media in part.get("content", {}).values()
    ]


def sent(operation: dict[str, Any]) -> list[Content]:
    return contents(operation.get("requestBody", {}))


def answered(operation: dict[str, Any]) -> list[Content]:
    return [content for status, answer in operation["responses"].items() for content in contents(answer, status)]


@of_each_operation
def test_each_operation_has_a_summary_and_no_text_about_the_code(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert "Refuses a method" not in operation.get("description", "")


@of_each_operation
def test_each_body_and_each_response_has_a_valid_example(operation: dict[str, Any]) -> None:
    found = sent(operation) + answered(operation)
    assert found
    for content in found:
        assert content.examples, content
        shape = Draft202012Validator(
            content.shape | {"components": DOCUMENT["components"]}, format_checker=FormatChecker()
        )
        for example in content.examples:
            shape.validate(example)


@of_each_operation
def test_each_operation_names_its_errors_with_examples(operation: dict[str, Any]) -> None:
    errors = [content for content in answered(operation) if int(content.status) >= 400]
    assert errors
    for content in errors:
        codes = [example["code"] for example in content.examples]
        assert operation["responses"][content.status]["description"] == " · ".join(f"`{code}`" for code in codes)
        for example in content.examples:
            assert example["status"] == int(content.status)
            assert example["title"] != example["code"]


def test_the_deletion_of_ones_own_account_has_a_body() -> None:
    (body,) = sent(OPERATIONS["DELETE users/me/"])
    assert body.shape["$ref"].endswith("Request")
