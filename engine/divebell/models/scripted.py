"""A model that plays a script: for tests, and for the offline demo. Shipped to users in divebell.testing."""

import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator

import anyio

from divebell.errors import ConfigurationError, ModelError
from divebell.models.image_tokens import worst_case_image_tokens
from divebell.models.protocol import Completion, ModelRequest
from divebell.usage import Usage

BYTES_PER_TOKEN = 4
Policy = Callable[[ModelRequest], "str | Completion | Awaitable[str | Completion]"]


def count_tokens(text: str) -> int:
    """A deterministic stand-in for a tokenizer: a token for every four UTF-8 bytes, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


class ScriptedModel:
    """Replies from a sequence, one a call in order, or from a policy: a function of the ModelRequest, plain or async.

    delay_seconds: how long a call takes. kept_requests: how many of the latest requests `requests` keeps.
    """

    def __init__(
        self,
        name: str = "scripted",
        replies: "Iterable[str] | Policy" = (),
        *,
        delay_seconds: float = 0.0,
        kept_requests: int = 10_000,
    ) -> None:
        if isinstance(replies, str):
            raise ConfigurationError('replies must be a list of replies or a function: ["..."], not "..."')
        self._name = name
        self._calls = 0
        self._policy: Policy | None = replies if callable(replies) else None
        self._script: Iterator[str] = iter(()) if callable(replies) else iter(tuple(replies))
        self._delay_seconds = delay_seconds
        self._lock = threading.Lock()
        self.requests: deque[ModelRequest] = deque(maxlen=kept_requests)

    @property
    def name(self) -> str:
        return self._name

    async def complete(self, request: ModelRequest) -> Completion:
        """The next reply. ModelError when the script has run out."""
        with self._lock:
            self.requests.append(request)
            self._calls += 1
            calls = self._calls
            reply: object = None if self._policy is not None else next(self._script, None)
        if self._delay_seconds:
            await anyio.sleep(self._delay_seconds)
        if self._policy is not None:
            reply = await self._ask_policy(request)
        if reply is None:
            raise ModelError(f"the script of {self._name!r} has run out after {calls - 1:,} calls", model=self._name)
        if isinstance(reply, Completion):
            return reply
        if not isinstance(reply, str):
            raise ModelError(f"the policy of {self._name!r} returned {type(reply).__name__}, not str", model=self._name)
        return self._completion(request, reply)

    async def _ask_policy(self, request: ModelRequest) -> object:
        assert self._policy is not None
        try:
            reply: object = self._policy(request)
            return await reply if inspect.isawaitable(reply) else reply
        except ModelError:
            raise
        except Exception as error:  # a model raises ModelError and nothing else
            raise ModelError(
                f"the policy of {self._name!r} failed: {type(error).__name__}: {error}", model=self._name
            ) from error

    def _completion(self, request: ModelRequest, text: str) -> Completion:
        limit_bytes = request.max_output_tokens * BYTES_PER_TOKEN
        sent = text.encode("utf-8", "surrogatepass")
        cut = len(sent) > limit_bytes
        if cut:
            text = sent[:limit_bytes].decode("utf-8", "ignore")
        usage = Usage(
            input_tokens=sum(map(count_tokens, request.sent_texts()))
            + sum(worst_case_image_tokens(image, self._name) for image in request.sent_images()),
            output_tokens=count_tokens(text),
        )
        return Completion(text=text, usage=usage, finish_reason="length" if cut else "stop")
