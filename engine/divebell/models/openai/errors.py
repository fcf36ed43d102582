"""What went wrong in a call, as one sentence that says what to do, and whether the call cost anything.

Every exception of `openai` and `httpx2` has an entry in EXPLAINED, by the name of its class, so that this table imports
neither library. Guaranteed: no message has the key; the provider's own words are one printable line of at most
MAX_PROVIDER_CHARACTERS; and the error has no cause, because the original exception holds the request with its headers.
An error says `never_ran` only where no byte of the request can have left, or the endpoint refused it.
"""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from divebell.errors import ModelError, ModelRefusedError, ModelUnavailableError
from divebell.models.endpoints.endpoint import Endpoint
from divebell.models.openai.refusals import body_of, explain_refusal

MAX_CAUSES = 10

# By the names of httpx2's classes: failures before a request is sent, and those that come with it or after it.
_BEFORE = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL"}
)
_AFTER = frozenset({"ReadError", "WriteError", "CloseError", "ReadTimeout", "WriteTimeout", "RemoteProtocolError"})


class ReplyTooLong(Exception):
    """The reply's body is longer than `limit_bytes`, the most that is read."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"longer than {limit_bytes:,} bytes")
        self.limit_bytes = limit_bytes


Phase = Literal["waiting", "connecting", "sent", "unknown"]


@dataclass
class Progress:
    """How far a call has come: waiting for a slot, connecting, or some of it was sent. Unknown where the client is not
    Divebell's own."""

    phase: Phase = "waiting"

    @property
    def nothing_sent(self) -> bool:
        return self.phase in ("waiting", "connecting")


_Explain = Callable[[Exception, Endpoint, Progress], ModelError]


def translate(error: Exception, endpoint: Endpoint, progress: Progress | None = None) -> ModelError:
    """The error to raise for this exception. Raise it outside of the `except` block, so that it gets no context."""
    progress = progress or Progress("unknown")
    for kind in type(error).__mro__:
        if kind.__name__ in EXPLAINED:
            return EXPLAINED[kind.__name__](error, endpoint, progress)
    return _explain_failure(error, endpoint, progress)


def _explain_status(error: Exception, endpoint: Endpoint, _progress: Progress) -> ModelError:
    response = getattr(error, "response", None)
    status = int(getattr(error, "status_code", 0) or getattr(response, "status_code", 0))
    return explain_refusal(status, body_of(error), endpoint, getattr(response, "headers", None))


def _explain_timeout(error: Exception, endpoint: Endpoint, progress: Progress) -> ModelError:
    kinds = {type(cause).__name__ for cause in _causes(error)}
    never_ran = _never_ran(error, progress)
    if progress.phase == "waiting":
        sentence = f"timed out waiting for a free slot for {endpoint.model!r}: raise max_concurrency, or the timeout"
    elif "PoolTimeout" in kinds:
        sentence = f"too many connections to {endpoint.url} are in use"
    elif never_ran:
        sentence = f"cannot reach {endpoint.url}: the connection timed out"
    else:
        sentence = f"{endpoint.model!r} did not answer in time"
    return ModelUnavailableError(sentence, model=endpoint.model, never_ran=never_ran, may_retry=never_ran)


def _explain_unreachable(error: Exception, endpoint: Endpoint, progress: Progress) -> ModelError:
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
            cause = next((cause for cause in causes if isinstance(cause, kind)), None)
            if cause is not None:
                may_retry = may_retry or getattr(cause, "errno", None) == socket.EAI_AGAIN
                sentence_with_url = f"cannot reach {endpoint.url}: {sentence}"
                return ModelUnavailableError(
                    sentence_with_url, model=endpoint.model, never_ran=True, may_retry=may_retry
                )
    reason = endpoint.clean(str(causes[-1]))
    what = "no connection could be made" if never_ran else "the connection broke before the reply was complete"
    sentence_with_url = f"cannot reach {endpoint.url}: {what}{f' ({reason})' if reason else ''}"
    return ModelUnavailableError(sentence_with_url, model=endpoint.model, never_ran=never_ran, may_retry=True)


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


