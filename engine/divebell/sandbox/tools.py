"""Tools: functions of the application that model-written code may call.

What crosses is a name, plain arguments, and a plain result or an error's name and message; the function itself, its
closure and its objects stay on the host. Arguments are checked against the function's signature and annotations before
it is called, because they were written by a model that may have been talked into anything. A tool must still treat them
as it would treat a stranger's: a str may hold any text, a list any number of items up to the wire's bounds.
"""

import asyncio
import builtins
import functools
import inspect
import json
import keyword
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from divebell.errors import ConfigurationError
from divebell_bridge.door import contract, wire
from divebell_bridge.door.bounds import MAX_TOOL_NAME_CHARACTERS, MAX_TOOL_RESULT_BYTES
from divebell_bridge.door.requests import Outcome, ToolCall

MAX_TOOLS = 100
MAX_SIGNATURE_CHARACTERS = 2_000
MAX_DOCUMENTATION_CHARACTERS = 8_000
MAX_MESSAGE_CHARACTERS = 2_000

RESERVED_NAMES = contract.NAMES | frozenset(contract.PRESET_MODULES) | {"print", "help"}
"""Names that the guest itself defines; a tool may not replace them."""

REPLACEABLE_NAMES = tuple(contract.STAND_INS)
"""Names of the guest's that an application may answer itself (Tools, `replace`)."""


class _Tool:
    """One function: how it is described, and how its arguments are checked."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  (an object whose call is async)
        )
        self._signature = _read_signature(name, function)
        self.signature_text = str(_simplify_defaults(self._signature))[:MAX_SIGNATURE_CHARACTERS]
        self.description: dict[str, object] = {
            "name": name,
            "signature": self.signature_text,
            "documentation": (inspect.getdoc(function) or "")[:MAX_DOCUMENTATION_CHARACTERS],
            "parameters": [_describe_parameter(parameter) for parameter in self._signature.parameters.values()],
            "returns": _describe_annotation(self._signature.return_annotation),
        }

    @functools.cached_property
    def _adapters(self) -> dict[str, Any]:
        """The validators of parameters with a meaningful annotation. pydantic's, because openai installs it; created on
        first use, because importing it takes a tenth of a second."""
        import pydantic

        adapters: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.annotation in (inspect.Parameter.empty, Any, object):
                continue
            # An annotation that pydantic does not know cannot be checked; the function sees what it gets.
            with suppress(pydantic.PydanticSchemaGenerationError, pydantic.PydanticUserError, NameError, TypeError):
                adapters[name] = pydantic.TypeAdapter(parameter.annotation)
        return adapters

    def bind_arguments(self, call: ToolCall) -> inspect.BoundArguments:
        """The arguments in their places, each as its annotation wants it. TypeError if they do not fit."""
        bound = self._signature.bind(*call.arguments, **call.keyword_arguments)
        for name, adapter in self._adapters.items():
            if name not in bound.arguments:
                continue
            kind = self._signature.parameters[name].kind
            value = bound.arguments[name]
            if kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_validate(adapter, name, item) for item in value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {key: _validate(adapter, key, item) for key, item in value.items()}
            else:
                bound.arguments[name] = _validate(adapter, name, value)
        return bound


def _read_signature(name: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # annotations that are text and cannot be resolved
        signature = inspect.signature(function)
        plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
        return signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"the tool {name!r} has no signature to check calls against: wrap it in a Python function"
        ) from None


_SIMPLE = frozenset({type(None), bool, int, float, str})


def _simplify_defaults(signature: inspect.Signature) -> inspect.Signature:
    """The signature as the guest reads it: defaults that are not simple values would mean nothing there."""
    empty = inspect.Parameter.empty
    return signature.replace(
        parameters=[
            p if p.default is empty or type(p.default) in _SIMPLE else p.replace(default=...)
            for p in signature.parameters.values()
        ]
    )


def _describe_parameter(parameter: inspect.Parameter) -> dict[str, object]:
    """The parameter as plain data, from which the guest makes an inspect.Parameter."""
    description: dict[str, object] = {"name": parameter.name, "kind": int(parameter.kind)}
    if parameter.annotation is not inspect.Parameter.empty:
        description["annotation"] = _describe_annotation(parameter.annotation)
    if parameter.default is not inspect.Parameter.empty:
        description["default"] = parameter.default if type(parameter.default) in _SIMPLE else "..."
    return description


def _describe_annotation(annotation: object) -> str | None:
    if annotation is inspect.Signature.empty:
        return None
    return inspect.formatannotation(annotation)[:MAX_SIGNATURE_CHARACTERS]


def _validate(adapter: Any, name: str, value: object) -> object:
    """The value as its annotation wants it, strictly: as Python data, or as JSON, which has lists for tuples and texts
    for dates and enumerations. A str never becomes a number or bytes."""
    import pydantic

    try:
        return adapter.validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        with suppress(pydantic.ValidationError, TypeError, ValueError):
            fitted = adapter.validate_json(json.dumps(value), strict=True)
            if not isinstance(fitted, bytes):
                return fitted
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])
        raise TypeError(f"{name}{where}: {first['msg']}, not {type(value).__name__}") from None


class Tools:
    """The tools of one sandbox, or of a run. Immutable; shared by threads.

    tools: functions, plain or async, by the name that code calls them by. Raises ConfigurationError if a name
    cannot be used, or a value cannot be called.
    replace: functions that stand in for the sandbox's own of REPLACEABLE_NAMES, and are called as tools are: the code's
    calls then go to them, and to no model. `llm_query` stands in for `allm_query` too, `llm_query_batched` also for
    `llm_batch` and `batch_llm_query`, and so on. No budget of Divebell's counts the cost of such a function.
    """

    def __init__(
        self,
        tools: Mapping[str, Callable[..., Any]],
        *,
        replace: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        replace = {} if replace is None else replace
        if not isinstance(tools, Mapping) or not isinstance(replace, Mapping):
            raise ConfigurationError('tools must be a dict from names to functions, such as {"lookup": lookup}')
        if len(tools) + len(replace) > MAX_TOOLS:
            raise ConfigurationError(
                f"{len(tools) + len(replace):,} tools are more than the {MAX_TOOLS} that a sandbox may have"
            )
        self._tools: dict[str, _Tool] = {}
        self._descriptions: list[dict[str, object]] | None = None
        for name in replace:
            if name not in REPLACEABLE_NAMES:
                raise ConfigurationError(f"{name!r} cannot be replaced; {', '.join(REPLACEABLE_NAMES)} can")
        for name in tools:
            _check_name(name)
        for name, function in (*tools.items(), *replace.items()):
            if not callable(function):
                raise ConfigurationError(f"the tool {name!r} must be a function, not {type(function).__name__}")
            self._tools[name] = _Tool(name, function)

    @classmethod
    def from_descriptions(cls, descriptions: list[dict[str, object]]) -> "Tools":
        """Tools without functions, for a replay: the results of their calls are in the journal."""
        tools = cls({})
        tools._descriptions = descriptions
        return tools

    @classmethod
    def of(
        cls,
        tools: "Tools | Mapping[str, Callable[..., Any]] | None",
        replace: "Mapping[str, Callable[..., Any]] | None" = None,
    ) -> "Tools":
        """The same Tools, or Tools made from the two dicts; None stands for an empty one."""
        if not isinstance(tools, Tools):
            return cls({} if tools is None else tools, replace=replace)
        if replace is not None:
            raise ConfigurationError("give `replace` to the Tools themselves: Tools({...}, replace={...})")
        return tools

    def __len__(self) -> int:
        return len(self.descriptions)

    @property
    def descriptions(self) -> list[dict[str, object]]:
        """Name, signature and documentation of each, for the guest and for a prompt."""
        return self._descriptions or [tool.description for tool in self._tools.values()]

    def __contains__(self, name: object) -> bool:
        return any(tool["name"] == name for tool in self.descriptions)

    def is_async(self, call: ToolCall) -> bool:
        """Whether there is such a tool, and it is to be awaited: `acall` then, not `call`."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.is_async

    def call(self, call: ToolCall) -> Outcome:
        """Call a plain tool, on this thread. Never raises."""
        try:
            bound = self._bind_arguments(call)
            return _outcome_of_value(call, self._tools[call.name].function(*bound.args, **bound.kwargs))
        except _CallFailed as failed:
            return failed.outcome
        except BaseException as error:
            return _outcome_of_error(error)

    async def acall(self, call: ToolCall) -> Outcome:
        """Call an async tool. Raises nothing but cancellation."""
        try:
            bound = self._bind_arguments(call)
            return _outcome_of_value(call, await self._tools[call.name].function(*bound.args, **bound.kwargs))
        except _CallFailed as failed:
            return failed.outcome
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return _outcome_of_error(error)

    def _bind_arguments(self, call: ToolCall) -> inspect.BoundArguments:
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            raise _CallFailed(wire.UNAVAILABLE, f"there is no tool {call.name!r} here; tools: {names}")
        try:
            return tool.bind_arguments(call)
        except TypeError as error:
            message = f"{error}; its signature is {call.name}{tool.signature_text}"
            raise _CallFailed(wire.TOOL_ERROR, message, "TypeError") from None


