"""The names that model-written code calls: llm_query and its kin, FINAL and its kin."""

from collections.abc import Iterable
from typing import Any

import _divebell
from divebell_guest import wire
from divebell_guest.values import plain, type_name

# `__main__`'s dictionary; boot.py sets it.
namespace: dict[str, object] = {}
# The modules that are bound in it from the start.
preset: dict[str, object] = {}


_ABSENT = object()


class BudgetExceeded(RuntimeError):
    """The run's budget does not allow this call. budget() says what is left."""


class ModelError(RuntimeError):
    """The model or its provider refused the call, or failed."""


class BadRequest(ValueError):
    """The host did not understand, or did not accept, what was asked of it."""


class Unavailable(RuntimeError):
    """The application that runs this sandbox does not offer this."""


ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (BudgetExceeded, ModelError, BadRequest, Unavailable)
}


class FailedCall(str):
    """Stands in a batch's list for a call that failed; the text says why, `.kind` names the error."""

    kind: str = ""


def ask(op: str, **arguments: object) -> Any:
    """One request through the door, with plain arguments. Raises what the host says went wrong."""
    arguments["v"] = wire.VERSION
    arguments["op"] = op
    try:
        request = wire.encode(arguments, wire.MAX_MESSAGE_BYTES, is_plain=True)
    except wire.WireError as error:
        raise BadRequest(str(error)) from None
    answer: Any = wire.decode(_divebell.call(request))
    if "ok" in answer:
        return answer["ok"]
    refusal = answer["error"]
    raise ERRORS.get(refusal["kind"], ModelError)(refusal["message"])


def _text(prompt: object, what: str) -> str:
    if type(prompt) is str:
        return prompt
    if isinstance(prompt, str):
        return str.__str__(prompt)
    raise TypeError(f"{what} must be a str, not {type_name(prompt)}; str(...) or json.dumps(...) makes one")


def _name(model: object) -> str | None:
    return None if model is None else _text(model, "the model's name")


def _context(context: object) -> object:
    try:
        return plain(context)
    except wire.WireError as error:
        raise BadRequest(f"this cannot be a context: {error}") from None


def _prompts(prompts: Iterable[object], name: str) -> list[str]:
    if isinstance(prompts, str):
        raise TypeError(f"{name} takes a list of prompts; for one prompt call it without _batched")
    return [_text(prompt, "every prompt") for prompt in prompts]


def _one(outcome: dict[str, str]) -> str:
    if "text" in outcome:
        return outcome["text"]
    raise ERRORS.get(outcome["kind"], ModelError)(outcome["message"])


def _many(outcomes: list[dict[str, str]]) -> list[str]:
    """The texts in order. A failed call does not lose the others' answers, unless all of them failed."""
    if outcomes and all("kind" in outcome for outcome in outcomes):
        _one(outcomes[0])
    texts: list[str] = []
    for outcome in outcomes:
        if "text" in outcome:
            texts.append(outcome["text"])
        else:
            failed = FailedCall(f"[this call failed: {outcome['kind']}: {outcome['message']}]")
            failed.kind = outcome["kind"]
            texts.append(failed)
    return texts


def llm_query(prompt: str, model: str | None = None) -> str:
    """Ask a language model; returns its reply. `model` names one of the models that this run may use."""
    return _one(ask(wire.QUERY, prompts=[_text(prompt, "the prompt")], model=_name(model))[0])


def llm_query_batched(prompts: list[str], model: str | None = None) -> list[str]:
    """Ask about many prompts at once. They run concurrently; the replies come back in the prompts' order."""
    return _many(ask(wire.QUERY, prompts=_prompts(prompts, "llm_query_batched"), model=_name(model)))


def rlm_query(prompt: str, context: object = None, model: str | None = None) -> str:
    """Ask a child RLM: it gets `context` (by default this one's) in a sandbox of its own and writes code as you do."""
    asked = [_text(prompt, "the prompt")]
    return _one(ask(wire.CHILD, prompts=asked, contexts=[_context(context)], model=_name(model))[0])


def rlm_query_batched(prompts: list[str], contexts: list[object] | None = None, model: str | None = None) -> list[str]:
    """Ask many child RLMs at once, each with its own of `contexts` (by default all with this one's)."""
    asked = _prompts(prompts, "rlm_query_batched")
    given = [None] * len(asked) if contexts is None else list(contexts)
    if len(given) != len(asked):
        raise ValueError(f"{len(asked)} prompts but {len(given)} contexts")
    return _many(ask(wire.CHILD, prompts=asked, contexts=[_context(context) for context in given], model=_name(model)))


def recursive_llm(query: str, context: object = None) -> str:
    """The same as rlm_query(query, context)."""
    return rlm_query(query, context)


def budget() -> dict[str, object]:
    """What is left for this run: dollars, tokens, calls, seconds, depth (None where there is no limit)."""
    left: dict[str, object] = ask(wire.BUDGET)
    return left


class Finish:
    """The answer that the code of this cell gave, if it gave one."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.answer: dict[str, object] = {"content": "", "ready": False}

    def taken(self) -> str | None:
        """The answer, once: a later cell starts without one. A cell may have put a new dict into `answer`."""
        given = namespace.get("answer")
        if given is not self.answer and isinstance(given, dict) and "ready" in given:
            self.answer.update(given)
        if self.text is None and isinstance(self.answer, dict) and self.answer.get("ready") is True:
            self.text = as_text(self.answer.get("content", ""))
        self.answer["ready"] = False
        text, self.text = self.text, None
        return text


finish = Finish()


def as_text(value: object) -> str:
    return value if type(value) is str else str(value)


def variable_as_text(name: str) -> str:
    """The variable at full length, as text. NameError, with the names that there are, if it does not exist."""
    name = name.strip().strip("\"'`").strip()
    if name in namespace:
        return as_text(namespace[name])
    own = ", ".join(sorted(own_names())) or "none yet"
    raise NameError(f"there is no variable {name!r}; variables so far: {own}")


def FINAL(value: object) -> str:
    """Give the answer. The run ends after this cell, if the cell ends without an error."""
    finish.text = as_text(value)
    return finish.text


def FINAL_VAR(name: object) -> str:
    """Give a variable's value as the answer, at full length. Takes the variable's name, or the value itself."""
    if type(name) is str and (name in namespace or name.isidentifier()):
        finish.text = variable_as_text(name)
    else:
        finish.text = as_text(name)
    return finish.text


def SHOW_VARS() -> str:
    """The names, types and sizes of the variables that have been defined so far."""
    lines = []
    for name in own_names():
        value = namespace[name]
        size = f", length {len(value):,}" if isinstance(value, (str, bytes, list, tuple, dict, set)) else ""
        lines.append(f"{name}: {type_name(value)}{size}")
    shown = "\n".join(lines) or "no variables yet"
    print(shown)
    return shown


CONTRACT: dict[str, object] = {
    "llm_query": llm_query,
    "llm_query_batched": llm_query_batched,
    "llm_batch": llm_query_batched,
    "batch_llm_query": llm_query_batched,
    "rlm_query": rlm_query,
    "rlm_query_batched": rlm_query_batched,
    "recursive_llm": recursive_llm,
    "budget": budget,
    "FINAL": FINAL,
    "FINAL_VAR": FINAL_VAR,
    "SHOW_VARS": SHOW_VARS,
    "BudgetExceeded": BudgetExceeded,
    "ModelError": ModelError,
    "answer": finish.answer,
}


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
