"""The last call of a run whose turns a limit has ended: its reserve, and the messages that fit into it.

The meter keeps a reserve back from the start (Meter.keep_back), the best of `reserve_plans` that it can afford. The
last call is planned here: first with the whole history, which serves the provider's prefix cache and the answer best;
and if that does not fit, with less and less of it.
"""

from collections.abc import Iterator, Sequence

from divebell.bounds import LEAST_LAST_OUTPUT_TOKENS
from divebell.models.protocol import Message, texts_of
from divebell.text import clip_middle
from divebell_bridge.money.amounts import Limit
from divebell_bridge.money.bids import worst_case_input_tokens

BUDGETS = frozenset({*(limit.unit for limit in Limit), "seconds"})
"""The limits that belong to a budget; the others belong to the loop."""
TAIL_CHARACTERS = (24_000, 6_000, 1_500, 300)
"""How much of the last turns the model sees if it cannot see all of them, in the order in which they are tried."""
RESERVE_PLANS = ((6_000, 1_024), (1_500, 512), (300, 256), (300, LEAST_LAST_OUTPUT_TOKENS))
"""What the reserve may pay for, the best first: characters of the last turns, and tokens of output."""
MAX_CUT_ATTEMPTS = 1
"""How often the last answer is asked for again after its output limit has cut it off."""
MAX_GRACE_SECONDS = 0.5
GRACE_FRACTION = 0.1


def reserve_plans(instructions: Sequence[Message], max_output_tokens: int) -> list[tuple[int, int]]:
    """The input and output tokens that may be reserved for the last call of a run with these instructions and this
    question, the best plan first: a small budget reserves less."""
    texts = [text for message in instructions for text in texts_of(message)]
    return [
        (worst_case_input_tokens([*texts, "x" * characters]), min(output_tokens, max_output_tokens))
        for characters, output_tokens in RESERVE_PLANS
    ]


def seconds_for_last_call(seconds_left: float | None) -> float | None:
    """How long the last call may take, so that there is time to return a draft if it does not end."""
    if seconds_left is None:
        return None
    return max(seconds_left - min(seconds_left * GRACE_FRACTION, MAX_GRACE_SECONDS), 0.0)


def last_messages(
    history: Sequence[Message], opening: int, request: str, *, instructions: Sequence[Message]
) -> Iterator[list[Message]]:
    """The messages of the last call, ending with `request`: several versions, the best first.

    opening: how many messages at the beginning do not belong to a turn. instructions: what is
    always sent, the question last.
    """
    all_messages = list(history)
    if all_messages[-1]["role"] == "user":
        all_messages = with_request(all_messages, request)
    else:
        all_messages.append({"role": "user", "content": request})
    yield all_messages
    turns = "\n\n".join(f"[{message['role']}]\n{_text(message)}" for message in history[opening:])
    *first, question = instructions
    for characters in TAIL_CHARACTERS:
        parts = [_text(question)]
        if turns:
            parts.append(f"What happened so far, shortened:\n{clip_middle(turns, characters)}")
        yield [*first, {"role": "user", "content": "\n\n".join([*parts, request])}]


def with_request(messages: Sequence[Message], request: str) -> list[Message]:
    """The messages with the request at the end of the last one, which is the user's."""
    *before, last = messages
    return [*before, {"role": "user", "content": f"{_text(last)}\n\n{request}"}]


def _text(message: Message) -> str:
    return "\n".join(texts_of(message))
