"""What the service says of its operations is enough to call them: a summary, examples, and the codes of refusals."""

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
    """A body that is sent or answered."""

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
def test_each_has_a_summary_and_no_words_about_our_code(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert "Refuses a method" not in operation.get("description", "")


@of_each_operation
def test_each_body_and_each_answer_has_an_example_that_is_one(operation: dict[str, Any]) -> None:
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
def test_each_names_its_refusals_and_shows_each_as_it_is(operation: dict[str, Any]) -> None:
    refusals = [content for content in answered(operation) if int(content.status) >= 400]
    assert refusals
    for content in refusals:
        codes = [example["code"] for example in content.examples]
        assert operation["responses"][content.status]["description"] == " · ".join(f"`{code}`" for code in codes)
        for example in content.examples:
            assert example["status"] == int(content.status)
            assert example["title"] != example["code"]
