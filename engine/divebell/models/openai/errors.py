"""What went wrong in a call of an endpoint, as one sentence that says what to do, and whether the call cost anything.

Every exception of `openai` and `httpx2` has an entry in EXPLAINED, by its class's name, so that neither library has to
be imported to read this table. Guaranteed: the key is in no message; the provider's own words are one printable line of
at most MAX_PROVIDER_CHARACTERS; and the error made here has no cause, because the original one holds the request with
its headers. An error says `never_ran` only where no byte of the request can have left, or the endpoint refused it.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from divebell.errors import ModelError, ModelRefused, ModelUnavailable
from divebell.models.openai.refusals import body_of, refused
from divebell.models.openai.where import Where

MAX_CAUSES = 10

# By the names of httpx2's classes: failures before a request is sent, and those that come with it or after it.
_BEFORE = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL"}
)
_AFTER = frozenset({"ReadError", "WriteError", "CloseError", "ReadTimeout", "WriteTimeout", "RemoteProtocolError"})


class ReplyTooLong(Exception):
    """The body is longer than is read. `limit_bytes` is what would have been read."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"longer than {limit_bytes:,} bytes")
        self.limit_bytes = limit_bytes


Phase = Literal["waiting", "connecting", "sent", "unknown"]


@dataclass
class Progress:
    """How far a call has come: waiting for a place, connecting, or something of it was sent. Unknown where the client
    is not Divebell's own."""

    phase: Phase = "waiting"

    @property
    def nothing_sent(self) -> bool:
        return self.phase in ("waiting", "connecting")


_Explain = Callable[[Exception, Where, Progress], ModelError]


def translate(error: Exception, where: Where, progress: Progress | None = None) -> ModelError:
    """The error to raise for this exception. Raise it outside of the `except` block, so that it gets no context."""
    progress = progress or Progress("unknown")
    for kind in type(error).__mro__:
        if kind.__name__ in EXPLAINED:
            return EXPLAINED[kind.__name__](error, where, progress)
    return _failed(error, where, progress)


def _status(error: Exception, where: Where, _progress: Progress) -> ModelError:
    response = getattr(error, "response", None)
    status = int(getattr(error, "status_code", 0) or getattr(response, "status_code", 0))
    return refused(status, body_of(error), where, getattr(response, "headers", None))


def _timed_out(error: Exception, where: Where, progress: Progress) -> ModelError:
    kinds = {type(cause).__name__ for cause in _causes(error)}
    never_ran = _never_ran(error, progress)
    if progress.phase == "waiting":
        sentence = f"no place was free for another call of {where.model!r} in time; raise max_concurrency or the time"
    elif "PoolTimeout" in kinds:
        sentence = f"too many connections to {where.url} are in use"
    elif never_ran:
        sentence = f"cannot reach {where.url}: the connection timed out"
    else:
        sentence = f"{where.model!r} did not answer in time"
    return ModelUnavailable(sentence, model=where.model, never_ran=never_ran, may_retry=never_ran)


def _unreachable(error: Exception, where: Where, progress: Progress) -> ModelError:
    causes = _causes(error)
    never_ran = _never_ran(error, progress)
    if never_ran:
        for kind, sentence, may_retry in (
            (socket.gaierror, "its host name is not known; check base_url", False),
            (
                ConnectionRefusedError,
                "the connection was refused; check base_url, and that the server is running",
                True,
            ),
            (ssl.SSLCertVerificationError, "its certificate could not be verified", False),
            (ssl.SSLError, "the TLS connection failed; check whether base_url is http or https", False),
        ):
            found = next((cause for cause in causes if isinstance(cause, kind)), None)
            if found is not None:
                may_retry = may_retry or getattr(found, "errno", None) == socket.EAI_AGAIN
                told = f"cannot reach {where.url}: {sentence}"
                return ModelUnavailable(told, model=where.model, never_ran=True, may_retry=may_retry)
    said = where.clean(str(causes[-1]))
    what = "no connection could be made" if never_ran else "the connection broke before the reply was complete"
    told = f"cannot reach {where.url}: {what}{f' ({said})' if said else ''}"
    return ModelUnavailable(told, model=where.model, never_ran=never_ran, may_retry=True)