def _explain_address(error: Exception, endpoint: Endpoint, progress: Progress) -> ModelError:
    sentence = f"base_url {endpoint.url} is not a usable http address"
    return ModelRefusedError(sentence, model=endpoint.model, never_ran=_never_ran(error, progress))


def _explain_unreadable(_error: Exception, endpoint: Endpoint, _progress: Progress) -> ModelError:
    return ModelError(f"the reply of {endpoint.model!r} at {endpoint.url} cannot be read", model=endpoint.model)


def _explain_length(error: Exception, endpoint: Endpoint, _progress: Progress) -> ModelError:
    return ModelError(
        f"the reply of {endpoint.model!r} at {endpoint.url} is {error}: it is not read", model=endpoint.model
    )


def _explain_withheld(_error: Exception, endpoint: Endpoint, _progress: Progress) -> ModelError:
    return ModelRefusedError(f"the provider's content filter withheld {endpoint.model!r}'s reply", model=endpoint.model)


def _explain_failure(error: Exception, endpoint: Endpoint, progress: Progress) -> ModelError:
    """An unexpected exception. Only its class is named: the text of, say, an encoding error quotes the prompt."""
    sentence = f"the call of {endpoint.model!r} failed ({type(error).__name__})"
    return ModelError(sentence, model=endpoint.model, never_ran=progress.nothing_sent)


EXPLAINED: dict[str, _Explain] = {
    "ReplyTooLong": _explain_length,
    "TimeoutError": _explain_timeout,
    "SSLError": _explain_unreachable,
    "EndOfStream": _explain_unreachable,
    "OSError": _explain_unreachable,
    # openai
    "OpenAIError": _explain_failure,
    "APIError": _explain_failure,
    "APIStatusError": _explain_status,
    "BadRequestError": _explain_status,
    "AuthenticationError": _explain_status,
    "OAuthError": _explain_status,
    "PermissionDeniedError": _explain_status,
    "NotFoundError": _explain_status,
    "ConflictError": _explain_status,
    "UnprocessableEntityError": _explain_status,
    "RateLimitError": _explain_status,
    "InternalServerError": _explain_status,
    "APITimeoutError": _explain_timeout,
    "APIConnectionError": _explain_unreachable,
    "APIResponseValidationError": _explain_unreadable,
    "LengthFinishReasonError": _explain_unreadable,
    "ContentFilterFinishReasonError": _explain_withheld,
    "InvalidWebhookSignatureError": _explain_failure,
    "SubjectTokenProviderError": _explain_failure,
    "WebSocketConnectionClosedError": _explain_failure,
    "WebSocketQueueFullError": _explain_failure,
    # httpx2
    "HTTPError": _explain_unreachable,
    "RequestError": _explain_unreachable,
    "TransportError": _explain_unreachable,
    "HTTPStatusError": _explain_status,
    "TimeoutException": _explain_timeout,
    "ConnectTimeout": _explain_timeout,
    "ReadTimeout": _explain_timeout,
    "WriteTimeout": _explain_timeout,
    "PoolTimeout": _explain_timeout,
    "NetworkError": _explain_unreachable,
    "ConnectError": _explain_unreachable,
    "ReadError": _explain_unreachable,
    "WriteError": _explain_unreachable,
    "CloseError": _explain_unreachable,
    "ProtocolError": _explain_unreachable,
    "LocalProtocolError": _explain_unreachable,
    "RemoteProtocolError": _explain_unreachable,
    "ProxyError": _explain_unreachable,
    "UnsupportedProtocol": _explain_address,
    "InvalidURL": _explain_address,
    "DecodingError": _explain_unreadable,
    "TooManyRedirects": _explain_address,
    "CookieConflict": _explain_failure,
    "StreamError": _explain_unreadable,
    "StreamConsumed": _explain_unreadable,
    "StreamClosed": _explain_unreadable,
    "ResponseNotRead": _explain_unreadable,
    "RequestNotRead": _explain_failure,
    "SSEError": _explain_unreadable,
}
