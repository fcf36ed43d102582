"""The names that model-written code has without an import, and what it may see of them."""

import types
from typing import Any, NoReturn

from divebell_guest import contract, queries, twins
from divebell_guest import finish as finishing
from divebell_guest.arguments import shared
from divebell_guest.door import BadAnswer, BadRequest, BudgetExceeded, IncompleteReply, ModelError, ToolError
from divebell_guest.finish import as_text
from divebell_guest.tools import awaited_form, made
from divebell_guest.values import length_of, type_name

# `__main__`'s dictionary; boot.py sets it.
namespace: dict[str, object] = {}
# The modules that are bound in it from the start.
preset: dict[str, object] = {}
_ABSENT = object()
# The contract's names that a cell has taken, in this sandbox, and where what it put there is kept now.
_told: set[str] = set()
_kept: set[str] = set()
MAX_LISTED = 10_000  # variables
MAX_NAME_CHARACTERS = 200

finish = finishing.Finish()


def variable_as_text(name: str) -> str:
    """The variable at full length, as text. NameError, with the names that there are, if it does not exist."""
    return as_text(_variable(name))


def draft() -> str | None:
    """What `answer` holds, as text; None if that is nothing, or no plain data."""
    return finish.draft(namespace)


def _variable(name: str) -> object:
    name = name.strip().strip("\"'`").strip()
    if name in own_names() or name in contract.DATA or (name in _kept and name in namespace):
        return namespace[name]
    own = ", ".join(sorted(own_names())) or "none yet"
    raise NameError(f"there is no variable {name!r}; variables so far: {own}")


def FINAL(value: object) -> str:
    """Give the answer. The run ends after this cell, if the cell ends without an error."""
    return _give(value)


def _give(value: object) -> str:
    return finish.give(finish.meant(value, namespace))


def FINAL_VAR(name: object) -> str:
    """Give a variable's value as the answer, at full length. Takes the variable's name, or the value itself."""
    if type(name) is str and name.isidentifier():
        return _give(_variable(name))
    return _give(name)


def _final_value(value: object) -> str:
    """FINAL_VAR(x), where x is no text in the code: what it holds is the answer, be it `Paris`, or names a variable."""
    if type(value) is str and value in own_names():
        value = namespace[value]
    return _give(value)


def by_value(function: object) -> object:
    """What `FINAL_VAR(x)` calls: the form above, or the cell's own function of that name."""
    return _final_value if function is FINAL_VAR else function


def SUBMIT(*values: Any, **fields: Any) -> NoReturn:
    """Give the answer as fields, SUBMIT(field=value, ...), as their values in order, or as one value. If they do not
    fit the output schema, this raises BadAnswer, which says why; correct them and SUBMIT again. If they do, the cell
    and the run end here."""
    values = tuple(finish.meant(value, namespace) for value in values)
    fields = {name: finish.meant(value, namespace) for name, value in fields.items()}
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
    for name, kind, length in variables():
        lines.append(f"{name}: {kind}" if length is None else f"{name}: {kind}, length {length:,}")
    shown = "\n".join(lines) or "no variables yet"
    print(shown)
    return Printed(shown)


def variables() -> list[tuple[str, str, int | None]]:
    """Name, type and length of each variable that cells defined; no length where the type has none of its own."""
    listed = [name for name in own_names() if len(name) <= MAX_NAME_CHARACTERS][:MAX_LISTED]
    return [(name, type_name(namespace[name])[:MAX_NAME_CHARACTERS], length_of(namespace[name])) for name in listed]


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
    "BadRequest": BadRequest,
    "history": [],
}
# What is bound, and put back after each cell. `context` is the host's to bind; `answer` stays what a cell made of it.
CONTRACT: dict[str, object] = {
    entry.name: _MEANINGS[entry.same_as or entry.name]
    for entry in contract.CONTRACT
    if entry.name not in ("context", "answer")
}
_tools: list[str] = []  # the names in it that are tools
# What tools may stand in for.
_ORIGINAL = {name: CONTRACT[name] for name in (*contract.STAND_INS, *contract.AWAITED.values())}
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
    """The tools that there are from now on; those from before go. One that has a name of the contract's stands in its
    place, for the other names of the same function too."""
    made_now: dict[str, Any] = {}
    for description in tools:
        tool = made(description)
        name = description["name"]
        given = {*contract.STAND_INS.get(name, ())}.difference(other["name"] for other in tools)
        made_now.update(dict.fromkeys((name, *given), tool))
        if f"a{name}" in contract.AWAITED.values():
            made_now[f"a{name}"] = awaited_form(tool)
    for name in _tools:
        twins.forms.pop(CONTRACT.pop(name), None)  # type: ignore[call-overload]
        if name not in made_now and name not in _ORIGINAL:
            namespace.pop(name, None)
    _tools[:] = made_now
    CONTRACT.update(_ORIGINAL | made_now)
    namespace.update(CONTRACT)


def awaitable(function: Any) -> Any:
    """What `await function(...)` calls: the async form of a name above or of a tool, or the function itself."""
    return twins.forms.get(function) or function if isinstance(function, types.FunctionType) else function


def own_names() -> list[str]:
    """The names that cells defined, without the contract's and the module's own."""
    return [
        name
        for name, value in namespace.items()
        if type(name) is str
        and name not in CONTRACT
        and name not in _kept
        and not name.startswith("__")
        and preset.get(name, _ABSENT) is not value
        and value is not finish.answer
    ]


def restore_contract() -> list[str]:
    """Put back the names that a cell has taken. Returns a sentence for each that it took for the first time.

    What the cell put there is kept under another name: it may have cost money. `answer` alone stays what the code made
    of it (finish.py).
    """
    taken = [name for name, value in CONTRACT.items() if namespace.get(name, value) is not value]
    told = [_moved(name) for name in taken] if taken else []
    namespace.update(CONTRACT)
    if "answer" not in namespace:
        namespace["answer"] = finish.answer
    return [sentence for sentence in told if sentence]


def _moved(name: str) -> str:
    place = f"my_{name}"
    is_free = place not in namespace or place in _kept
    if is_free:
        namespace[place] = namespace[name]
        _kept.add(place)
    if name in _told:
        return ""
    _told.add(name)
    moved = f"; what you put there is `{place}` now" if is_free else ""
    return f"`{name}` is a name of the sandbox and was put back{moved}. Use another name."
