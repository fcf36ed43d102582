"""The names that ask a model: llm_query, rlm_query and their kin, to be called or awaited.

A sync one is one request that waits at the door. An async one is a submitted call that the event loop, or a fiber,
waits for together with others (fibers.py).
"""

from collections.abc import Callable, Iterable
from typing import Any

from divebell_guest import arguments, wire
from divebell_guest.door import FailedCall, Refusal, ask
from divebell_guest.fibers import PendingCalls
from divebell_guest.tickets import Outcome, result_of


def _results_of(outcomes: list[Outcome]) -> list[Any]:
    """The results in order. A failed call does not lose the others' answers, unless all of them failed, and nothing
    came of any."""
    if outcomes and not [each for each in outcomes if "text" in each or "value" in each or "partial" in each]:
        result_of(outcomes[0])
    return [_result_or_failure(outcome) for outcome in outcomes]


def _result_or_failure(outcome: Outcome) -> Any:
    if "text" in outcome:
        return outcome["text"]
    if "value" in outcome:
        return outcome["value"]
    text = outcome.get("partial", "")
    if "raised" in outcome:
        kind, message = type(outcome["raised"]).__name__, str(outcome["raised"])
    else:
        kind, message = outcome["kind"], outcome["message"]
    failed_call = FailedCall(f"[this call failed: {kind}: {message}]")
    failed_call.kind, failed_call.text = kind, str(text)
    return failed_call


def llm_query(prompt: str, model: str | None = None, *, schema: Any = None, images: Any = None) -> Any:
    """Ask a language model; returns its reply, a str.

    model: one of the models that this run may use. schema: a JSON Schema (a dict), or dict, list, int, float, bool: the
    reply is then that value instead of a str. images: a list of bytes, or of {"media_type": ..., "data": bytes}.
    """
    checked = [arguments.check_text(prompt, "the prompt")]
    return result_of(
        ask(wire.QUERY, **arguments.query_arguments(checked, model, schema, None if images is None else [images]))[0]
    )


def llm_query_batched(
    prompts: list[str], model: str | None = None, *, schema: Any = None, images: Any = None
) -> list[Any]:
    """Ask about many prompts at once. They run concurrently; the replies come back in the prompts' order.

    images: for each prompt a list as in llm_query, or None.
    """
    checked = arguments.check_texts(prompts, "llm_query_batched")
    images_of = None if images is None else list(images)
    return _results_of(ask(wire.QUERY, **arguments.query_arguments(checked, model, schema, images_of)))


def rlm_query(prompt: str, context: Any = None, model: str | None = None) -> str:
    """Ask a child RLM: it gets `context` (by default this one's) in a sandbox of its own and writes code as you do."""
    return result_of(_ask_children([arguments.check_text(prompt, "the prompt")], [context], model)[0])  # type: ignore[no-any-return]


def rlm_query_batched(prompts: list[str], contexts: list[Any] | None = None, model: str | None = None) -> list[str]:
    """Ask many child RLMs at once, each with its own of `contexts` (by default all with this one's)."""
    checked = arguments.check_texts(prompts, "rlm_query_batched")
    return _results_of(_ask_children(checked, _one_context_each(checked, contexts), model))


def recursive_llm(query: str, context: Any = None) -> str:
    """The same as rlm_query(query, context)."""
    return rlm_query(query, context)


def _one_context_each(prompts: list[str], contexts: Iterable[Any] | None) -> list[Any]:
    return [None] * len(prompts) if contexts is None else list(contexts)


def _ask_children(prompts: list[str], contexts: list[Any], model: Any) -> list[Outcome]:
    try:
        outcomes: list[Outcome] = ask(wire.CHILD, **arguments.child_arguments(prompts, contexts, model))
    except Refusal:
        arguments.shared.is_sent_in_full = True
        outcomes = ask(wire.CHILD, **arguments.child_arguments(prompts, contexts, model))
    return outcomes


async def _queries(prompts: list[str], model: Any, schema: Any, images: "list[Any] | None") -> list[Outcome]:
    images_of = [None] * len(prompts) if images is None else [[several] for several in images]
    if len(images_of) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts but {len(images_of)} lists of images")
    return await PendingCalls(
        [
            (wire.QUERY, arguments.query_arguments([prompt], model, schema, several))
            for prompt, several in zip(prompts, images_of, strict=True)
        ]
    )


async def _children_async(prompts: list[str], contexts: list[Any], model: Any) -> list[Outcome]:
    if len(contexts) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts but {len(contexts)} contexts")

    def calls() -> list[tuple[str, dict[str, object]]]:
        return [
            (wire.CHILD, arguments.child_arguments([prompt], [context], model))
            for prompt, context in zip(prompts, contexts, strict=True)
        ]

    outcomes = await PendingCalls(calls())
    if [outcome for outcome in outcomes if isinstance(outcome.get("raised"), Refusal)]:
        # All were refused, because all are asked in the same way.
        arguments.shared.is_sent_in_full = True
        outcomes = await PendingCalls(calls())
    return outcomes


async def allm_query(prompt: str, model: str | None = None, *, schema: Any = None, images: Any = None) -> Any:
    """llm_query to await: asyncio.gather(*[allm_query(p) for p in prompts]) asks about all at once."""
    checked = [arguments.check_text(prompt, "the prompt")]
    return result_of((await _queries(checked, model, schema, None if images is None else [images]))[0])


async def allm_query_batched(
    prompts: list[str], model: str | None = None, *, schema: Any = None, images: Any = None
) -> list[Any]:
    """llm_query_batched to await."""
    checked = arguments.check_texts(prompts, "allm_query_batched")
    return _results_of(await _queries(checked, model, schema, None if images is None else list(images)))


async def arlm_query(prompt: str, context: Any = None, model: str | None = None) -> str:
    """rlm_query to await."""
    outcomes = await _children_async([arguments.check_text(prompt, "the prompt")], [context], model)
    return result_of(outcomes[0])  # type: ignore[no-any-return]


async def arlm_query_batched(
    prompts: list[str], contexts: list[Any] | None = None, model: str | None = None
) -> list[str]:
    """rlm_query_batched to await."""
    checked = arguments.check_texts(prompts, "arlm_query_batched")
    return _results_of(await _children_async(checked, _one_context_each(checked, contexts), model))


async def _arecursive_llm(query: str, context: Any = None) -> str:
    return await arlm_query(query, context)


def budget() -> dict[str, object]:
    """What is left for this run: dollars, tokens, calls, seconds, depth (None where there is no limit)."""
    left: dict[str, object] = ask(wire.BUDGET)
    return left


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    llm_query,
    llm_query_batched,
    allm_query,
    allm_query_batched,
    rlm_query,
    rlm_query_batched,
    arlm_query,
    arlm_query_batched,
    recursive_llm,
    budget,
)
"""What namespace.py binds, by these names."""

UNNAMED_ASYNC_FORMS: dict[Any, Any] = {recursive_llm: _arecursive_llm}
"""Async forms without a name in the contract; the others are the `awaited` of their entry there."""
