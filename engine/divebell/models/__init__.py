"""Models: the protocol, the adapters for OpenAI's two APIs, the registry of adapters, and one that plays a script."""

from typing import TYPE_CHECKING, NoReturn

from divebell.models.adapter import ModelAccess, ModelAdapter
from divebell.models.image_tokens import worst_case_image_tokens
from divebell.models.openai.chat import OpenAIChatModel
from divebell.models.openai.responses import OpenAIResponsesModel
from divebell.models.protocol import (
    Completion,
    Content,
    ImagePart,
    Message,
    Model,
    ModelRequest,
    Part,
    TextPart,
    images_of,
    texts_of,
)
from divebell.models.scripted import ScriptedModel
from divebell.usage import Usage

__all__ = [
    "Completion",
    "Content",
    "ImagePart",
    "Message",
    "Model",
    "ModelAccess",
    "ModelAdapter",
    "ModelRequest",
    "OpenAIChatModel",
    "OpenAIResponsesModel",
    "Part",
    "ScriptedModel",
    "TextPart",
    "Usage",
    "images_of",
    "texts_of",
    "worst_case_image_tokens",
]

if not TYPE_CHECKING:  # for type checkers it is an unknown name, like any other

    def __getattr__(name: str) -> NoReturn:
        if name == "Request":
            raise ImportError("divebell.models.Request is now called divebell.models.ModelRequest", name=__name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
