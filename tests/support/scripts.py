"""What scripted models are made to say, and what was said to them."""

from divebell import ModelRequest, ScriptedModel
from divebell.models.protocol import texts_of


def block(code: str, mark: str = "repl") -> str:
    """A reply that is this cell."""
    return f"```{mark}\n{code}\n```"


def request_text(request: ModelRequest) -> str:
    """All that the model was sent."""
    return "\n".join(text for message in request.messages for text in texts_of(message))


def is_last(request: ModelRequest) -> bool:
    """Whether the model is asked for its best answer, because a limit ended the turns."""
    return "best answer" in request_text(request)


def answering(reply: str = "FINAL(yes)") -> ScriptedModel:
    """A root model that always replies the same."""
    return ScriptedModel("root", lambda request: reply)