def _never_ran(error: Exception, progress: Progress) -> bool:
    """Whether nothing of the request can have been sent: as the client saw it, else by the outermost telling class."""
    if progress.phase != "unknown":
        return progress.nothing_sent
    names = [type(cause).__name__ for cause in _causes(error)]
    telling = next((name for name in names if name in _BEFORE or name in _AFTER), "")
    return telling in _BEFORE


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and what led to it; of a group, the first member."""
    causes = [error]
    while len(causes) < MAX_CAUSES:
        last = causes[-1]
        following = last.exceptions[0] if isinstance(last, BaseExceptionGroup) else last.__cause__ or last.__context__
        if following is None or following in causes:
            break
        causes.append(following)
    return causes


def _address(error: Exception, where: Where, progress: Progress) -> ModelError:
    sentence = f"base_url {where.url} is not a usable http address"
    return ModelRefused(sentence, model=where.model, never_ran=_never_ran(error, progress))


def _unreadable(_error: Exception, where: Where, _progress: Progress) -> ModelError:
    return ModelError(f"the reply of {where.model!r} at {where.url} cannot be read", model=where.model)


def _too_long(error: Exception, where: Where, _progress: Progress) -> ModelError:
    return ModelError(f"the reply of {where.model!r} at {where.url} is {error}: it is not read", model=where.model)


def _withheld(_error: Exception, where: Where, _progress: Progress) -> ModelError:
    return ModelRefused(f"the provider's content filter withheld {where.model!r}'s reply", model=where.model)


def _failed(error: Exception, where: Where, progress: Progress) -> ModelError:
    """Not foreseen. Only the class is named: the text of, say, an encoding error quotes what could not be encoded."""
    sentence = f"the call of {where.model!r} failed ({type(error).__name__})"
    return ModelError(sentence, model=where.model, never_ran=progress.nothing_sent)


EXPLAINED: dict[str, _Explain] = {
    "ReplyTooLong": _too_long,
    "TimeoutError": _timed_out,
    "SSLError": _unreachable,
    "EndOfStream": _unreachable,
    "OSError": _unreachable,
    # openai
    "OpenAIError": _failed,
    "APIError": _failed,
    "APIStatusError": _status,
    "BadRequestError": _status,
    "AuthenticationError": _status,
    "OAuthError": _status,
    "PermissionDeniedError": _status,
    "NotFoundError": _status,
    "ConflictError": _status,
    "UnprocessableEntityError": _status,
    "RateLimitError": _status,
    "InternalServerError": _status,
    "APITimeoutError": _timed_out,
    "APIConnectionError": _unreachable,
    "APIResponseValidationError": _unreadable,
    "LengthFinishReasonError": _unreadable,
    "ContentFilterFinishReasonError": _withheld,
    "InvalidWebhookSignatureError": _failed,
    "SubjectTokenProviderError": _failed,
    "WebSocketConnectionClosedError": _failed,
    "WebSocketQueueFullError": _failed,
    # httpx2
    "HTTPError": _unreachable,
    "RequestError": _unreachable,
    "TransportError": _unreachable,
    "HTTPStatusError": _status,
    "TimeoutException": _timed_out,
    "ConnectTimeout": _timed_out,
    "ReadTimeout": _timed_out,
    "WriteTimeout": _timed_out,
    "PoolTimeout": _timed_out,
    "NetworkError": _unreachable,
    "ConnectError": _unreachable,
    "ReadError": _unreachable,
    "WriteError": _unreachable,
    "CloseError": _unreachable,
    "ProtocolError": _unreachable,
    "LocalProtocolError": _unreachable,
    "RemoteProtocolError": _unreachable,
    "ProxyError": _unreachable,
    "UnsupportedProtocol": _address,
    "InvalidURL": _address,
    "DecodingError": _unreadable,
    "TooManyRedirects": _address,
    "CookieConflict": _failed,
    "StreamError": _unreadable,
    "StreamConsumed": _unreadable,
    "StreamClosed": _unreadable,
    "ResponseNotRead": _unreadable,
    "RequestNotRead": _failed,
    "SSEError": _unreadable,
}
