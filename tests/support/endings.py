"""Root models whose replies end as a test says, and a check that strict endpoints would take what was sent."""

from collections.abc import Sequence

from divebell import Completion, ModelRequest, ScriptedModel, Usage
from divebell.models.protocol import Message, texts_of
from tests.support.scripts import is_last


def cut(text: str, *, finish_reason: str = "length", output_tokens: int = 10) -> Completion:
    """A reply that ends before its end."""
    return Completion(text=text, usage=Usage(input_tokens=10, output_tokens=output_tokens), finish_reason=finish_reason)


def scripted(
    *replies: "str | Completion", last: "str | Completion | Exception | None" = None, name: str = "root"
) -> ScriptedModel:
    """Plays the replies, and repeats the final one; plays `last` where it is asked for its best answer."""
    waiting = list(replies)

    def play(request: ModelRequest) -> "str | Completion":
        if last is not None and is_last(request):
            if isinstance(last, Exception):
                raise last
            return last
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return ScriptedModel(name, play)


def strict_problem(messages: Sequence[Message]) -> str:
    """Why a strict endpoint refuses these messages; empty where it takes them.

    A system message first at most; then user and assistant in turns, the user first and last; each with a text.
    """
    roles = [message["role"] for message in messages]
    turns = roles[1:] if roles[:1] == ["system"] else roles
    if not turns:
        return "no message but the system's"
    if turns != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        return f"the roles do not take turns: {roles}"
    empty = [number for number, message in enumerate(messages) if not "".join(texts_of(message)).strip()]
    return f"messages without text: {empty}" if empty else ""


def all_are_strict(model: ScriptedModel) -> None:
    """Assert that strict endpoints would take all that was sent."""
    for request in model.requests:
        assert not strict_problem(request.messages), strict_problem(request.messages)
