"""The sub-calls that a run's code makes through the door: plain model calls, and children.

Guaranteed: nothing is deeper than the budget's depth, whatever the code asks: at the limit a child is a plain call. A
child has a sandbox, a history and an allotment of its own; it shares nothing with its siblings but the pages of the
context. It may name only models that the run may use.
"""

import asyncio
import functools
import itertools
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from divebell.bounds import LEAST_SUB_OUTPUT_TOKENS, MAX_QUESTION_CHARACTERS
from divebell.calls.allotments import Allotments
from divebell.calls.metered_calls import CallRecord
from divebell.context import Context
from divebell.errors import (
    AnswerError,
    BudgetExceeded,
    ContextError,
    ContextTooLongError,
    DivebellError,
    IncompleteReply,
    JournalError,
    ModelError,
    RequestError,
)
from divebell.events import CallEnded, ChildEnded, Event
from divebell.models.protocol import LENGTH, ImagePart, Message, ModelRequest, Part
from divebell.prompts import bad_reply, long_question, output_limit, reply_schema
from divebell.replies.replies import strip_thinking
from divebell.run.history import NOTHING, has_content
from divebell.run.levels import ResolvedLevel
from divebell.run.result import Result
from divebell.run.setup import QueryScope
from divebell.schemas import GuestSchema
from divebell.text import clip_middle
from divebell_bridge.door.requests import ChildQuery, ContextItem, ContextReference, Image, Query
from divebell_bridge.money.meter import Meter

CHARACTERS_PER_TOKEN = 3
"""A cautious estimate, for error messages: English has about four."""
MAX_SCHEMA_REPAIRS = 2
"""How often a sub-model is shown that its reply does not fit the schema that the code asked for."""
SHOWN_OF_QUESTION = 4_000
"""How much of a question that is too long is in the child's messages: the beginning and the end, where the task usually
is."""
MAX_FOLDED_CHARACTERS = 2_000_000
"""The longest context of a child that is put into the prompt where the child is a plain call."""


class ParentRun(Protocol):
    """What sub-calls need of the run whose code makes them. `depth` is that run's."""

    scope: QueryScope
    meter: Meter
    context: Context
    depth: int

    def report(self, event: Event) -> None:
        """Pass an event to the listener."""
        ...

    async def run_child(self, meter: Meter, context: Context, query: str, level: ResolvedLevel) -> Result:
        """Run a child to its end."""
        ...


