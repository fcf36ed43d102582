"""Divebell: a secure, embeddable engine for Recursive Language Models.

`RLM` answers questions about contexts of any size; `Sandbox` is its sealed Python alone. README.md shows both.
"""

from divebell.bridge.budget import Budget
from divebell.bridge.ledger import Ledger
from divebell.bridge.memory_ledger import MemoryLedger
from divebell.bridge.rates import LongPrompt, Rate, RateCard
from divebell.bridge.sqlite_ledger import SQLiteLedger
from divebell.cell import Cell, CellError
from divebell.context import Context
from divebell.engine import Engine
from divebell.errors import (
    AnswerError,
    BudgetExceeded,
    CacheError,
    ConfigurationError,
    ContextError,
    ContextTooLong,
    DivebellError,
    JournalError,
    LedgerBusy,
    LedgerError,
    ModelError,
    ModelRefused,
    ModelUnavailable,
    NotPlainData,
    OutputTooLong,
    ReplayDiverged,
    RunError,
    SandboxClosed,
    SandboxError,
    SchemaRefused,
    TraceError,
    UnknownModel,
    UnknownPrice,
)
from divebell.events import Event
from divebell.limits import Limits
from divebell.loop.memo import Memo
from divebell.loop.result import Result, Turn
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
from divebell.rlm import RLM
from divebell.sandbox import Sandbox, Snapshot
from divebell.session import Session
from divebell.tenant import Tenant

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
    "ImagePart",
    "JournalError",
    "Ledger",
    "LedgerBusy",
    "LedgerError",
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
    "Rate",
    "RateCard",
    "ReplayDiverged",
    "Request",
    "Result",
    "RunError",
    "SQLiteLedger",
    "Sandbox",
    "SandboxClosed",
    "SandboxError",
    "SchemaRefused",
    "ScriptedModel",
    "Session",
    "Snapshot",
    "Stop",
    "Tenant",
    "TextPart",
    "TraceError",
    "Turn",
    "UnknownModel",
    "UnknownPrice",
    "Usage",
]
