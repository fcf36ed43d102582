"""What went wrong at a Chat Completions endpoint, as one sentence that says what to do.

Every exception of `openai` and `httpx2` has an entry in EXPLAINED, by its class's name, so that neither library has to
be imported to read this table. Guaranteed: the key is in no message; the provider's own words are one printable line of
at most MAX_PROVIDER_CHARACTERS; and the error made here has no cause, because the original one holds the request with
its headers.
"""

import math
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from divebell.errors import ModelError, ModelRefused, ModelUnavailable

MAX_PROVIDER_CHARACTERS = 300
# What is looked at of a provider's error text before it is cleaned.
MAX_READ_CHARACTERS = 65_536
MAX_CAUSES = 10
# Shorter keys are placeholders such as "none" and "EMPTY": replacing them would only garble the message.
MIN_SECRET_CHARACTERS = 8
MAX_RETRY_AFTER_SECONDS = 86_400.0

_TOO_LONG_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_TOO_LONG_WORDS = ("context length", "context window", "context_length", "prompt is too long", "input is too long")
_NO_SUCH_FIELD_WORDS = (
    "unsupported", "not supported", "unknown", "unrecognized", "unrecognised", "unexpected", "extra",
    "not permitted", "not allowed",
)  # fmt: skip
# Providers echo a refused key masked in the middle, which shows its ends: sk-ab***yz.
_KEY_LIKE = re.compile(r"\b(?:sk|sess)-[\w*-]{4,}")


class ReplyTooLong(Exception):
    """The body is longer than is read. `limit_bytes` is what would have been read."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"longer than {limit_bytes:,} bytes")
        self.limit_bytes = limit_bytes


@dataclass(frozen=True)
class Where:
    """What an error message may say about where the call went, and the key that it must not."""

    model: str
    url: str
    official: bool
    key: str = field(default="", repr=False)

    def clean(self, text: str) -> str:
        """A provider's text as one printable line without the key, cut to MAX_PROVIDER_CHARACTERS."""
        head = text[:MAX_READ_CHARACTERS]
        secret = len(self.key) >= MIN_SECRET_CHARACTERS
        if secret and len(text) > MAX_READ_CHARACTERS:
            head = head[: -len(self.key)]  # the cut may have gone through the key
        line = " ".join("".join(c if c.isprintable() else " " for c in head).split())
        if secret:
            line = line.replace(self.key, "[key]")
        line = _KEY_LIKE.sub("[key]", line)
        return line if len(line) <= MAX_PROVIDER_CHARACTERS else line[: MAX_PROVIDER_CHARACTERS - 1] + "…"


_Explain = Callable[[Exception, Where], ModelError]


def translate(error: Exception, where: Where) -> ModelError:
    """The error to raise for this exception. Raise it outside of the `except` block, so that it gets no context."""
    for kind in type(error).__mro__:
        if kind.__name__ in EXPLAINED:
            return EXPLAINED[kind.__name__](error, where)
    return _failed(error, where)


def is_unknown_field(error: Exception, name: str) -> bool:
    """Whether the endpoint refused the request because it does not know the field of that name."""
    if getattr(error, "status_code", None) not in (400, 422):
        return False
    text = str(getattr(getattr(error, "response", None), "text", ""))[:MAX_READ_CHARACTERS].lower()
    return name in text and any(word in text for word in _NO_SUCH_FIELD_WORDS)


def refused(status: int, body: object, where: Where, retry_after: str = "") -> ModelError:
    """The error for an answer with this status. body: the decoded JSON, or the text."""
    code, said = _code_of(body), where.clean(_text_of(body)).rstrip(".")
    model, because = where.model, f": {said}" if said else ""
    if status >= 500:
        return ModelUnavailable(f"{where.url} is failing ({status}){because}; try again later", model=model)
    if status == 408:
        return ModelUnavailable(f"{where.url} gave up waiting (408){because}; try again", model=model)
    if status == 401:  # what the provider says to a wrong key quotes the key
        sentence = f"the endpoint refused the key (401 from {where.url}): check OPENAI_API_KEY or api_key"
    elif status == 403:
        sentence = f"the endpoint refused the key for {model!r} (403 from {where.url}){because}"
    elif status == 404:
        hint = "" if where.official else f", and that base_url {where.url} is right (it often ends in /v1)"
        sentence = f"the endpoint does not know the model {model!r} (404){because}; check its name{hint}"
    elif status == 429 and "insufficient_quota" in code:
        sentence = f"the account's quota is used up (429){because}; add credit at the provider, or raise its limit"
    elif status == 429:
        sentence = f"too many requests for {model!r} (429){because}; {_wait(retry_after)}"
    elif status == 413 or _is_too_long(code, said):
        sentence = f"the prompt is longer than {model!r} can read ({status}){because}; send less in one call"
    elif 300 <= status < 400:
        sentence = f"{where.url} redirects ({status}), and prompts do not follow: set base_url to the new address"
    else:
        sentence = f"{model!r} refused the request ({status}){because}"
    return ModelRefused(sentence, model=model, status=status)


