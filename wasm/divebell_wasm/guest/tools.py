"""The application's tools, as functions of the names that it gave. The functions themselves stay on the host."""

import inspect
from collections.abc import Callable
from typing import Any

from divebell_guest import twins, wire
from divebell_guest.door import BadRequest, ask
from divebell_guest.fibers import PendingCalls
from divebell_guest.tickets import result_of
from divebell_guest.values import to_plain

_ANNOTATIONS = {kind.__name__: kind for kind in (int, float, bool, str, bytes, list, dict, tuple)}


def _arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, object]:
    try:
        return {"name": name, "arguments": to_plain(list(args)), "keyword_arguments": to_plain(kwargs)}
    except wire.WireError as error:
        raise BadRequest(f"{name} was called with what cannot cross to the host: {error}") from None


def make_tool(description: dict[str, Any]) -> Callable[..., Any]:
    """A function that calls the tool; help() and inspect.signature() show what the host's shows."""
    name: str = description["name"]

    def tool(*args: Any, **kwargs: Any) -> Any:
        return result_of(ask(wire.TOOL, **_arguments(name, args, kwargs)))

    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return result_of((await PendingCalls([(wire.TOOL, _arguments(name, args, kwargs))]))[0])

    tool.__name__ = tool.__qualname__ = name
    tool.__module__ = "__main__"
    tool.__doc__ = description["documentation"] or None
    tool.__signature__ = _signature(description)  # type: ignore[attr-defined]
    twins.forms[tool] = awaited  # type: ignore[index]
    return tool


def name_async_form(tool: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The tool as an async function of the given name."""
    form: Any = twins.forms[tool]  # type: ignore[index]
    form.__name__ = form.__qualname__ = name
    form.__module__, form.__doc__ = "__main__", tool.__doc__
    form.__signature__ = tool.__signature__  # type: ignore[attr-defined]
    return form  # type: ignore[no-any-return]


def _signature(description: dict[str, Any]) -> inspect.Signature | None:
    empty = inspect.Parameter.empty
    try:
        parameters = [
            inspect.Parameter(
                parameter["name"],
                inspect._ParameterKind(parameter["kind"]),
                default=parameter.get("default", empty),
                annotation=_annotation(parameter["annotation"]) if "annotation" in parameter else empty,
            )
            for parameter in description["parameters"]
        ]
        returns = description["returns"]
        return inspect.Signature(parameters, return_annotation=empty if returns is None else _annotation(returns))
    except (ValueError, TypeError):
        return None


class _Shown:
    """An annotation that this interpreter need not know: it only shows as it was written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _annotation(text: str) -> object:
    return _ANNOTATIONS.get(text) or _Shown(text)
