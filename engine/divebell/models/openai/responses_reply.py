"""Reading a reply of the Responses API, believing as little as possible of it. Pure."""

from typing import Any

from divebell.errors import ModelError, ModelUnavailableError
from divebell.models.endings import INTERRUPTED, ending_of
from divebell.models.endpoints.endpoint import Endpoint
from divebell.models.openai.refusals import error_in_body
from divebell.models.openai.reply import decode_reply, interruption_error, tool_calls_of_output, usable_text
from divebell.models.openai.usage import RESPONSES_NAMES, usage_of
from divebell.models.protocol import CONTENT_FILTER, LENGTH, STOP, Completion

_ENDED = (None, "completed", "incomplete")  # compatible servers may leave it out
MAX_STATUS_CHARACTERS = 40


def read_response(body: bytes, endpoint: Endpoint) -> Completion:
    """The completion. ModelError if there is none, or none that may be passed on."""
    reply = decode_reply(body, endpoint)
    status, output = reply.get("status"), reply.get("output")
    if status == "failed" or (reply.get("error") and not output):
        raise error_in_body(reply, endpoint)
    if status not in _ENDED:  # it may go on, and so cost more than it says
        status_text = endpoint.clean(str(status))[:MAX_STATUS_CHARACTERS]
        raise ModelError(f"{endpoint.url} left the reply unfinished ({status_text})", model=endpoint.model)
    parts = _parts(output)
    text = _join(parts, "output_text", "text")
    usage = usage_of(reply, endpoint, RESPONSES_NAMES, has_text=bool(text))
    if not isinstance(output, list):
        raise ModelUnavailableError(
            f"{endpoint.url} replied without an output; try again", model=endpoint.model, may_retry=True, usage=usage
        )
    details = reply.get("incomplete_details")
    ending = ending_of(details.get("reason") if isinstance(details, dict) else None)
    if ending == INTERRUPTED:
        raise interruption_error(endpoint, usage)
    if status == "incomplete" and ending == STOP:  # for a reason that is not said, or not known: it is cut all the same
        ending = LENGTH
    return Completion(
        text=usable_text(
            text, endpoint, usage, refusal=_join(parts, "refusal", "refusal"), withheld=ending == CONTENT_FILTER
        ),
        usage=usage,
        finish_reason=ending,
        tool_calls=tool_calls_of_output(output),
    )


def _parts(output: object) -> list[dict[str, Any]]:
    """What the messages in the output are made of. Other items are the model's thinking."""
    items = output if isinstance(output, list) else []
    contents = [item.get("content") for item in items if isinstance(item, dict) and item.get("type") == "message"]
    return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]


def _join(parts: list[dict[str, Any]], kind: str, key: str) -> str:
    texts = (part.get(key) for part in parts if part.get("type") == kind)
    return "".join(text for text in texts if isinstance(text, str))
