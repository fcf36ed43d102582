"""The names that model-written code has without an import: what each means, and how cells can neither lose nor move it.

The list of names is contract.py's. A function gets onto it there; the file that defines it (queries.py, or this one for
the answering ones) names it in its FUNCTIONS.
"""

import types
from collections.abc import Callable
from typing import Any, NoReturn

from divebell_guest import bounds, contract, final, queries, twins
from divebell_guest.arguments import shared
from divebell_guest.door import ERRORS
from divebell_guest.final import as_text
from divebell_guest.tools import make_tool, name_async_form
from divebell_guest.values import length_of, type_name

# `__main__`'s dictionary, in which cells run; boot.py sets it.
bindings: dict[str, object] = {}
# The modules that are bound in it from the start.
preset: dict[str, object] = {}
_ABSENT = object()
# The contract's names that cells of this sandbox have overwritten, and the names under which what they put there is
# kept.
_reported: set[str] = set()
_kept: set[str] = set()

final_answer = final.FinalAnswer()


def variable_as_text(name: str) -> str:
    """The variable at full length, as text. NameError, with the names that there are, if it does not exist."""
    return as_text(_variable(name))


def draft() -> str | None:
    """What `answer` holds, as text; None if that is nothing, or no plain data."""
    return final_answer.draft(bindings)


def _variable(name: str) -> object:
    name = name.strip().strip("\"'`").strip()
    if name in own_names() or name in contract.DATA or (name in _kept and name in bindings):
        return bindings[name]
    own = ", ".join(sorted(own_names())) or "none yet"
    raise NameError(f"there is no variable {name!r}; variables so far: {own}")


def FINAL(value: object) -> str:
    """Give the answer. The run ends after this cell, if the cell ends without an error."""
    return _give(value)


def _give(value: object) -> str:
    return final_answer.give(final_answer.resolve(value, bindings))


def FINAL_VAR(name: object) -> str:
    """Give a variable's value as the answer, at full length. Takes the variable's name, or the value itself."""
    if type(name) is str and name.isidentifier():
        return _give(_variable(name))
    return _give(name)


def _final_value(value: object) -> str:
    """FINAL_VAR(x), where x is not a literal in the code: what x holds is the answer, or names the variable that is."""
    if type(value) is str and value in own_names():
        value = bindings[value]
    return _give(value)


def find_by_value_form(function: object) -> object:
    """What `FINAL_VAR(x)` calls: the form above, or the cell's own function of that name."""
    return _final_value if function is FINAL_VAR else function


def SUBMIT(*values: Any, **fields: Any) -> NoReturn:
    """Give the answer as fields, SUBMIT(field=value, ...), as their values in order, or as one value. If they do not
    fit the output schema, this raises BadAnswer, which says why; correct them and SUBMIT again. If they do, the cell
    and the run end here."""
    values = tuple(final_answer.resolve(value, bindings) for value in values)
    fields = {name: final_answer.resolve(value, bindings) for name, value in fields.items()}
    submitted, text = final.read_submission(values, fields)
    final.check_answer(submitted)
    final_answer.submit(submitted, text)
    raise final.Submitted(0)


class Printed(str):
    """A text that has been printed: a cell that ends with it does not show it once more."""

    __slots__ = ()


def SHOW_VARS() -> str:
    """The names, types and sizes of the variables that have been defined so far."""
    lines = []
    for name, kind, length in variables():
        lines.append(f"{name}: {kind}" if length is None else f"{name}: {kind}, length {length:,}")
    listing = "\n".join(lines) or "no variables yet"
    print(listing)
    return Printed(listing)


def variables() -> list[tuple[str, str, int | None]]:
    """Name, type and length of each variable that cells defined; no length where the type has none of its own."""
    longest = bounds.MAX_VARIABLE_NAME_CHARACTERS
    short_names = [name for name in own_names() if len(name) <= longest][: bounds.MAX_LISTED_VARIABLES]
    return [(name, type_name(bindings[name])[:longest], length_of(bindings[name])) for name in short_names]


FUNCTIONS: tuple[Callable[..., Any], ...] = (FINAL, FINAL_VAR, SUBMIT, SHOW_VARS)

