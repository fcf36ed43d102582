"""The last call of a run whose budget is used up: it must fit into what was kept back for it.

The meter keeps a reserve back from the start (Meter.keep_back), of the size that `reserve_tokens` says. The last call
is planned here: first with the whole history, which serves the provider's prefix cache and the answer best; and if
that does not fit, with less and less of it.
"""

from collections.abc import Iterator, Sequence

from divebell.bridge.meter import worst_case_input_tokens
from divebell.loop.observation import shortened
from divebell.models.protocol import Message, texts_of

BUDGETS = frozenset({"dollars", "tokens", "calls", "seconds"})
"""The limits that are a budget's; the others are the loop's own."""
LAST_OUTPUT_TOKENS = 1_024
"""What the last answer gets at least, where the reserve could be kept back in full."""
LEAST_OUTPUT_TOKENS = 64
TAIL_CHARACTERS = (24_000, 6_000, 1_500, 300)
"""How much of the last turns the model sees, if it cannot see all of them."""
RESERVED_TAIL_CHARACTERS = 6_000
MAX_RESERVED_SECONDS = 30.0
RESERVED_TIME_FRACTION = 10


def reserve_tokens(instructions: Sequence[Message]) -> tuple[int, int]:
    """The input and output tokens to keep back for the last call of a run with these instructions and question."""
    texts = [text for message in instructions for text in texts_of(message)]
    return worst_case_input_tokens([*texts, "x" * RESERVED_TAIL_CHARACTERS]), LAST_OUTPUT_TOKENS


def reserved_seconds(seconds: float, depth: int) -> float:
    """How long before the end of the budget's seconds a run lands. Children land first, so that parents still can."""
    return min(seconds / RESERVED_TIME_FRACTION, MAX_RESERVED_SECONDS) * min(depth + 1, RESERVED_TIME_FRACTION // 2)


def last_messages(
    history: Sequence[Message], opening: int, request: str, *, instructions: Sequence[Message]
) -> Iterator[list[Message]]:
    """The messages of the last call, which `request` ends; the best first.

    opening: how many messages at the beginning are no turns. instructions: what is always sent, the question last.
    """
    whole = list(history)
    if whole[-1]["role"] == "user":
        whole[-1] = {"role": "user", "content": f"{_text(whole[-1])}\n\n{request}"}
    else:
        whole.append({"role": "user", "content": request})
    yield whole
    turns = "\n\n".join(f"[{message['role']}]\n{_text(message)}" for message in history[opening:])
    *first, question = instructions
    for characters in TAIL_CHARACTERS:
        parts = [_text(question)]
        if turns:
            parts.append(f"What happened so far, shortened:\n{shortened(turns, characters)}")
        yield [*first, {"role": "user", "content": "\n\n".join([*parts, request])}]


def _text(message: Message) -> str:
    return "\n".join(texts_of(message))
