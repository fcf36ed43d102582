"""Checks what an adapter does: every call ends in time, with a complete Completion or a ModelError."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import anyio

from divebell.bounds import MAX_REPLY_CHARACTERS
from divebell.errors import ModelError, ModelUnavailableError
from divebell.models.endings import INTERRUPTED, ending_of
from divebell.models.protocol import DEFAULT_TIMEOUT_SECONDS, Completion, Model, ModelRequest
from divebell.usage import Usage
from divebell_bridge.money.meter import Meter

ADAPTER_GRACE_SECONDS = 1.0
"""An adapter that keeps to the request's timeout knows better what became of the call: it gets this much more."""


def timeout_seconds_of(request: ModelRequest, call_seconds: float, seconds_left: float | None) -> float:
    """How long the call may take: what the request, the options and the budget allow."""
    timeout = call_seconds
    if request.timeout_seconds != DEFAULT_TIMEOUT_SECONDS:
        timeout = min(timeout, request.timeout_seconds)
    return timeout if seconds_left is None else min(timeout, max(seconds_left, 0.001))


@contextmanager
def mapping_adapter_errors(model: Model, meter: Meter, timeout_seconds: float) -> Iterator[None]:
    """Whatever ends the call becomes a ModelError; BudgetExceeded if the budget's seconds end first."""
    try:
        with anyio.fail_after(timeout_seconds + ADAPTER_GRACE_SECONDS):
            yield
    except TimeoutError:
        meter.check_time()
        sentence = f"{model.name} did not answer within {timeout_seconds:g} s"
        raise ModelUnavailableError(sentence, model=model.name) from None
    except ModelError:
        raise
    except Exception as error:  # an adapter that breaks its contract
        raise ModelError(f"{model.name} failed: {type(error).__name__}: {error}", model=model.name) from error


def check_completion(completion: object, model: Model) -> Completion:
    """The completion, with a `finish_reason` of ours and a `usage` that can be read. ModelError if it is not one, or
    not complete."""
    if not isinstance(completion, Completion) or not isinstance(completion.text, str):
        raise ModelError(f"{model.name} replied with {type(completion).__name__}, not a Completion", model=model.name)
    if len(completion.text) > MAX_REPLY_CHARACTERS:
        raise ModelError(
            f"{model.name} replied with {len(completion.text):,} characters", model=model.name, usage=completion.usage
        )
    ending = ending_of(completion.finish_reason)  # an application's own adapter may pass the endpoint's word on
    if ending == INTERRUPTED:
        sentence = f"{model.name} broke off its reply in the middle"
        raise ModelUnavailableError(sentence, model=model.name, may_retry=True, usage=completion.usage)
    return replace(completion, finish_reason=ending, usage=readable_usage(completion.usage))


def readable_usage(usage: object) -> Usage | None:
    """The usage that an adapter reported, if its types are right. None if not: that must not lose the answer."""
    return usage if isinstance(usage, Usage) and isinstance(usage.service_tier, str) else None
