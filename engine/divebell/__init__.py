"""Divebell: a secure, embeddable engine for Recursive Language Models.

`RLM` answers questions about contexts of any size; `Sandbox` is its sealed Python alone. README.md shows both.
"""

from divebell.bridge.budget import Budget
from divebell.bridge.ledger import Ledger
from divebell.bridge.memory_ledger import MemoryLedger
from divebell.bridge.rates import LongPrompt, Rate, RateCard
from divebell.bridge.sqlite_ledger import SQLiteLedger
from divebell.cell import Cell, CellError
from divebell.context import Context, Source
from divebell.engine import Engine
from divebell.errors import (
    AnswerError,
    BudgetExceeded,
    CacheError,
    ConfigurationError,
    ContextError,
    ContextTooLong,
    DivebellError,
    IncompleteReply,
    JournalError,
    LedgerBusy,
    LedgerError,
    LedgerUnavailable,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    NotPlainData,
    OutputTooLong,
    ReplayDiverged,
    RequestError,
    RunError,
    SandboxClosed,
    SandboxError,
    SchemaRefused,
    TraceError,
    UnknownModel,
    UnknownPrice,
)
from divebell.events import Event, EventListener
from divebell.limits import Limits
from divebell.loop.memo import Memo
from divebell.loop.result import Result, Turn
from divebell.loop.retries import Retries
from divebell.loop.settings import Level
from divebell.loop.stop import Stop
from divebell.models import (
    Completion,
    ImagePart,
    Message,
    Model,
    OpenAIChatModel,
    OpenAIResponsesModel,
    Request,
    ScriptedModel,
    TextPart,
    Usage,
)
from divebell.options import RLMOptions
from divebell.rlm import RLM
from divebell.sandbox import Sandbox
from divebell.session import Session
from divebell.snapshot import Snapshot
from divebell.streaming import RunStream
from divebell.tenant import Tenant
from divebell.tools import Tools
from divebell.variables import Variable

__version__ = "0.1.0"

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
    "ContextTooLong",
    "DivebellError",
    "Engine",
    "Event",
    "EventListener",
    "ImagePart",
    "IncompleteReply",
    "JournalError",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
    "LedgerUnavailable",
    "Level",
    "Limits",
    "LongPrompt",
    "Memo",
    "MemoryLedger",
    "Message",
    "Model",
    "ModelError",
    "ModelRefused",
    "ModelUnavailable",
    "NotPlainData",
    "OpenAIChatModel",
    "OpenAIResponsesModel",
    "OutputTooLong",
    "RLMOptions",
    "Rate",
    "RateCard",
    "ReplayDiverged",
    "Request",
    "RequestError",
    "Result",
    "Retries",
    "RunError",
    "RunStream",
    "SQLiteLedger",
    "Sandbox",
    "SandboxClosed",
    "SandboxError",
    "SchemaRefused",
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
    "UnknownModel",
    "UnknownPrice",
    "Usage",
    "Variable",
]
