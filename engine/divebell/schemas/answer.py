"""The schema that an application gives for its answers: `RLM(..., output=Schema)`.

The application wrote the schema, so it is trusted; a model wrote the answer, so it is not. For any answer, `validate`
returns the typed object or raises AnswerError with lines that a model can repair it from, in bounded time and memory
(values.py and checking.py say which bounds). The application's own validators have no bounds here.
"""

import sys
import typing
from contextlib import suppress
from functools import cached_property, reduce
from inspect import isroutine
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from divebell.errors import AnswerError, ConfigurationError
from divebell.schemas.checking import Checker
from divebell.schemas.describe import describe_schema, fields_of, resolve
from divebell.schemas.values import measure, parse_json, path_of, problem_line, quote_value
from divebell.text import printable
from divebell_bridge.door import wire


class AnswerSchema:
    """What an answer must look like. Make one with `of`."""

    def __init__(self, json_schema: dict[str, Any], checker: Checker | None, adapter: Any) -> None:
        self._json_schema = json_schema
        self._checker = checker
        self._adapter = adapter

    @classmethod
    def of(cls, source: object) -> "AnswerSchema":
        """From a pydantic model, a dataclass, a TypedDict, any other type that pydantic takes (`list[int]`, a Literal,
        `int`), or a JSON Schema as a dict. Raises ConfigurationError if it is none of these.
        """
        if isinstance(source, AnswerSchema):
            return source
        if isinstance(source, dict):
            if not source:
                raise ConfigurationError("the JSON Schema for the answer is empty: say at least its type")
            return cls(source, Checker(source), None)
        if source is None or isinstance(source, (str, bytes, int, float, list, tuple, set)) or isroutine(source):
            raise ConfigurationError(
                "a schema is a pydantic model, a dataclass, a TypedDict, a type or a JSON Schema as a dict, "
                f"not {quote_value(source)}"
            )
        from pydantic import TypeAdapter

        try:
            adapter: Any = TypeAdapter(_make_portable(source))
            return cls(adapter.json_schema(), None, adapter)
        except Exception as error:  # pydantic has several kinds, and an application's hooks any
            reason = " ".join(str(error).split("\n\nFor further")[0].split())[:300]
            raise ConfigurationError(f"{source!r} cannot be a schema: {reason}"[:500]) from None

    def json_schema(self) -> dict[str, Any]:
        """The schema as JSON Schema, for a prompt or a provider's response format."""
        return self._json_schema

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """The fields of the answer, in order; empty if the answer is not an object with fields."""
        return fields_of(self._json_schema)

    @cached_property
    def is_text(self) -> bool:
        """Whether every answer is a string: then FINAL's text is the value, and is not read as JSON."""
        return resolve(self._json_schema, self._json_schema).get("type") == "string"

    def describe(self) -> str:
        """The fields with their types and descriptions, one a line, for a prompt; or the type where there are none."""
        return describe_schema(self._json_schema)

    def validate(self, value: object) -> object:
        """The typed object for an answer in plain data: an instance of the type that the schema was made from, or plain
        data for a JSON Schema. Raises AnswerError if it does not fit.
        """
        if self._checker is not None:
            return self._checker.check(value)
        measure(value)
        from pydantic import ValidationError

        try:
            result: object = self._adapter.validate_python(value)
        except ValidationError as error:
            raise AnswerError(_describe_errors(error)) from None
        except RecursionError:
            raise AnswerError(("the answer is nested too deep",)) from None
        except Exception as error:  # a validator of the application that did not expect such a value
            raise AnswerError((printable(f"{type(error).__name__}: {error}"[:300]),)) from None
        return result

    def validate_submitted(self, fields: dict[str, object]) -> object:
        """As `validate`, for the arguments of SUBMIT: its fields, or one value, which has the name `answer`.

        Models name that value as they like; they also pass a whole object as one value, as JSON in a text, or as the
        values of its fields in their order, which arrive as a list with the name wire.BY_POSITION.
        """
        if wire.BY_POSITION in fields:
            return self._validate_in_order(fields[wire.BY_POSITION])
        if len(fields) != 1 or next(iter(fields)) in self.field_names:
            return self.validate(fields)
        [value] = fields.values()
        if resolve(self._json_schema, self._json_schema).get("type") == "object":
            return self._validate_answer(fields, value)
        return self.validate_value(value)

    def _validate_answer(self, fields: dict[str, object], value: object) -> object:
        """One value for an object: as a field, and under the name `answer` also as the object itself."""
        try:
            return self.validate(fields)
        except AnswerError as error:
            if "answer" not in fields:
                raise
            problem = error
        if isinstance(value, dict):
            return self.validate(value)
        try:
            return self.validate_value(value)
        except AnswerError:
            raise problem from None

    def is_one_value(self, fields: dict[str, object]) -> bool:
        """Whether SUBMIT received one value without a field's name, which is the same as FINAL of that value."""
        return list(fields) == ["answer"] and "answer" not in self.field_names

    def validate_value(self, value: object, text: str | None = None) -> object:
        """As `validate`, for one value that code passed to FINAL, FINAL_VAR, `answer` or SUBMIT. `text` is how print
        shows it.

        Where the answer is a string, a number counts as its text; nothing else does. Where it is not, a string may be
        JSON. Where it is an object of one field, the value may be that field's.
        """
        if self.is_text and isinstance(value, (int, float)):
            return self.validate(str(value) if text is None else text)
        if self.is_text and isinstance(value, str):
            return self._text_or_quoted(value)
        try:
            return self.validate(value)
        except AnswerError as error:
            problem = error
        if isinstance(value, str):
            try:
                parsed = parse_json(value)
            except AnswerError:
                parsed = value
            if not isinstance(parsed, str):
                return self.validate(parsed)
        if len(self.field_names) == 1 and not isinstance(value, dict):
            with suppress(AnswerError):
                return self.validate({self.field_names[0]: value})
        raise problem

    def _validate_in_order(self, values: object) -> object:
        names = self.field_names
        if not isinstance(values, list) or not names:
            return self.validate(values)
        if len(values) > len(names):
            raise AnswerError((f"{len(values):,} values, but the answer has {len(names):,} fields: name them",))
        return self.validate(dict(zip(names, values, strict=False)))

    def name_fields(self, fields: dict[str, object]) -> dict[str, object]:
        """The arguments of SUBMIT by field name, where they were values in order; otherwise the same dict."""
        values = fields.get(wire.BY_POSITION)
        if not isinstance(values, list) or not self.field_names:
            return fields
        return dict(zip(self.field_names, values, strict=False))

    def validate_text(self, text: str) -> object:
        """As `validate`, for an answer in text: JSON, also in a fence; or the text itself where that fits."""
        if self.is_text:
            return self._text_or_quoted(text)
        try:
            value = parse_json(text)
        except AnswerError as not_json:
            try:
                return self.validate(text.strip())
            except AnswerError:
                raise not_json from None
        return self.validate(value)

    def _text_or_quoted(self, text: str) -> object:
        try:
            return self.validate(text)
        except AnswerError as error:
            for other in (text.strip(), text.strip()[1:-1] if text.strip()[:1] == '"' else text.strip()):
                try:
                    return self.validate(other)
                except AnswerError:
                    continue
            raise error from None