_meanings: dict[str, object] = {function.__name__: function for function in (*queries.FUNCTIONS, *FUNCTIONS)}
_meanings |= {**ERRORS, "history": []}
# What is bound, and put back after each cell. The host binds `context`; `answer` stays what a cell made of it.
CONTRACT: dict[str, object] = {
    entry.name: _meanings[entry.same_as or entry.name]
    for entry in contract.CONTRACT
    if entry.name not in ("context", "answer")
}
_tools: list[str] = []  # the names in it that are tools
# What tools may stand in for.
_REPLACEABLE = {name: CONTRACT[name] for name in (*contract.STAND_INS, *contract.AWAITED.values())}
# For each async name, the sync one that it belongs to: the first in the list that is awaited by it.
_SYNC_NAMES = {awaited: name for name, awaited in reversed(contract.AWAITED.items())}

twins.forms.update({CONTRACT[name]: CONTRACT[awaited] for name, awaited in contract.AWAITED.items()})  # type: ignore[misc]
twins.forms.update(queries.UNNAMED_ASYNC_FORMS)


def bind(name: str, value: object) -> None:
    """Give a name a value that stays: it is put back after every cell."""
    CONTRACT[name] = value
    bindings[name] = value
    if name == "context":
        shared.context = value


def append(name: str, items: list[object]) -> None:
    """Put items at the end of a bound list. The name gets a new list, because a cell may hold the one before."""
    before = CONTRACT[name]
    if type(before) is not list:
        raise TypeError(f"{name} is not bound to a list")
    bind(name, [*before, *items])


def bind_tools(tools: list[dict[str, Any]]) -> None:
    """Bind these tools and no others: those from before go. A tool that has a name of the contract stands in for that
    function, and for the other names of the same function too."""
    bound: dict[str, Any] = {}
    for description in tools:
        tool = make_tool(description)
        name = description["name"]
        same = {*contract.STAND_INS.get(name, ())}.difference(other["name"] for other in tools)
        bound.update(dict.fromkeys((name, *same), tool))
        awaited = contract.AWAITED.get(name, "")
        if _SYNC_NAMES.get(awaited) == name:
            bound[awaited] = name_async_form(tool, awaited)
    for name in _tools:
        twins.forms.pop(CONTRACT.pop(name), None)  # type: ignore[call-overload]
        if name not in bound and name not in _REPLACEABLE:
            bindings.pop(name, None)
    _tools[:] = bound
    CONTRACT.update(_REPLACEABLE | bound)
    bindings.update(CONTRACT)


def find_async_form(function: Any) -> Any:
    """What `await function(...)` calls: the async form of a name above or of a tool, or the function itself."""
    return twins.forms.get(function) or function if isinstance(function, types.FunctionType) else function


def own_names() -> list[str]:
    """The names that cells defined, without the contract's and the module's own."""
    return [
        name
        for name, value in bindings.items()
        if type(name) is str
        and name not in CONTRACT
        and name not in _kept
        and not name.startswith("__")
        and preset.get(name, _ABSENT) is not value
        and value is not final_answer.answer
    ]


def restore_contract() -> list[str]:
    """Put back the names that a cell has overwritten. Returns a sentence for each that is overwritten for the
    first time.

    What the cell put there is kept under another name: it may have cost money. `answer` alone stays what the code made
    of it (final.py).
    """
    overwritten = [name for name, value in CONTRACT.items() if bindings.get(name, value) is not value]
    sentences = [_keep_aside(name) for name in overwritten] if overwritten else []
    bindings.update(CONTRACT)
    if "answer" not in bindings:
        bindings["answer"] = final_answer.answer
    return [sentence for sentence in sentences if sentence]


def _keep_aside(name: str) -> str:
    place = f"my_{name}"
    is_free = place not in bindings or place in _kept
    if is_free:
        bindings[place] = bindings[name]
        _kept.add(place)
    if name in _reported:
        return ""
    _reported.add(name)
    moved = f"; what you put there is `{place}` now" if is_free else ""
    return f"`{name}` is a name of the sandbox and was put back{moved}. Use another name."
