"""Providers that misbehave, as data: what the server does, what the adapter must say of it, and so what is charged.

    with ChatServer(row.policy) as server:
        outcome = await model_for(row, server).complete(REQUEST)      # or its ModelError

Charges: `Settled(usage)` where the usage is believed, WHOLE_HOLD where nobody can say, GIVEN_BACK where the call surely
did not run.
"""

import dataclasses
import json
import socket
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from typing import Any, Literal

from divebell.bounds import MAX_BODY_BYTES
from divebell.errors import ModelError, ModelRefusedError, ModelUnavailableError
from divebell.models import Completion, ModelRequest, OpenAIChatModel, OpenAIResponsesModel, Usage
from divebell.models.openai.base import OpenAIModel
from tests.support.chat_server import ChatServer, Reply, error

REQUEST = ModelRequest(
    messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}],
    max_output_tokens=100,
    timeout_seconds=20,
)
HONEST_USAGE = Usage(input_tokens=3 + 4, output_tokens=1)  # of REQUEST and the reply "4", as the server counts
SHORT_SECONDS = 3.0  # in which a busy machine, too, has sent its request


@dataclass(frozen=True)
class Settled:
    usage: Usage


WHOLE_HOLD: Literal["whole hold"] = "whole hold"
GIVEN_BACK: Literal["given back"] = "given back"
Charge = Settled | Literal["whole hold", "given back"]


def charge_of(outcome: Completion | ModelError) -> Charge:
    """What a meter must do after this outcome."""
    if isinstance(outcome, ModelError) and outcome.never_ran:
        return GIVEN_BACK
    usage = outcome.usage
    return WHOLE_HOLD if usage is None or usage.service_tier else Settled(usage)  # no rate here knows a tier


@dataclass(frozen=True, kw_only=True)
class Misbehaviour:
    """One case. `answer` may be a function, for what must be made at the time of the call."""

    name: str
    answer: Reply | Callable[[], Reply]
    charge: Charge
    error: type[ModelError] | None = None
    """None where the call succeeds."""
    may_retry: bool = False
    retry_after_seconds: tuple[float, float] | None = None
    """Between which two numbers; None for no word of it."""
    api: Literal["chat", "responses"] = "chat"
    official: bool = False
    """Whether the endpoint passes for OpenAI's own, where tiers have prices."""
    azure: bool = False
    timeout_seconds: float = REQUEST.timeout_seconds
    url: Callable[[str], str] = field(default=lambda url: url)
    """Where the model looks for the server."""
    is_reached: bool = True

    def policy(self, _request: dict[str, Any]) -> Reply:
        return self.answer if isinstance(self.answer, Reply) else self.answer()

    @property
    def request(self) -> ModelRequest:
        return dataclasses.replace(REQUEST, timeout_seconds=self.timeout_seconds)


def model_for(row: Misbehaviour, server: ChatServer) -> OpenAIModel:
    """The adapter that the row is about, at the server."""
    kind = OpenAIChatModel if row.api == "chat" else OpenAIResponsesModel
    model = kind("local", base_url=row.url(server.url), api_key=server.key)
    model._endpoint = dataclasses.replace(model._endpoint, official=row.official, bills_refusals=row.azure)
    return model


def _free_port_url(_url: str) -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def _refusal(status: int, charge: Charge = GIVEN_BACK, **more: Any) -> Misbehaviour:
    return Misbehaviour(
        name=f"{status}", answer=error(status, "because"), charge=charge, error=ModelRefusedError, **more
    )


def _refusal_with(name: str, answer: Reply, charge: Charge = GIVEN_BACK, **more: Any) -> Misbehaviour:
    return Misbehaviour(name=name, answer=answer, charge=charge, error=more.pop("error", ModelRefusedError), **more)


def _too_many(name: str, headers: Mapping[str, str] | Callable[[], Mapping[str, str]], wait: Any) -> Misbehaviour:
    def answer() -> Reply:
        return error(429, "Slow down", headers=headers() if callable(headers) else headers)

    return Misbehaviour(
        name=f"429 {name}", answer=answer, charge=GIVEN_BACK, error=ModelRefusedError, may_retry=True,
        retry_after_seconds=wait if wait is None or isinstance(wait, tuple) else (wait, wait),
    )  # fmt: skip