class SubCalls:
    """Answers the sub-calls of one run."""

    def __init__(self, run: ParentRun) -> None:
        self._run = run
        self._scope = run.scope
        self._max_depth = run.scope.setup.max_depth
        self._allotments = Allotments(run.meter, max_concurrent=run.scope.setup.options.max_concurrent_children)
        self._calls = itertools.count(1)  # both are counted on the guest's thread alone
        self._children = itertools.count(1)

    def left(self) -> dict[str, object]:
        """What is left of the budget, and how many levels of children there may be, as plain data."""
        return {**self._run.meter.left(), "depth": self._max_depth - self._run.depth}

    def number(self, call: Query | ChildQuery) -> int:
        """Number the call, in the order in which the code asks. The order in which calls start varies from run to run,
        and a call may be given up before it starts."""
        is_plain = isinstance(call, Query) or self._run.depth >= self._max_depth
        return next(self._calls if is_plain else self._children)

    async def query(
        self,
        prompt: str,
        model: str | None,
        schema: Mapping[str, Any] | None = None,
        images: tuple[Image, ...] = (),
        *,
        number: int,
    ) -> object:
        """The reply of a sub-model: text, or the value that the schema describes."""
        level = self._find_level(model)
        if not prompt.strip() and not images:  # most endpoints refuse it
            raise ModelError("the prompt is empty: say in it what to do, and give it the text that it is about")
        if schema is None:
            call = await self._call(number, level, prompt, self._make_request(level, [_make_message(prompt, images)]))
            return _require_complete_text(call, level)
        return await self._query_for_data(number, level, prompt, schema, images)

    async def _query_for_data(
        self, number: int, level: ResolvedLevel, prompt: str, json_schema: Mapping[str, Any], images: tuple[Image, ...]
    ) -> object:
        schema = GuestSchema.of(json_schema)
        messages = [_make_message(f"{prompt}\n\n{reply_schema(schema.json_schema())}", images)]
        for repair in range(MAX_SCHEMA_REPAIRS + 1):
            request = replace(self._make_request(level, messages), schema=schema.json_schema())
            call = await self._call(number, level, prompt, request, attempt=repair)
            reply = _require_complete_text(call, level)
            try:
                return schema.parse_reply(reply)
            except AnswerError as error:
                problem = error
            messages = [
                *messages,
                {"role": "assistant", "content": reply if has_content(reply) else NOTHING},
                {"role": "user", "content": bad_reply(problem.errors)},
            ]
        raise ModelError(f"the model's reply does not fit the schema: {problem}", model=level.model.name)

    async def _call(
        self, number: int, level: ResolvedLevel, prompt: str, request: ModelRequest, *, attempt: int = 0
    ) -> CallRecord:
        """Make the call, and report its outcome as an event, whatever it is."""
        name = f"sub-call {number}" if not attempt else f"sub-call {number}, repair {attempt}"
        began = time.monotonic()
        make_event = functools.partial(
            CallEnded,
            number=number,
            model=level.model.name,
            prompt=prompt,
            schema=request.schema is not None,
            repair=attempt,
            images=len(request.sent_images()),
        )
        try:
            call = await self._scope.calls(
                self._run.meter,
                level.model,
                request,
                least_output_tokens=LEAST_SUB_OUTPUT_TOKENS,
                name=name,
                is_sub_call=True,
            )
        except BaseException as error:
            was_cancelled = isinstance(error, asyncio.CancelledError)
            why = "it was given up, or the run ended" if was_cancelled else str(error)
            seconds = time.monotonic() - began
            self._run.report(make_event(call_seconds=seconds, error=why, error_type=type(error).__name__))
            if isinstance(error, ContextTooLongError):
                raise _explain_size(error, request, level) from None
            raise
        self._run.report(make_event(reply=call.completion.text, call_seconds=call.seconds, usage=call.usage()))
        return call

    def _make_request(self, level: ResolvedLevel, messages: list[Message]) -> ModelRequest:
        return ModelRequest(
            messages=tuple(messages),
            max_output_tokens=level.sub_output_tokens,
            metadata=self._scope.sub_call_metadata,
            temperature=level.temperature,
        )

    def _find_level(self, model: str | None) -> ResolvedLevel:
        below = self._scope.setup.levels.at(self._run.depth + 1)
        return below if model is None else replace(below, model=self._scope.calls.model(model))

    async def child(self, prompt: str, source: object, model: str | None, *, number: int) -> object:
        """A child's answer. At the limit of depth a plain call, with the context in its prompt."""
        if self._run.depth >= self._max_depth:
            return await self.query(self._fold_context(prompt, source), model, number=number)
        level = self._find_level(model)
        prompt, source = _move_long_question(prompt, source)
        context = self._make_context(source)
        path = f"{self._run.meter.path}.{number}"
        journal = self._scope.journal
        finished = journal.find_child(path, prompt, context.type_name, context.length)
        if finished is not None:
            self._run.report(
                ChildEnded(
                    number=number,
                    prompt=prompt,
                    answer=finished.answer,
                    iterations=finished.iterations,
                    status="answered",
                    spend=journal.add_recorded_costs(path, {}),
                )
            )
            return finished.answer
        try:
            async with self._allotments.next(path) as meter:
                result = await self._run.run_child(meter, context, prompt, level)
                _check_answered(result)
        except JournalError:
            raise
        except DivebellError as error:
            journal.keep_failure(path, error)
            self._run.report(
                ChildEnded(
                    number=number,
                    prompt=prompt,
                    answer=error.text if isinstance(error, IncompleteReply) else "",
                    status="failed",
                    error=str(error),
                    error_type=type(error).__name__,
                )
            )
            raise
        self._run.report(
            ChildEnded(
                number=number,
                prompt=prompt,
                answer=result.answer,
                iterations=result.iterations,
                status=result.status,
                spend=result.spend,
            )
        )
        return result.answer

    def _make_context(self, source: object) -> Context:
        """A child's context: all of its parent's, a part of it (on the same pages where that can be), or its own."""
        try:
            if source is None:
                return self._run.context
            if isinstance(source, ContextReference):
                return self._run.context.part(source.start, source.end)
            if isinstance(source, ContextItem):
                return self._run.context.item(source.key)
            return Context.of(source)  # type: ignore[arg-type]
        except (ContextError, LookupError) as error:
            raise RequestError(f"the child cannot have this context: {error}") from None

    def _fold_context(self, prompt: str, source: object) -> str:
        if source is None:
            return prompt
        context = self._make_context(source)
        if context.length > MAX_FOLDED_CHARACTERS:
            raise BudgetExceeded(
                f"no child is allowed at this depth, and the context is too long for a plain call: {context.length:,}; "
                f"at most {MAX_FOLDED_CHARACTERS:,} characters are possible",
                limit="depth", cap=self._max_depth, spent=self._run.depth, account=self._run.meter.account,
            )  # fmt: skip
        return f"{prompt}\n\n{context.copy_out()}"


