"""The contract with the model that writes the code: every name that its code has without an import, stated once.

One file for both sides, as wire.py is: the host imports it as `divebell_bridge.door.contract`, and the same source is
loaded into the guest as `divebell_guest.contract`. The guest takes from here which names it binds, the reader of
replies which words make a text code, and tools which names they may not have. It imports nothing of ours.
"""

from typing import NamedTuple


class ContractName(NamedTuple):
    """One name. asks_model: calling it asks a model or a child. is_batched: it takes many prompts at once.
    is_awaitable: a call of it has to be awaited. awaited: the name to await instead, for a name that is not awaitable
    itself.
    is_answering: calling it gives the answer. is_data: it is a variable. is_error: it is a class of exceptions.
    same_as: the name that it is an alias of.
    """

    name: str
    asks_model: bool = False
    is_batched: bool = False
    is_awaitable: bool = False
    awaited: str = ""
    is_answering: bool = False
    is_data: bool = False
    is_error: bool = False
    same_as: str = ""


CONTRACT = (
    ContractName("context", is_data=True),
    ContractName("llm_query", asks_model=True, awaited="allm_query"),
    ContractName("llm_query_batched", asks_model=True, is_batched=True, awaited="allm_query_batched"),
    ContractName(
        "llm_batch", asks_model=True, is_batched=True, awaited="allm_query_batched", same_as="llm_query_batched"
    ),
    ContractName(
        "batch_llm_query", asks_model=True, is_batched=True, awaited="allm_query_batched", same_as="llm_query_batched"
    ),
    ContractName("allm_query", asks_model=True, is_awaitable=True),
    ContractName("allm_query_batched", asks_model=True, is_batched=True, is_awaitable=True),
    ContractName("rlm_query", asks_model=True, awaited="arlm_query"),
    ContractName("rlm_query_batched", asks_model=True, is_batched=True, awaited="arlm_query_batched"),
    ContractName("arlm_query", asks_model=True, is_awaitable=True),
    ContractName("arlm_query_batched", asks_model=True, is_batched=True, is_awaitable=True),
    ContractName("recursive_llm", asks_model=True, awaited="arlm_query"),
    ContractName("budget"),
    ContractName("FINAL", is_answering=True),
    ContractName("FINAL_VAR", is_answering=True),
    ContractName("SUBMIT", is_answering=True),
    ContractName("SHOW_VARS"),
    ContractName("BudgetExceeded", is_error=True),
    ContractName("ModelError", is_error=True),
    ContractName("IncompleteReply", is_error=True),
    ContractName("ToolError", is_error=True),
    ContractName("BadAnswer", is_error=True),
    ContractName("BadRequest", is_error=True),
    ContractName("history", is_data=True),
    ContractName("answer", is_data=True),
)
"""In the order in which the guest binds them."""

NAMES = frozenset(entry.name for entry in CONTRACT)
FUNCTIONS = tuple(entry.name for entry in CONTRACT if not entry.is_data and not entry.is_error)
ANSWERING = tuple(entry.name for entry in CONTRACT if entry.is_answering)
ASKING = tuple(entry.name for entry in CONTRACT if entry.asks_model)
DATA = tuple(entry.name for entry in CONTRACT if entry.is_data)
AWAITED = {entry.name: entry.awaited for entry in CONTRACT if entry.awaited}
"""For each name whose calls block, the one to await instead."""
STAND_INS = {
    entry.name: tuple(other.name for other in CONTRACT if other.same_as == entry.name)
    for entry in CONTRACT
    if (entry.asks_model and not entry.is_awaitable) or entry.name == "budget"
} | {"rlm_query": ("recursive_llm",)}
"""The names that an application's tool may replace, each with the other names that the tool then replaces too."""

PRESET_MODULES = (
    "collections", "datetime", "itertools", "json", "math", "random", "re", "statistics", "string", "textwrap", "time",
)  # fmt: skip
"""Modules that are bound from the start, because model-written code uses them without an import."""