def _failure(status: int, *, may_retry: bool = True, kind: type[ModelError] = ModelUnavailableError) -> Misbehaviour:
    return Misbehaviour(
        name=f"{status}", answer=error(status, "because"), charge=WHOLE_HOLD, error=kind, may_retry=may_retry
    )


def _broken_reply(name: str, answer: Reply, **more: Any) -> Misbehaviour:
    return Misbehaviour(name=name, answer=answer, charge=WHOLE_HOLD, error=ModelUnavailableError, **more)


def _unreadable(
    name: str,
    answer: Reply | Callable[[], Reply],
    kind: type[ModelError] = ModelUnavailableError,
    *,
    may_retry: bool = False,
) -> Misbehaviour:
    return Misbehaviour(name=name, answer=answer, charge=WHOLE_HOLD, error=kind, may_retry=may_retry)


def _absurd_usage(name: str, usage: object, **more: Any) -> Misbehaviour:
    return Misbehaviour(name=f"usage: {name}", answer=Reply(text="4", usage=usage), charge=WHOLE_HOLD, **more)


def _settled_usage(name: str, usage: object, expected: Usage, **more: Any) -> Misbehaviour:
    return Misbehaviour(name=f"usage: {name}", answer=Reply(text="4", usage=usage), charge=Settled(expected), **more)


def _without_text(name: str, answer: Reply, **more: Any) -> Misbehaviour:
    """No text to pass on, but honest usage."""
    usage = Usage(input_tokens=7, output_tokens=50)
    return Misbehaviour(name=name, answer=answer, charge=Settled(usage), error=ModelError, **more)


@cache
def _bomb() -> bytes:
    """Gzip that unpacks to more than is read, made without ever holding that."""
    packer = zlib.compressobj(1, wbits=31)
    block = b" " * (1 << 20)
    packed = b"".join(packer.compress(block) for _ in range((MAX_BODY_BYTES >> 20) + 1))
    return packed + packer.flush()


def _chat_usage(sent: object, received: object, **more: object) -> dict[str, object]:
    return {"prompt_tokens": sent, "completion_tokens": received, **more}


COUNTED = _chat_usage(7, 50)
LONG = "a reply of some length " * 20

