"""The names that model-written code has without an import, and what it may see of them."""

import types
from typing import Any, NoReturn

from divebell_guest import contract, queries, twins
from divebell_guest import finish as finishing
from divebell_guest.arguments import shared
from divebell_guest.door import BadAnswer, BudgetExceeded, IncompleteReply, ModelError, ToolError
from divebell_guest.finish import as_text
from divebell_guest.tools import made
from divebell_guest.values import type_name

# `__main__`'s dictionary; boot.py sets it.
namespace: dict[str, object] = {}
# The modules that are bound in it from the start.
preset: dict[str, object] = {}
_ABSENT = object()

finish = finishing.Finish()


def variable_as_text(name: str) -> str:
    """The variable at full length, as text. NameError, with the names that there are, if it does not exist."""
    return as_text(_variable(name))


def _variable(name: str) -> object:
    name = name.strip().strip("\"'`").strip()
    if name in own_names() or name in contract.DATA:
        return namespace[name]
    own = ", ".join(sorted(own_names())) or "none yet"
    raise NameError(f"there is no variable {name!r}; variables so far: {own}")


def FINAL(value: object) -> str:
    """Give the answer. The run ends after this cell, if the cell ends without an error."""
    return finish.give(value)


def FINAL_VAR(name: object) -> str:
    """Give a variable's value as the answer, at full length. Takes the variable's name, or the value itself."""
    if type(name) is str and name.isidentifier():
        return finish.give(_variable(name))
    return finish.give(name)


def _final_value(value: object) -> str:
    """FINAL_VAR(x), where x is no text in the code: what it holds is the answer, be it `Paris`, or names a variable."""
    if type(value) is str and value in own_names():
        value = namespace[value]
    return finish.give(value)


def by_value(function: object) -> object:
    """What `FINAL_VAR(x)` calls: the form above, or the cell's own function of that name."""
    return _final_value if function is FINAL_VAR else function


def SUBMIT(*values: Any, **fields: Any) -> NoReturn:
    """Give the answer as fields, SUBMIT(field=value, ...), as their values in order, or as one value. If they do not
    fit the output schema, this raises BadAnswer, which says why; correct them and SUBMIT again. If they do, the cell
    and the run end here."""
    submitted, text = finishing.submission(values, fields)
    finishing.check(submitted)
    finish.submit(submitted, text)
    raise finishing.Submitted(0)


class Printed(str):
    """A text that has been printed: a cell that ends with it does not show it once more."""

    __slots__ = ()


def SHOW_VARS() -> str:
    """The names, types and sizes of the variables that have been defined so far."""
    lines = []
    for name in own_names():
        value = namespace[name]
        size = f", length {len(value):,}" if isinstance(value, (str, bytes, list, tuple, dict, set)) else ""
        lines.append(f"{name}: {type_name(value)}{size}")
    shown = "\n".join(lines) or "no variables yet"
    print(shown)
    return Printed(shown)


_MEANINGS: dict[str, object] = {
    "llm_query": queries.llm_query,
    "llm_query_batched": queries.llm_query_batched,
    "allm_query": queries.allm_query,
    "allm_query_batched": queries.allm_query_batched,
    "rlm_query": queries.rlm_query,
    "rlm_query_batched": queries.rlm_query_batched,
    "arlm_query": queries.arlm_query,
    "arlm_query_batched": queries.arlm_query_batched,
    "recursive_llm": queries.recursive_llm,
    "budget": queries.budget,
    "FINAL": FINAL,
    "FINAL_VAR": FINAL_VAR,
    "SUBMIT": SUBMIT,
    "SHOW_VARS": SHOW_VARS,
    "BudgetExceeded": BudgetExceeded,
    "ModelError": ModelError,
    "IncompleteReply": IncompleteReply,
    "ToolError": ToolError,
    "BadAnswer": BadAnswer,
    "history": [],
    "answer": finish.answer,
}
# What is bound, and put back after each cell. `context` is the host's to bind.
CONTRACT: dict[str, object] = {
    entry.name: _MEANINGS[entry.same_as or entry.name] for entry in contract.CONTRACT if entry.name != "context"
}
_tools: list[str] = []  # the names in it that are tools
twins.forms.update(queries.AWAITABLE)


def bind(name: str, value: object) -> None:
    """Give a name a value that stays: it is put back after every cell."""
    CONTRACT[name] = value
    namespace[name] = value
    if name == "context":
        shared.context = value


def append(name: str, items: list[object]) -> None:
    """Put items at the end of a bound list. The name gets a new list, because a cell may hold the one before."""
    before = CONTRACT[name]
    if type(before) is not list:
        raise TypeError(f"{name} is not bound to a list")
    bind(name, [*before, *items])


def bind_tools(tools: list[dict[str, Any]]) -> None:
    """The tools that there are from now on; those from before go."""
    for name in _tools:
        twins.forms.pop(CONTRACT.pop(name), None)  # type: ignore[call-overload]
        namespace.pop(name, None)
    _tools.clear()
    for description in tools:
        bind(description["name"], made(description))
        _tools.append(description["name"])


def awaitable(function: Any) -> Any:
    """What `await function(...)` calls: the async form of a name above or of a tool, or the function itself."""
    return twins.forms.get(function) or function if isinstance(function, types.FunctionType) else function


def own_names() -> list[str]:
    """The names that cells defined, without the contract's and the module's own."""
    return [
        name
        for name, value in namespace.items()
        if name not in CONTRACT and not name.startswith("__") and preset.get(name, _ABSENT) is not value
    ]


def restore_contract() -> None:
    """Put back the names that a cell may have overwritten."""
    namespace.update(CONTRACT)
