"""Models: the protocol, the adapter for Chat Completions endpoints, and one that plays a script."""

from divebell.models.openai_chat import OpenAIChatModel
from divebell.models.protocol import Completion, Message, Model, Request, Usage
from divebell.models.scripted import ScriptedModel

__all__ = ["Completion", "Message", "Model", "OpenAIChatModel", "Request", "ScriptedModel", "Usage"]
