"""Calling a run's root model: for one turn, or for the last answer.

A history that is too long for the model's window is compacted: before the call, where the window is known, and after
it, where the endpoint refuses; then it is sent again. Each such call has a name of its own in the journal, which keeps
the refusal, so a repeated run compacts at the same places.
"""

from dataclasses import dataclass

from divebell.bounds import LEAST_LAST_OUTPUT_TOKENS, LEAST_ROOT_OUTPUT_TOKENS
from divebell.calls.metered_calls import CallRecord
from divebell.errors import ContextTooLongError
from divebell.events import EventListener, RootReplied
from divebell.models.protocol import LENGTH, Completion, Message, ModelRequest
from divebell.replies.replies import strip_thinking
from divebell.run.history import History
from divebell.run.levels import ResolvedLevel
from divebell.run.pace import Pace
from divebell.run.setup import QueryScope
from divebell_bridge.money.meter import Meter

MAX_WINDOW_DIGITS = 12
MAX_COMPACTIONS = 4
"""How often the history of one turn is compacted after a refusal."""
UNNAMED_WINDOW_FRACTION = 0.5
"""The part of a refused prompt that is sent next, where the endpoint does not name the window."""
ADVICE = (
    "tell RLM what the model can read and write: context_window_tokens=, max_output_tokens= "
    "(divebell ask: --context-window-tokens, --max-output-tokens)"
)


@dataclass(frozen=True, kw_only=True)
class RootReply:
    """A reply of the root model.

    text: the reply without its thoughts. limit_tokens: the output limit of the call; wanted_tokens: the limit in the
    run's options, which may be higher.
    """

    text: str
    completion: Completion
    limit_tokens: int
    wanted_tokens: int

    @property
    def is_cut(self) -> bool:
        """Whether it was cut off."""
        return self.completion.is_cut

    @property
    def is_empty(self) -> bool:
        """Whether it is empty, or only thoughts."""
        return not self.text.strip()

    @property
    def is_at_its_limit(self) -> bool:
        """Whether the output limit cut it off, rather than the endpoint's filter."""
        return self.completion.finish_reason == LENGTH


class RootCalls:
    """The calls of one run's root model. `report` receives an event for each reply."""

    def __init__(
        self,
        scope: QueryScope,
        meter: Meter,
        level: ResolvedLevel,
        *,
        report: EventListener,
        pace: Pace,
    ) -> None:
        self._scope = scope
        self._meter = meter
        self._level = level
        self._report = report
        self._pace = pace
        self._window_tokens = scope.setup.options.context_window_tokens  # as far as this run knows
        self._output_shares_window = True
        self._recall_window()
        self._reported = 0  # how many of the messages an event has had

    def _recall_window(self) -> None:
        """Start with the window that earlier runs have learnt. The journal keeps it, because a repeated run may not
        know it."""
        limits = self._scope.calls.known_limits.of(self._level.model)
        learnt = None if limits.window_tokens is None else f"{limits.window_tokens} {int(limits.counts_output)}"
        fact = self._scope.journal.keep_fact(self._meter.path, "window", learnt) or ""
        window, _, is_shared = fact.partition(" ")
        if window.isdecimal() and len(window) < MAX_WINDOW_DIGITS:
            self._window_tokens = min(self._window_tokens, int(window))
            self._output_shares_window = is_shared != "0"

    async def turn(self, number: int, history: History) -> RootReply:
        """The reply to the history, which is compacted if it is too long; ContextTooLongError if that does not help."""
        history.compact_if_needed(self._room_for_messages())
        for compactions in range(MAX_COMPACTIONS + 1):
            may_shorten = compactions < MAX_COMPACTIONS and history.can_be_compacted
            name = f"turn {number}, shorter {compactions}" if compactions else f"turn {number}"
            messages = history.messages
            try:
                with self._pace.timed():
                    call = await self._scope.calls(
                        self._meter, self._level.model, self._make_request(messages), name=name,
                        least_output_tokens=LEAST_ROOT_OUTPUT_TOKENS, may_shorten=may_shorten,
                    )  # fmt: skip
            except ContextTooLongError as error:
                if not may_shorten:
                    raise _with_advice(error) from None
                history.compact_to(self._room_after(error, history), error.requested_tokens)
                continue
            usage = call.completion.usage
            if usage is not None:
                history.observe(usage.input_tokens)
            return self._report_reply(call, messages)
        raise AssertionError("the last attempt returns or raises")

    async def last(self, attempt: int, messages: list[Message]) -> RootReply:
        """The reply to attempt number `attempt`, from 0, at the run's last call."""
        name = f"last answer {attempt + 1}"
        with self._pace.timed():
            call = await self._scope.calls(
                self._meter, self._level.model, self._make_request(messages), name=name,
                least_output_tokens=LEAST_LAST_OUTPUT_TOKENS, is_last=True,
            )  # fmt: skip
        return self._report_reply(call, messages)

    def _room_for_messages(self) -> int:
        """The part of the window for messages. In a small window the output gets at most half of it."""
        if not self._output_shares_window:
            return self._window_tokens
        output = min(self._level.root_output_tokens, max(self._window_tokens // 2, LEAST_ROOT_OUTPUT_TOKENS))
        return max(self._window_tokens - output, 1)

    def _room_after(self, error: ContextTooLongError, history: History) -> int:
        """The part of the window for messages, after this refusal."""
        self._output_shares_window = error.counts_output
        if error.limit_tokens is None or error.limit_tokens >= self._window_tokens:
            refused_tokens = error.requested_tokens or history.tokens
            self._window_tokens = max(int(min(refused_tokens, self._window_tokens) * UNNAMED_WINDOW_FRACTION), 1)
        else:
            self._window_tokens = max(error.limit_tokens, 1)
        return self._room_for_messages()

    def _make_request(self, messages: list[Message]) -> ModelRequest:
        return ModelRequest(
            messages=tuple(messages),
            max_output_tokens=self._level.root_output_tokens,
            metadata=self._scope.root_call_metadata,
            temperature=self._level.temperature,
        )

    def _report_reply(self, call: CallRecord, messages: list[Message]) -> RootReply:
        text = strip_thinking(call.completion.text)
        reported, self._reported = self._reported, len(messages)
        new = tuple(messages[reported:]) if len(messages) > reported else tuple(messages)
        self._report(
            RootReplied(
                messages=new,
                reply=text,
                is_cut=call.completion.is_cut,
                model=self._level.model.name,
                call_seconds=call.seconds,
                usage=call.usage(),
            )
        )
        return RootReply(
            text=text,
            completion=call.completion,
            limit_tokens=call.output_limit_tokens,
            wanted_tokens=self._level.root_output_tokens,
        )


def _with_advice(error: ContextTooLongError) -> ContextTooLongError:
    """The same error, with a sentence that says what to change in the options."""
    if ADVICE in str(error):
        return error
    return ContextTooLongError(
        f"{error}; {ADVICE}",
        limit_tokens=error.limit_tokens,
        requested_tokens=error.requested_tokens,
        counts_output=error.counts_output,
        model=error.model,
        status=error.status,
        never_ran=error.never_ran,
    )