class _CallFailed(Exception):
    def __init__(self, kind: str, message: str, error: str | None = None) -> None:
        super().__init__(message)
        self.outcome: Outcome = {"kind": kind, "message": message[:MAX_MESSAGE_CHARACTERS]}
        if error is not None:
            self.outcome["error"] = error


def _check_name(name: object) -> None:
    if (
        not isinstance(name, str)
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or len(name) > MAX_TOOL_NAME_CHARACTERS
    ):
        raise ConfigurationError(f"a tool's name must be a Python name, not {name!r}")
    if name in REPLACEABLE_NAMES:
        raise ConfigurationError(
            f"a tool cannot be named {name!r}, which the sandbox has already: to answer its calls yourself, give the "
            f"function as replace={{{name!r}: ...}}"
        )
    if name in RESERVED_NAMES or hasattr(builtins, name):
        raise ConfigurationError(
            f"a tool cannot be named {name!r}: code in the sandbox has something else by that name"
        )
    if name.startswith("__") or not name.strip("_"):
        raise ConfigurationError(f"a tool cannot be named {name!r}: such names mean something in Python itself")


def _outcome_of_value(call: ToolCall, value: object) -> Outcome:
    try:
        wire.encode(value, MAX_TOOL_RESULT_BYTES)
    except wire.WireError as error:
        raise _CallFailed(wire.TOOL_ERROR, f"what {call.name} returned cannot cross: {error}", "TypeError") from None
    return {"value": value}


def _outcome_of_error(error: BaseException) -> Outcome:
    """The name and message of the error: a host object never crosses."""
    try:
        message = str(error)
    except BaseException:  # whatever it is, it must not end the worker that reports to the guest
        message = ""
    return {"kind": wire.TOOL_ERROR, "message": message[:MAX_MESSAGE_CHARACTERS], "error": type(error).__name__[:200]}