def of_body(body: dict[str, object], where: Where) -> ModelError:
    """The error for a reply that has an error in it, though its status says success: what some gateways send."""
    inner = body.get("error")
    code = inner.get("code") if isinstance(inner, dict) else None
    return refused(code if type(code) is int and 400 <= code <= 599 else 200, body, where)


def _code_of(body: object) -> str:
    """The provider's machine-readable words for the error: its code and its type."""
    if not isinstance(body, dict):
        return ""
    inner = body.get("error")
    found = inner if isinstance(inner, dict) else body
    return " ".join(word for word in (found.get("code"), found.get("type")) if isinstance(word, str))


def _text_of(body: object) -> str:
    """The provider's sentence, wherever its dialect puts it. A page of HTML says nothing."""
    for _ in range(3):
        if isinstance(body, list):
            body = body[0] if body else ""
        if not isinstance(body, dict):
            break
        keys = ("error", "message", "detail", "msg")
        body = next((body[key] for key in keys if isinstance(body.get(key), (str, dict, list))), "")
    return body if isinstance(body, str) and not body.lstrip().startswith("<") else ""


def _is_too_long(code: str, said: str) -> bool:
    return any(word in code for word in _TOO_LONG_CODES) or any(words in said.lower() for words in _TOO_LONG_WORDS)


def _wait(retry_after: str) -> str:
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = math.nan
    if 0 < seconds <= MAX_RETRY_AFTER_SECONDS:
        return f"the provider says to wait {seconds:g} s"
    return "make fewer calls at once, or raise the limit at the provider"


def _status(error: Exception, where: Where) -> ModelError:
    response = getattr(error, "response", None)
    status = int(getattr(error, "status_code", 0) or getattr(response, "status_code", 0))
    headers = getattr(response, "headers", {})
    return refused(status, getattr(error, "body", None), where, str(headers.get("retry-after", "")))


def _timed_out(error: Exception, where: Where) -> ModelError:
    kinds = {type(cause).__name__ for cause in _causes(error)}
    if "ConnectTimeout" in kinds:
        return ModelUnavailable(f"cannot reach {where.url}: the connection timed out", model=where.model)
    if "PoolTimeout" in kinds:
        return ModelUnavailable(f"too many connections to {where.url} are in use", model=where.model)
    return ModelUnavailable(f"{where.model!r} did not answer in time", model=where.model)


def _unreachable(error: Exception, where: Where) -> ModelError:
    causes = _causes(error)
    for kind, sentence in (
        (socket.gaierror, "its host name is not known; check base_url"),
        (ConnectionRefusedError, "the connection was refused; check base_url, and that the server is running"),
        (ssl.SSLCertVerificationError, "its certificate could not be verified"),
        (ssl.SSLError, "the TLS connection failed; check whether base_url is http or https"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return ModelUnavailable(f"cannot reach {where.url}: {sentence}", model=where.model)
    connected = not any(type(cause).__name__ in ("ConnectError", "ProxyError") for cause in causes)
    said = where.clean(str(causes[-1]))
    what = "the connection broke before the reply was complete" if connected else "no connection could be made"
    return ModelUnavailable(f"cannot reach {where.url}: {what}{f' ({said})' if said else ''}", model=where.model)


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


def _address(error: Exception, where: Where) -> ModelError:
    return ModelRefused(f"base_url {where.url} is not a usable http address", model=where.model)


def _unreadable(error: Exception, where: Where) -> ModelError:
    return ModelError(f"the reply of {where.model!r} at {where.url} cannot be read", model=where.model)


def _too_long(error: Exception, where: Where) -> ModelError:
    return ModelError(f"the reply of {where.model!r} at {where.url} is {error}: it is not read", model=where.model)


def _withheld(error: Exception, where: Where) -> ModelError:
    return ModelRefused(f"the provider's content filter withheld {where.model!r}'s reply", model=where.model)


def _failed(error: Exception, where: Where) -> ModelError:
    """Not foreseen. Only the class is named: the text of, say, an encoding error quotes what could not be encoded."""
    return ModelError(f"the call of {where.model!r} failed ({type(error).__name__})", model=where.model)


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