def _move_long_question(prompt: str, source: object) -> tuple[str, object]:
    """The child's question and its context. A question that is too long for a model's messages becomes the context:
    code that was written for other engines puts the data into the question, and those engines do the same."""
    if len(prompt) <= MAX_QUESTION_CHARACTERS:
        return prompt, source
    if source is not None:
        raise RequestError(
            f"the question has {len(prompt):,} characters, a child's may have {MAX_QUESTION_CHARACTERS:,}: put what is "
            "long into its context"
        )
    return long_question(clip_middle(prompt, SHOWN_OF_QUESTION), len(prompt)), prompt


def _explain_size(error: ContextTooLongError, request: ModelRequest, level: ResolvedLevel) -> ModelError:
    """The error that code receives: how long the prompt was, and how long it may be."""
    length = sum(map(len, request.sent_texts()))
    room = ""
    if error.limit_tokens is not None:
        reply = LEAST_SUB_OUTPUT_TOKENS if error.counts_output else 0
        characters = max(error.limit_tokens - reply, 0) * CHARACTERS_PER_TOKEN
        room = f" of {error.limit_tokens:,} tokens, which is about {characters:,} characters"
    sentence = f"the prompt has {length:,} characters, and does not fit into the window of {level.model.name!r}{room}"
    return ModelError(f"{sentence}: send a smaller part in one call", model=level.model.name)


def _require_complete_text(call: CallRecord, level: ResolvedLevel) -> str:
    """The reply of a sub-model, without its thoughts. Raises IncompleteReply if it was cut off: code could not tell a
    number that was cut from a whole one."""
    reply = strip_thinking(call.completion.text)
    if not call.completion.is_cut:
        return reply
    name, limit = level.model.name, output_limit(call.output_limit_tokens, level.sub_output_tokens)
    if call.completion.finish_reason != LENGTH:
        sentence = f"the endpoint's content filter cut off the reply of {name!r}: error.text has what came"
    elif not reply.strip():
        sentence = f"the reply of {name!r} was all thinking: it reached its output limit{limit} before the first word"
    else:
        sentence = f"the reply of {name!r} was cut off at its output limit{limit}: error.text has what came"
    advice = "ask for less in one call: a shorter reply, or one about a smaller part"
    raise IncompleteReply(f"{sentence}; {advice}", text=reply, model=name)


def _check_answered(result: Result) -> None:
    """Raise IncompleteReply if a child has only a draft, or an answer that was cut off."""
    if isinstance(result.error, IncompleteReply):  # from the journal, where it is in these words already
        raise result.error
    if result.error is not None:
        sentence = f"the child came to no answer ({result.error}): error.text has what it had by then"
    elif result.is_cut:
        sentence = "the child's answer was cut off at its output limit: error.text has what came"
    else:
        return
    raise IncompleteReply(sentence, text=result.answer)


def _make_message(prompt: str, images: tuple[Image, ...]) -> Message:
    if not images:
        return {"role": "user", "content": prompt}
    image_parts: list[Part] = [
        ImagePart(type="image", media_type=image.media_type, data=image.data) for image in images
    ]
    return {"role": "user", "content": [{"type": "text", "text": prompt}, *image_parts]}
