"""Divebell: a secure, embeddable engine for Recursive Language Models.

`RLM` answers questions about contexts of any size; `Sandbox` is its sealed Python alone. README.md shows both.
"""

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
    ContextTooLong,
    DivebellError,
    GuestError,
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
    "GuestError",
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
