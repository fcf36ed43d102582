"""Hints added to errors of code that was written for another engine: which name does the same here."""

import linecache
import types
from builtins import dict, getattr, isinstance, str, type  # noqa: UP029  (cells may replace them)

from divebell_guest.values import type_name

_BY_USE = {
    "a language model is asked with llm_query(prompt)": (
        "llm", "llm_call", "call_llm", "sub_llm", "sub_llm_query", "call_sub_llm", "ask_llm", "query_llm", "ask_model",
        "call_model", "query_model", "llm_ask", "llm_complete", "llm_completion", "llm_generate", "run_llm",
        "invoke_llm", "subcall", "sub_call", "lm", "lm_query", "query_lm", "predict", "chat", "complete", "completion",
    ),
    "many prompts at once are asked with llm_query_batched(prompts)": (
        "llm_batched", "llm_query_batch", "llm_queries", "llm_query_many", "llm_query_parallel", "parallel_llm_query",
        "llm_parallel", "llm_map", "llm_call_batched", "batch_llm", "batch_llm_call", "sub_llm_batch", "map_llm",
        "query_llm_batch", "query_llm_batched", "batch_query", "batched_query",
    ),
    "a child with a REPL of its own is asked with rlm_query(prompt, context)": (
        "rlm", "sub_rlm", "rlm_call", "call_rlm", "rlm_completion", "ask_rlm", "query_rlm", "spawn_rlm", "run_rlm",
        "recursive_query", "recursive_call", "recurse", "spawn", "spawn_agent", "subagent", "sub_agent", "delegate",
        "recursive_rlm",
    ),
    "the answer is given with FINAL(value)": (
        "final_answer", "FINAL_ANSWER", "FinalAnswer", "finalAnswer", "Final", "final", "done", "DONE", "finish",
        "FINISH", "finalize", "return_answer", "give_answer", "submit_answer", "provide_answer", "set_answer",
        "final_response", "respond", "RETURN", "ANSWER", "end_run", "set_final_answer", "provide_final_answer",
    ),
    'the answer is given as a variable with FINAL_VAR("name")': (
        "final_var", "FinalVar", "FINAL_VARIABLE", "final_variable", "FINALVAR",
    ),
    "an answer with fields is given with SUBMIT(field=value)": (
        "submit", "Submit", "SUBMIT_ANSWER", "submit_result", "submit_final",
    ),
    "the input is the variable `context`": (
        "get_context", "load_context", "read_context", "CONTEXT", "Context", "contexts", "context_str", "context_0",
        "ctx", "prompt", "PROMPT", "document", "documents", "docs", "doc", "text", "full_text", "input_text", "corpus",
        "content", "contents", "input_data", "source_text", "long_text", "transcript", "passage", "passages",
    ),
    "what has been defined is listed by SHOW_VARS()": (
        "show_vars", "list_vars", "list_variables", "show_variables", "get_variables", "get_vars", "LIST_VARS",
    ),
    "what is left to spend is told by budget()": (
        "get_budget", "remaining_budget", "budget_left", "check_budget", "BUDGET", "get_remaining_budget",
    ),
    "the earlier turns are the list `history`": (
        "messages", "chat_history", "conversation", "message_history", "get_history", "conversation_history",
    ),
}  # fmt: skip

FOREIGN_NAMES: dict[str, str] = {name: sentence for sentence, names in _BY_USE.items() for name in names}
"""The hint for each name that other engines have, or that models expect."""


def hint_of(error: BaseException, namespace: dict[str, object]) -> str | None:
    """A sentence for whoever wrote the code that raised this; None where there is nothing to add."""
    if type(error) is NameError:
        name = error.name
        sentence = FOREIGN_NAMES.get(name) if type(name) is str else None
        return None if sentence is None else f"There is no `{name}` here: {sentence}."
    if type(error) is TypeError and not isinstance(namespace.get("answer"), dict) and _is_about_answer(error):
        kind = type_name(namespace.get("answer"))
        return (
            f"`answer` is the code's own variable now, of type {kind}: give it with FINAL(answer) or "
            'SUBMIT(answer=answer), or make it answer = {"content": ..., "ready": True}.'
        )
    return None


def _is_about_answer(error: TypeError) -> bool:
    """Whether the line that failed puts something into `answer`."""
    frames: types.TracebackType | None = error.__traceback__
    line = ""
    while frames is not None:
        filename = frames.tb_frame.f_code.co_filename
        if filename.startswith("<cell "):
            line = linecache.getline(filename, frames.tb_lineno)
        frames = getattr(frames, "tb_next", None)
    return "answer[" in line