def _describe_errors(error: Any) -> tuple[str, ...]:
    """pydantic's errors, one line each."""
    lines = []
    for one in error.errors(include_url=False, include_context=False)[: AnswerError.MAX_ERRORS * 5]:
        where = path_of(one["loc"])
        if one["type"] == "missing":
            lines.append(problem_line(where, "missing"))
        elif one["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(problem_line(where, "is not a field of it"))
        else:
            lines.append(problem_line(where, printable(f"{one['msg'][:200]}, given {quote_value(one['input'])}")))
    return tuple(lines)


def _make_portable(source: Any) -> Any:
    """`source` with each typing.TypedDict as one of typing_extensions: before Python 3.12 pydantic accepts no other."""
    if sys.version_info >= (3, 12):
        return source
    if typing.is_typeddict(source) and type(source).__module__ == "typing":
        return _make_portable_typed_dict(source)
    origin, arguments = get_origin(source), get_args(source)
    if origin is None or not arguments or origin is typing.Literal:
        return source
    portable = tuple(_make_portable(argument) for argument in arguments)
    if origin in (Union, UnionType):
        return reduce(or_, portable)
    if origin is Annotated:
        return Annotated[(portable[0], *source.__metadata__)]
    return origin[portable if len(portable) > 1 else portable[0]]


def _make_portable_typed_dict(source: Any) -> Any:
    import typing_extensions

    hints = typing.get_type_hints(source, include_extras=True)
    fields = {}
    for name, hint in hints.items():
        kind = get_args(hint)[0] if get_origin(hint) in (typing.Required, typing.NotRequired) else hint
        marker = typing_extensions.Required if name in source.__required_keys__ else typing_extensions.NotRequired
        fields[name] = marker[_make_portable(kind)]
    make: Any = typing_extensions.TypedDict
    typed_dict = make(source.__name__, fields)
    typed_dict.__doc__ = source.__doc__
    return typed_dict