REFUSED: list[Misbehaviour] = [
    *(_refusal(status) for status in (401, 402, 404, 405, 413)),
    *(_refusal(status, WHOLE_HOLD) for status in (400, 403, 422)),
    Misbehaviour(
        name="a redirect", charge=GIVEN_BACK, error=ModelRefusedError,
        answer=Reply(status=307, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"}),
    ),
    Misbehaviour(
        name="400 of a prompt that is too long", charge=GIVEN_BACK, error=ModelRefusedError,
        answer=error(400, "Maximum is 8192.", code="context_length_exceeded"),
    ),
    Misbehaviour(
        name="400 of a content filter, which a model ran for", charge=WHOLE_HOLD, error=ModelRefusedError,
        answer=error(400, "The response was filtered", code="content_filter"),
    ),
    Misbehaviour(
        name="403 of moderation, which a model ran for", charge=WHOLE_HOLD, error=ModelRefusedError,
        answer=error(403, "Your input was flagged by moderation."),
    ),
    Misbehaviour(
        name="400 of Azure, which bills them", charge=WHOLE_HOLD, error=ModelRefusedError, azure=True,
        answer=error(400, "because"),
    ),
    Misbehaviour(
        name="429 of Azure", charge=GIVEN_BACK, error=ModelRefusedError, azure=True, may_retry=True,
        answer=error(429, "because"),
    ),
    Misbehaviour(
        name="429 of an empty account", charge=GIVEN_BACK, error=ModelRefusedError,
        answer=error(429, "No credit.", code="insufficient_quota", headers={"Retry-After": "7"}),
    ),
    _too_many("without Retry-After", {}, None),
    _too_many("with seconds", {"Retry-After": "7"}, 7.0),
    _too_many("with half a second", {"Retry-After": "0.5"}, 0.5),
    _too_many("with milliseconds, which are more exact", {"Retry-After": "2", "retry-after-ms": "1250"}, 1.25),
    _too_many("with milliseconds that are none", {"Retry-After": "2", "retry-after-ms": "-1"}, 2.0),
    _too_many("with a date", lambda: {"Retry-After": formatdate(time.time() + 3600, usegmt=True)}, (3000.0, 3600.0)),
    _too_many("with a date in the past", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
    _too_many("with a date beyond all bounds", {"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
    *(
        _too_many(f"with the hostile wait {wait!r}", {"Retry-After": wait}, None)
        for wait in ("-1", "0", "nan", "inf", "1e3", "1_000", "86401", "9" * 500, "\xb2", "7 s", "Wed, 99 Foo", "0x10")
    ),
]  # fmt: skip


def _detail(**entry: object) -> Reply:
    return Reply(status=422, body={"detail": [entry]})


_NESTED = json.dumps({"error": {"message": "No such model", "code": "model_not_found"}})
_WINDOW = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."

BEFORE_IT_RAN: list[Misbehaviour] = [
    _refusal_with("400 of a parameter that is not supported", error(400, "No", code="unsupported_parameter")),
    _refusal_with("400 of a value that is not supported", error(400, "No", code="unsupported_value")),
    _refusal_with("400 of a model that is not known", error(400, "No", code="model_not_found")),
    _refusal_with("400 of a field in words", error(400, "Unrecognized request argument supplied: top_k")),
    _refusal_with("400 of a value in words", error(400, "'detail' does not support auto")),
    _refusal_with("400 of Gemini", Reply(status=400, body=[{"error": {"code": 400, "message": "No", "status": "INVALID_ARGUMENT"}}])),
    _refusal_with("400 of a window in words", error(400, _WINDOW)),
    _refusal_with("400 of llama.cpp", Reply(status=400, body={"error": {"type": "exceed_context_size_error", "n_ctx": 8192}})),
    _refusal_with("400 of an output limit", error(400, "max_tokens is too large: 100. This model supports at most 50 output tokens")),
    _refusal_with("400 of a gateway, whose provider's is inside", Reply(
        status=400, body={"error": {"message": "Provider returned error", "metadata": {"raw": _NESTED}}},
    )),
    _refusal_with("403 of a permission", error(403, "No", code="insufficient_permissions")),
    _refusal_with("422 of FastAPI", _detail(type="extra_forbidden", loc=["body", "top_k"], msg="Extra inputs are not permitted")),
    _refusal_with("422 of FastAPI with no input", _detail(type="missing", loc=["body", "messages"], msg="Field required")),
    _refusal_with("400 of Azure for a field, which it bills nothing for", error(400, "No", code="unknown_parameter"), azure=True),
    _refusal_with("429 that asks for more than a minute's tokens", error(
        429, "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 45000.", code="rate_limit_exceeded",
    )),
]  # fmt: skip


def _invalid_request(**more: object) -> dict[str, object]:
    return {"message": "No", "type": "invalid_request_error", **more}


_CUT = '{"error": {"message": "No", "code": "unsupported_parameter", "failed_generation": "' + "x" * (80 << 10) + '"}}'

MAY_HAVE_RUN: list[Misbehaviour] = [
    _refusal_with("400 of a limit that was used up", error(
        400, "Could not finish the message because max_tokens or model output limit was reached.",
    ), WHOLE_HOLD),
    _refusal_with("400 of a prompt that a policy flags", error(400, "Invalid prompt", code="invalid_prompt"), WHOLE_HOLD),
    _refusal_with("400 of a policy in words", error(400, "This violates our usage policy", code="unsupported_value"), WHOLE_HOLD),
    _refusal_with("400 of JSON that fails", error(400, "Failed to generate JSON", code="json_validate_failed"), WHOLE_HOLD),
    _refusal_with("400 of a tool call that fails", Reply(
        status=400, body={"error": _invalid_request(code="tool_use_failed", failed_generation="<function=x>")},
    ), WHOLE_HOLD),
    _refusal_with("400 with what was generated and a code of the list", Reply(
        status=400, body={"error": _invalid_request(code="unsupported_parameter", failed_generation="Well,")},
    ), WHOLE_HOLD),
    _refusal_with("400 with what was generated beyond what is read", Reply(status=400, body=_CUT), WHOLE_HOLD),
    _refusal_with("400 with a completion in it", Reply(
        status=400, body={"error": _invalid_request(code="unknown_parameter"), "choices": [{"message": {"content": "4"}}]},
    ), WHOLE_HOLD),
    _refusal_with("400 with usage", Reply(
        status=400, body={"error": _invalid_request(code="unknown_parameter"), "usage": COUNTED},
    ), Settled(Usage(input_tokens=7, output_tokens=50))),
    _refusal_with("400 with usage inside of the error", Reply(
        status=400, body={"error": _invalid_request(usage=COUNTED)},
    ), Settled(Usage(input_tokens=7, output_tokens=50))),
    _refusal_with("400 with usage of the other API", Reply(
        status=400, body={"error": _invalid_request(), "usage": {"input_tokens": 7, "output_tokens": 50, "total_tokens": 57}},
    ), Settled(Usage(input_tokens=7, output_tokens=50))),
    _refusal_with("400 with usage that nobody believes", Reply(
        status=400, body={"error": _invalid_request(code="unknown_parameter"), "usage": _chat_usage(-7, 50)},
    ), WHOLE_HOLD),
    _refusal_with("400 with usage of nothing and a code of the list", Reply(
        status=400, body={"error": _invalid_request(code="unknown_parameter"), "usage": _chat_usage(0, 0)},
    )),
    _refusal_with("400 of Azure for a prompt that is too long, which it bills", error(400, _WINDOW), WHOLE_HOLD, azure=True),
    _refusal_with("400 with a page of HTML", Reply(status=400, body="<html>context length</html>"), WHOLE_HOLD),
    _refusal_with("400 with half of some JSON", Reply(status=400, body='{"error": {"message": "' + _WINDOW), WHOLE_HOLD),
    _refusal_with("400 of an output that does not fit, which names a field", error(
        400, "The output of the model was not supported by response_format",
    ), WHOLE_HOLD),
    _refusal_with("400 of a stop, which names a field", error(400, "Repetition, stopped. max_tokens not supported"), WHOLE_HOLD),
    _refusal_with("400 that names a field far from what it says", error(
        400, f"Parameter 'n' was fine. {'We looked at all of it. ' * 5}It is not supported.",
    ), WHOLE_HOLD),
    _refusal_with("400 with nothing", Reply(status=400, body=""), WHOLE_HOLD),
    _refusal_with("404 with usage", Reply(
        status=404, body={"error": _invalid_request(), "usage": COUNTED},
    ), Settled(Usage(input_tokens=7, output_tokens=50))),
]  # fmt: skip

FAILED: list[Misbehaviour] = [
    *(_failure(status) for status in (408, 500, 502, 503, 504, 529)),
    _failure(409, kind=ModelRefusedError),
    _failure(418, kind=ModelRefusedError, may_retry=False),
    _failure(501, may_retry=False),
    _failure(505, may_retry=False),
    _broken_reply(
        "503 with Retry-After", error(503, "Overloaded", headers={"Retry-After": "30"}), may_retry=True,
        retry_after_seconds=(30.0, 30.0),
    ),
    _broken_reply("500 cut off", Reply(text=LONG, status=500, cut_off=True), may_retry=True),
    _broken_reply("closes the connection before the reply", Reply(hang_up=True), may_retry=True),
    _broken_reply("resets the connection before the reply", Reply(hang_up=True, reset=True), may_retry=True),
    _broken_reply("closes the connection in the middle of the reply", Reply(text=LONG, cut_off=True), may_retry=True),
    _broken_reply("resets the connection in the middle of the reply", Reply(text=LONG, cut_off=True, reset=True), may_retry=True),
    _broken_reply("stalls before the reply", Reply(delay_seconds=30), timeout_seconds=SHORT_SECONDS),
    _broken_reply("stalls in the middle of the reply", Reply(text=LONG, stall=True), timeout_seconds=SHORT_SECONDS),
    Misbehaviour(
        name="nobody listens", answer=Reply(), charge=GIVEN_BACK, error=ModelUnavailableError, may_retry=True,
        url=_free_port_url, is_reached=False,
    ),
    Misbehaviour(
        name="no TLS where TLS should be", answer=Reply(), charge=GIVEN_BACK, error=ModelUnavailableError,
        url=lambda url: url.replace("http://", "https://"), is_reached=False,
    ),
]  # fmt: skip

UNREADABLE: list[Misbehaviour] = [
    _unreadable("truncated JSON", Reply(body='{"choices": [{"message": {"content": "4"}}], "usage": {"prompt_tok'), may_retry=True),
    _unreadable("an empty body", Reply(body=""), may_retry=True),
    _unreadable("a page of HTML", Reply(body="<html>Log in</html>", headers={"Content-Type": "text/html"}), may_retry=True),
    _unreadable("a JSON list", Reply(body="[]"), may_retry=True),
    _unreadable("JSON too deep to read", Reply(body="[" * 100_000), may_retry=True),
    _unreadable("JSON of millions of parts", lambda: Reply(body=b'{"x": [' + b"[]," * (8 << 20) + b"[]]}"), ModelError),
    _unreadable("JSON of millions of texts", lambda: Reply(body=b"[" + b'"",' * (8 << 20) + b'""]'), ModelError),
    _unreadable("JSON in another encoding", lambda: Reply(body='{"choices": []}'.encode("utf-16")), may_retry=True),
    _unreadable("bytes that are not text", Reply(body=b"\xff\xfe\xff"), may_retry=True),
    _unreadable("what is not gzip though it says so", Reply(body=b"no", headers={"Content-Encoding": "gzip"}), ModelError),
    _unreadable("a gzip bomb", lambda: Reply(body=_bomb(), headers={"Content-Encoding": "gzip"}), ModelError),
    _unreadable("no choice and no usage", Reply(body={}), may_retry=True),
    _unreadable("a refusal without usage", Reply(text=None, message={"refusal": "No."}, usage=None), ModelError),
    _unreadable(
        "an error with status 200 and usage of nothing",
        Reply(body={"error": {"message": "No", "code": "no"}, "usage": _chat_usage(1, 0)}), ModelRefusedError,
    ),
    Misbehaviour(
        name="a rate limit with status 200", answer=Reply(body={"error": {"message": "Slow", "code": 429}}),
        charge=WHOLE_HOLD, error=ModelRefusedError, may_retry=True,
    ),
    Misbehaviour(
        name="a failure with status 200", answer=Reply(body={"error": {"message": "Overloaded", "code": 503}}),
        charge=WHOLE_HOLD, error=ModelUnavailableError, may_retry=True,
    ),
    _without_text("a refusal that is billed", Reply(text=None, message={"refusal": "I will not."}, usage=COUNTED)),
    _without_text("withheld by a content filter", Reply(text=None, finish_reason="content_filter", usage=COUNTED)),
    _without_text("no choice, but billed", Reply(usage=COUNTED, more={"choices": []}), may_retry=True),
    _without_text("a number where text belongs", Reply(message={"content": 7}, usage=COUNTED)),
    _without_text("text beyond the bound", Reply(message={"content": "x" * ((16 << 20) + 1)}, usage=COUNTED)),
]  # fmt: skip

USAGE: list[Misbehaviour] = [
    Misbehaviour(name="none: a good reply", answer=Reply(text="4"), charge=Settled(HONEST_USAGE)),
    Misbehaviour(
        name="a wrong content type", answer=Reply(text="4", headers={"Content-Type": "text/plain"}),
        charge=Settled(HONEST_USAGE),
    ),
    _settled_usage("more output than was asked for", _chat_usage(7, 5_000), Usage(input_tokens=7, output_tokens=5_000)),
    _settled_usage("more input than was sent", _chat_usage(10**8, 1), Usage(input_tokens=10**8, output_tokens=1)),
    Misbehaviour(
        name="two choices where one was asked for", charge=Settled(Usage(input_tokens=7, output_tokens=50)),
        answer=Reply(usage=COUNTED, more={"choices": [{"message": {"content": text}} for text in ("4", "5")]}),
    ),
    _settled_usage(
        "with tokens from the cache and into it",
        _chat_usage(100, 9, total_tokens=109, prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 30}),
        Usage(input_tokens=100, output_tokens=9, cached_input_tokens=60, cache_write_tokens=30),
    ),
    _settled_usage(
        "with cache writes as gateways name them",
        _chat_usage(100, 9, cache_creation_input_tokens=30, prompt_tokens_details={"cached_tokens": 60}),
        Usage(input_tokens=100, output_tokens=9, cached_input_tokens=60, cache_write_tokens=30),
    ),
    _settled_usage(
        "with cache writes told twice: the dearer counts",
        _chat_usage(100, 9, cache_creation_input_tokens=30, prompt_tokens_details={"cache_creation_tokens": 40}),
        Usage(input_tokens=100, output_tokens=9, cache_write_tokens=40),
    ),
    _absurd_usage("absent", None),
    _absurd_usage("a text", "many"),
    _absurd_usage("a list", []),
    _absurd_usage("empty", {}),
    _absurd_usage("no output", {"prompt_tokens": 5}),
    _absurd_usage("negative input", _chat_usage(-1, 1)),
    _absurd_usage("negative output", _chat_usage(1, -1)),
    _absurd_usage("no input at all", _chat_usage(0, 1)),
    _absurd_usage("text out of no tokens", _chat_usage(7, 0)),
    _absurd_usage("bool", _chat_usage(True, True)),
    _absurd_usage("floats", _chat_usage(7.0, 1.0)),
    _absurd_usage("texts", _chat_usage("7", "1")),
    _absurd_usage("huge", _chat_usage(10**30, 1)),
    _absurd_usage("infinite", _chat_usage(7, float("inf"))),
    _absurd_usage("not a number", _chat_usage(float("nan"), 1)),
    _absurd_usage("a total that is not the sum", _chat_usage(7, 1, total_tokens=50)),
    _absurd_usage("more reasoning than output", _chat_usage(7, 1, completion_tokens_details={"reasoning_tokens": 40})),
    _absurd_usage("more cached than input", _chat_usage(7, 1, prompt_tokens_details={"cached_tokens": 8})),
    _absurd_usage("negative cached", _chat_usage(7, 1, prompt_tokens_details={"cached_tokens": -1})),
    _absurd_usage("cached as a text", _chat_usage(7, 1, prompt_tokens_details={"cached_tokens": "7"})),
    _absurd_usage("more written than input", _chat_usage(7, 1, prompt_tokens_details={"cache_write_tokens": 8})),
    _absurd_usage("writes as a bool", _chat_usage(7, 1, prompt_tokens_details={"cache_write_tokens": True})),
    _absurd_usage(
        "cached and written more than input",
        _chat_usage(7, 1, prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 4}),
    ),
    _absurd_usage("audio, which has another price", _chat_usage(7, 1, prompt_tokens_details={"audio_tokens": 2})),
    _absurd_usage(
        "a longer-lived cache, which has another price",
        _chat_usage(7, 1, prompt_tokens_details={
            "cache_write_tokens": 4, "cache_write_tokens_details": {"ttl_12h_tokens": 4, "ttl_30m_tokens": 0},
        }),
    ),
    Misbehaviour(
        name="the tier that was asked for", answer=Reply(text="4", service_tier="default"), official=True,
        charge=Settled(HONEST_USAGE),
    ),
    Misbehaviour(
        name="a dearer tier", answer=Reply(text="4", service_tier="priority"), official=True, charge=WHOLE_HOLD
    ),
    Misbehaviour(
        name="a refusal in a dearer tier", charge=WHOLE_HOLD, error=ModelError, official=True,
        answer=Reply(text=None, message={"refusal": "No."}, usage=COUNTED, service_tier="priority"),
    ),
]  # fmt: skip


def _responses_usage(sent: object, received: object, **more: object) -> dict[str, object]:
    return {"input_tokens": sent, "output_tokens": received, **more}


_R_COUNTED = _responses_usage(7, 50)


def _message_output(**part: object) -> list[dict[str, object]]:
    return [{"type": "message", "content": [part]}]


RESPONSES: list[Misbehaviour] = [
    dataclasses.replace(row, api="responses")
    for row in [
        Misbehaviour(name="none: a good reply", answer=Reply(text="4"), charge=Settled(HONEST_USAGE)),
        _refusal(400, WHOLE_HOLD),
        _refusal_with("400 of a field that is not known", error(400, "No", code="unknown_parameter")),
        _too_many("with seconds", {"Retry-After": "7"}, 7.0),
        _failure(500),
        _broken_reply("resets the connection in the middle", Reply(text=LONG, cut_off=True, reset=True), may_retry=True),
        _broken_reply("stalls", Reply(text=LONG, stall=True), timeout_seconds=SHORT_SECONDS),
        _unreadable("truncated JSON", Reply(body='{"output": ['), may_retry=True),
        _unreadable("nothing in it", Reply(body={}), may_retry=True),
        Misbehaviour(
            name="failed, with usage that is not believed", charge=WHOLE_HOLD, error=ModelUnavailableError, may_retry=True,
            answer=Reply(usage=_R_COUNTED, more={
                "status": "failed", "output": [], "error": {"code": "server_error", "message": "Something broke"},
            }),
        ),
        Misbehaviour(
            name="failed for the prompt's sake", charge=WHOLE_HOLD, error=ModelRefusedError,
            answer=Reply(more={"status": "failed", "output": [], "error": {"code": "invalid_prompt", "message": "No"}}),
        ),
        _unreadable("still going on", Reply(text="4", more={"status": "in_progress"}), ModelError),
        _unreadable("cancelled", Reply(text="4", more={"status": "cancelled"}), ModelError),
        _unreadable("a status that nobody knows", Reply(text="4", more={"status": ["new"]}), ModelError),
        _without_text("no output", Reply(usage=_R_COUNTED, more={"output": None}), may_retry=True),
        _without_text("a refusal", Reply(usage=_R_COUNTED, more={"output": _message_output(type="refusal", refusal="No.")})),
        _without_text(
            "withheld",
            Reply(usage=_R_COUNTED, more={
                "output": [], "status": "incomplete", "incomplete_details": {"reason": "content_filter"},
            }),
        ),
        _settled_usage(
            "with tokens from the cache and into it",
            _responses_usage(
                100, 9, total_tokens=109, input_tokens_details={"cached_tokens": 60, "cache_write_tokens": 30}
            ),
            Usage(input_tokens=100, output_tokens=9, cached_input_tokens=60, cache_write_tokens=30),
        ),
        _settled_usage("more output than asked", _responses_usage(7, 5_000), Usage(input_tokens=7, output_tokens=5_000)),
        _absurd_usage("absent", None),
        _absurd_usage("by the other API's names", COUNTED),
        _absurd_usage("negative", _responses_usage(-7, 1)),
        _absurd_usage("more cached than input", _responses_usage(7, 1, input_tokens_details={"cached_tokens": 8})),
        _absurd_usage("more reasoning than output", _responses_usage(7, 1, output_tokens_details={"reasoning_tokens": 2})),
        Misbehaviour(
            name="a dearer tier", answer=Reply(text="4", service_tier="priority"), official=True, charge=WHOLE_HOLD
        ),
    ]
]  # fmt: skip

MISBEHAVIOURS: list[Misbehaviour] = [*REFUSED, *BEFORE_IT_RAN, *MAY_HAVE_RUN, *FAILED, *UNREADABLE, *USAGE, *RESPONSES]
