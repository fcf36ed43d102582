"""Divebell: a secure, embeddable engine for Recursive Language Models.

`RLM` answers questions about contexts of any size; `Sandbox` is the sealed Python by itself. README.md shows both.
"""

from typing import TYPE_CHECKING, NoReturn

from divebell.calls.memo import Memo
from divebell.calls.retries import Retries
from divebell.cell import Cell, CellError
from divebell.context import Context, Source
from divebell.engine import Engine
from divebell.errors import (
    AnswerError,
    BudgetExceeded,
    CacheError,
    ConfigurationError,
    ContextError,
    ContextTooLongError,
    DivebellError,
    GuestError,
    IncompleteReply,
    JournalError,
    LedgerBusyError,
    LedgerError,
    LedgerUnavailableError,
    ModelError,
    ModelRefusedError,
    ModelUnavailableError,
    NotPlainDataError,
    OutputTooLongError,
    ReplayDivergedError,
    RequestError,
    RunError,
    SandboxClosedError,
    SandboxError,
    SchemaRefusedError,
    TraceError,
    UnknownModelError,
    UnknownPriceError,
    refuse_renamed_error,
)
from divebell.events import Event, EventListener
from divebell.limits import Limits
from divebell.models import (
    Completion,
    ImagePart,
    Message,
    Model,
    ModelRequest,
    OpenAIChatModel,
    OpenAIResponsesModel,
    ScriptedModel,
    TextPart,
    Usage,
)
from divebell.rlm import RLM
from divebell.run.levels import Level
from divebell.run.result import Result, Turn
from divebell.run.streaming import RunStream
from divebell.sandbox.sandbox import Sandbox
from divebell.sandbox.snapshot import Snapshot
from divebell.sandbox.tools import Tools
from divebell.sandbox.variables import Variable
from divebell.session import Session
from divebell.stop import Stop
from divebell.tenant import Tenant
from divebell.version import __version__ as __version__
from divebell.wiring import RLMOptions
from divebell_bridge.money.budget import Budget
from divebell_bridge.money.ledger import Ledger
from divebell_bridge.money.memory_ledger import MemoryLedger
from divebell_bridge.money.rates import LongPrompt, Rate, RateCard
from divebell_bridge.money.sqlite.ledger import SQLiteLedger

if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        if name == "Request":
            raise ImportError("divebell.Request is now called divebell.ModelRequest", name=__name__)
        refuse_renamed_error(__name__, name)


__all__ = [
    "RLM",
    "AnswerError",
    "Budget",
    "BudgetExceeded",
    "CacheError",
    "Cell",
    "CellError",
    "Completion",
    "ConfigurationError",
    "Context",
    "ContextError",
    "ContextTooLongError",
    "DivebellError",
    "Engine",
    "Event",
    "EventListener",
    "GuestError",
    "ImagePart",
    "IncompleteReply",
    "JournalError",
    "Ledger",
    "LedgerBusyError",
    "LedgerError",
    "LedgerUnavailableError",
    "Level",
    "Limits",
    "LongPrompt",
    "Memo",
    "MemoryLedger",
    "Message",
    "Model",
    "ModelError",
    "ModelRefusedError",
    "ModelRequest",
    "ModelUnavailableError",
    "NotPlainDataError",
    "OpenAIChatModel",
    "OpenAIResponsesModel",
    "OutputTooLongError",
    "RLMOptions",
    "Rate",
    "RateCard",
    "ReplayDivergedError",
    "RequestError",
    "Result",
    "Retries",
    "RunError",
    "RunStream",
    "SQLiteLedger",
    "Sandbox",
    "SandboxClosedError",
    "SandboxError",
    "SchemaRefusedError",
    "ScriptedModel",
    "Session",
    "Snapshot",
    "Source",
    "Stop",
    "Tenant",
    "TextPart",
    "Tools",
    "TraceError",
    "Turn",
    "UnknownModelError",
    "UnknownPriceError",
    "Usage",
    "Variable",
]
