"""The bounds that host and guest share: each side refuses the same, in the same words, and blames the request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, Budget, Context, ContextError, RequestError, Sandbox, SchemaRefusedError, ScriptedModel
from divebell.models.image_headers import SIZES
from divebell.schemas import GuestSchema
from divebell_bridge.door import bounds, reading, wire
from divebell_bridge.door.reading import RefusedError
from tests.support.images import png


def nested(levels: int) -> dict[str, Any]:
    """A schema of so many dicts inside of each other."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(levels - 1):
        schema = {"type": "array", "items": schema}
    return schema


BEYOND: dict[str, tuple[str, Callable[[], object], str]] = {
    "deep": ("nested(33)", lambda: nested(33), "at most 32 deep"),
    "deeper than a message": ("nested(62)", lambda: nested(62), "at most 32 deep"),
    "deep by types": ("types(40)", lambda: nested(40), "at most 32 deep"),
    "lists in lists": ("lists(40)", lambda: {"enum": _lists(40)}, "at most 32 deep"),
    "many parts": ("{'enum': [*range(2000)]}", lambda: {"enum": [*range(2000)]}, "at most 1,000 values and keys"),
    "long": ("{'title': 'x' * 20_000}", lambda: {"title": "x" * 20_000}, "at most 16,384 characters"),
    "long keys": ("{'x' * 20_000: 1}", lambda: {"x" * 20_000: 1}, "at most 16,384 characters"),
    "bytes": ("{'const': b'x'}", lambda: {"const": b"x"}, "has no bytes"),
    "keys": ("{1: 2}", lambda: {1: 2}, "keys of a schema must be str"),
    "nothing": ("{}", dict, "a schema is a dict such as"),
}


def _lists(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


SETUP = (
    "def nested(levels):\n    made = {'type': 'integer'}\n"
    "    for _ in range(levels - 1): made = {'type': 'array', 'items': made}\n    return made\n"
    "def lists(levels):\n    made = []\n    for _ in range(levels): made = [made]\n    return {'enum': made}\n"
    "def types(levels):\n    made = int\n    for _ in range(levels): made = list[made]\n    return made\n"
)


@pytest.mark.parametrize("name", BEYOND)
def test_a_schema_beyond_a_bound_is_refused_alike_on_both_sides(name: str) -> None:
    code, make, sentence = BEYOND[name]
    with Sandbox(llm=lambda prompt: "5") as box:
        cell = box.run(f"{SETUP}llm_query('q', schema={code})")
        assert cell.error is not None
        assert cell.error.kind == "BadRequest"
        assert sentence in cell.error.message
    with pytest.raises(RefusedError, match=sentence) as refused:
        reading.read_queries({"prompts": ["q"], "schema": make()})
    assert refused.value.kind == wire.BAD_REQUEST
    with pytest.raises(SchemaRefusedError, match=sentence):
        GuestSchema.of(make())


@pytest.mark.parametrize("levels", [1, 13, 31, 32])
def test_a_schema_within_the_bounds_is_taken_everywhere(levels: int) -> None:
    assert bounds.schema_problem(nested(levels)) is None
    value: Any = 5
    for _ in range(levels - 1):
        value = [value]
    root = ScriptedModel("root", [f"```repl\n{SETUP}FINAL(llm_query('q', schema=nested({levels})))\n```"])
    result = RLM(root, ScriptedModel("sub", [str(value)])).run("text", "q?")
    assert result.answer == str(value)


CODE = "try:\n    {}\nexcept BadRequest as error:\n    FINAL(f'at fault: {{error}}')"
AT_FAULT = {
    "a keyword of a schema": ("llm_query('q', schema={'type': 'string', 'pattern': 'a'})", "'pattern' is not taken"),
    "an image without a size": ("llm_query('q', images=[b'\\x89PNG\\r\\n\\x1a\\n'])", "no PNG header"),
    "an image of another kind": ("llm_query('q', images=[b'BM' + bytes(100)])", "image/png, image/jpeg"),
    "a kind that no model takes": (
        "llm_query('q', images=[{'media_type': 'image/tiff', 'data': b'II'}])",
        "not 'image/tiff'",
    ),
    "a question that is too long": ("rlm_query('q' * 60_000, 'c')", "put what is long into its context"),
}


@pytest.mark.parametrize("name", AT_FAULT)
def test_what_is_the_requests_fault_is_no_model_error_and_costs_nothing(name: str) -> None:
    call, sentence = AT_FAULT[name]
    root = ScriptedModel("root", [f"```repl\n{CODE.format(call)}\n```"])
    sub = ScriptedModel("sub", ["y"])
    result = RLM(root, sub, budget=Budget(calls=5, depth=1)).run("text", "q?")
    assert result.answer.startswith("at fault: ")
    assert sentence in result.answer
    assert not sub.requests


def test_the_errors_of_a_request_are_one_family() -> None:
    assert issubclass(SchemaRefusedError, RequestError)
    assert RequestError("no").never_ran


def test_the_kinds_of_images_are_those_whose_size_can_be_read() -> None:
    assert set(bounds.IMAGE_KINDS) == set(SIZES)
    assert bounds.MAX_PROMPT_IMAGES <= bounds.MAX_REQUEST_IMAGES
    assert bounds.MAX_IMAGE_BYTES < wire.MAX_MESSAGE_BYTES
    assert bounds.MAX_SCHEMA_NESTING < wire.MAX_DEPTH


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (png(5, 5), "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"), (b"RIFF\0\0\0\0WAVE", None), (b"BM", None), (b"", None), (b"%PDF", None),
    ],
)  # fmt: skip
def test_an_images_kind_is_told_by_its_beginning(data: bytes, kind: str | None) -> None:
    assert bounds.image_kind(data) == kind


@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_an_image_that_no_model_could_be_sent_is_refused_as_a_context(tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"large{suffix}"
    picture.write_bytes(png(5, 5) + bytes(30 << 20))
    with pytest.raises(ContextError, match=r"31,457,\d+ bytes.*may have 20,971,520: make it smaller") as refused:
        Context.of(picture)
    assert "\n" not in str(refused.value)
    picture.write_bytes(png(5, 5))
    assert Context.of(picture).type_name == "dict"


def test_a_file_that_is_riff_and_no_picture_is_refused_as_one(tmp_path: Path) -> None:
    sound = tmp_path / "sound.webp"
    sound.write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    with pytest.raises(ContextError, match="not what its name says"):
        Context.of(sound)
