"""A real local HTTP server that speaks the Chat Completions and the Responses API, well or badly, as a policy says.

    with ChatServer(lambda request: "4") as server:
        OpenAIChatModel("local", base_url=server.url, api_key=server.key)

The policy gets the request's JSON and returns the reply's text, or a `Reply` that says how to misbehave.
"""

import contextlib
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KEY = "sk-test-0123456789abcdefghijklmnop"
BYTES_PER_TOKEN = 4
HONEST = object()  # usage as it was
STALL_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of the server. By default a good one with the text."""

    text: str | None = ""
    status: int = 200
    body: "str | bytes | Mapping[str, object] | Sequence[object] | None" = None
    """Sent instead of a completion. A mapping or a list is sent as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    cut_off: bool = False
    """Promise the whole body, send half of it, and close the connection."""
    stall: bool = False
    """Promise the whole body, send half of it, and then nothing more until the server stops."""
    hang_up: bool = False
    """Close the connection without a word."""
    reset: bool = False
    """With cut_off or hang_up: reset the connection instead of closing it."""
    usage: object = HONEST
    """Instead of the honest usage; None leaves it out."""
    finish_reason: str = "stop"
    message: Mapping[str, object] = field(default_factory=dict)
    """More fields of the message, such as "refusal"; they win over the text."""
    more: Mapping[str, object] = field(default_factory=dict)
    """More fields of the reply, such as "choices" or "status"; they win."""
    service_tier: str | None = None


def error(status: int, message: str, *, code: str | None = None, **more: Any) -> Reply:
    """An error as the API reports them."""
    fields = {"message": message, "type": "error", "param": None, "code": code}
    return Reply(status=status, body={"error": fields}, **more)


Policy = Callable[[dict[str, Any]], "str | Reply"]


@dataclass(frozen=True)
class Received:
    """One request as it was received."""

    path: str
    headers: Mapping[str, str]
    """By names in lower case."""
    json: dict[str, Any]

    @property
    def text(self) -> str:
        """The last message's text."""
        return str(_messages(self.json)[-1]["content"])


PATHS = ("/v1/chat/completions", "/v1/responses")


def count_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


class ChatServer:
    """The server, as a context manager. `url` is its base URL, `received` what it was sent.

    key: what it wants to see as the bearer; None to take anybody.
    models: the names that it knows; others get a 404. None to know all.
    """

    def __init__(self, policy: Policy | str, *, key: str | None = KEY, models: Collection[str] | None = None) -> None:
        self.policy: Policy = (lambda _request: policy) if isinstance(policy, str) else policy
        self.key = key
        self.models = models
        self.received: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        server: ChatServer = self

        class Handler(_Handler):
            chat = server

        self._http = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), name="chat-server")
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _frames: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self.hang_up()
        self._http.server_close()
        self._thread.join()

    def hang_up(self) -> None:
        """Close all connections, as servers do with idle ones."""
        with self.lock:
            for each in self.open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def answer(self, request: Received) -> Reply:
        """What to reply to a request: to whom, of what, and then as the policy says."""
        if request.path not in PATHS:
            return error(404, f"no such path: {request.path}")
        bearer = request.headers.get("authorization", "")
        if self.key is not None and bearer != f"Bearer {self.key}":
            return error(401, f"Incorrect API key provided: {bearer}.", code="invalid_api_key")
        name = request.json.get("model")
        if self.models is not None and name not in self.models:
            return error(404, f"The model `{name}` does not exist or you may not use it.", code="model_not_found")
        reply = self.policy(request.json)
        return Reply(text=reply) if isinstance(reply, str) else reply


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # the default of 5 resets connections when many calls begin at once
    daemon_threads = False  # so that closing waits for them


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which keeps connections, as real endpoints do
    chat: ChatServer

    def setup(self) -> None:
        with self.chat.lock:
            self.chat.connections += 1
            self.chat.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        with self.chat.lock:
            self.chat.open.discard(self.request)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(sent))
        with self.chat.lock:
            self.chat.received.append(request)
        reply = self.chat.answer(request)
        if reply.delay_seconds:
            self.chat.stopping.wait(reply.delay_seconds)
        if reply.reset:
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.hang_up:
            self.close_connection = True
            self._close(reply)
            return
        body = _body(request, reply)
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if reply.cut_off or reply.stall else body)
        self.wfile.flush()
        if reply.stall:
            self.chat.stopping.wait(STALL_SECONDS)
        self.close_connection = self.close_connection or reply.cut_off or reply.stall
        self._close(reply)

    def _close(self, reply: Reply) -> None:
        if reply.reset:  # at once: a shutdown, which is how the server ends a connection, would send an orderly end
            os.close(self.request.detach())


def _body(request: Received, reply: Reply) -> bytes:
    body = reply.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    if body is None:
        body = (_response if request.path == "/v1/responses" else _completion)(request.json, reply)
    return json.dumps(body).encode()


def _messages(request: dict[str, Any]) -> list[dict[str, Any]]:
    messages = request["messages"] if "messages" in request else request["input"]
    return list(messages)


def _cut_to_limit(request: dict[str, Any], reply: Reply) -> tuple[str | None, bool]:
    """The text as far as the output limit lets it, as providers do, and whether it was cut."""
    limits = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    limit = next((request[name] for name in limits if name in request), None)
    if reply.text is None or limit is None or count_tokens(reply.text) <= limit:
        return reply.text, False
    return reply.text.encode()[: limit * BYTES_PER_TOKEN].decode("utf-8", "ignore"), True


def _counts(request: dict[str, Any], text: str | None) -> tuple[int, int]:
    """Tokens in and out. Images count a token each: who tests them looks at what was sent."""
    sent = 0
    for message in _messages(request):
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        sent += sum(count_tokens(part["text"]) if "text" in part else 1 for part in parts)
    return sent, count_tokens(text or "")


def _completion(request: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """A completion as the Chat Completions API writes it."""
    text, cut = _cut_to_limit(request, reply)
    completion: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.get("model"),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **reply.message},
                "finish_reason": "length" if cut else reply.finish_reason,
                "logprobs": None,
            }
        ],
    }
    if reply.usage is HONEST:
        sent, received = _counts(request, text)
        completion["usage"] = {
            "prompt_tokens": sent,
            "completion_tokens": received,
            "total_tokens": sent + received,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
    return _complete_body(completion, reply)


def _response(request: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """A response as the Responses API writes it. Reasoning comes first, as reasoning models have it."""
    text, cut = _cut_to_limit(request, reply)
    part = {"type": "output_text", "text": text, "annotations": [], **reply.message}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": request.get("model"),
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, message],
    }
    if reply.usage is HONEST:
        sent, received = _counts(request, text)
        response["usage"] = {
            "input_tokens": sent,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": received,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": sent + received,
        }
    return _complete_body(response, reply)


def _complete_body(body: dict[str, Any], reply: Reply) -> dict[str, Any]:
    if reply.service_tier is not None:
        body["service_tier"] = reply.service_tier
    if reply.usage is not HONEST and reply.usage is not None:
        body["usage"] = reply.usage
    return {**body, **reply.more}
