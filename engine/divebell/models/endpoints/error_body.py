"""What is in the body of an error: the words for machines, the sentence for people, and whether the model ran for it.

Pure. Endpoints nest errors: gateways put what their provider said, as JSON in a text, into their own (OpenRouter's
`error.metadata.raw`: https://openrouter.ai/docs/api/reference/errors-and-debugging), Azure has an `innererror`, FastAPI
a list of `detail`s, and Gemini's compatible endpoint a list around it all. All of them are looked at, outermost first.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from divebell.models.endpoints.signs_of_run import says_that_it_ran

MAX_LAYERS = 8
MAX_CODE_CHARACTERS = 100
MAX_NESTED_CHARACTERS = 65_536  # of JSON inside a text
_CODE_KEYS = ("code", "type", "status", "error_code", "reason")
_INNER_KEYS = ("error", "detail", "innererror", "inner_error", "errors")
_SENTENCE_KEYS = ("message", "detail", "msg", "error", "error_message")


@dataclass(frozen=True)
class ErrorBody:
    """codes: the words for machines, in lower case. sentence: what it says to people. layers: the errors in it, the
    outermost first. says_that_it_ran: whether anything in it says that the model ran, or one read the prompt.
    is_whole: whether it could be read to its end.
    """

    codes: frozenset[str] = frozenset()
    sentence: str = ""
    layers: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    says_that_it_ran: bool = False
    is_whole: bool = True

    @property
    def usage_reply(self) -> dict[str, Any] | None:
        """The layer that has a usage, which is laid out as in a reply."""
        return next((layer for layer in self.layers if isinstance(layer.get("usage"), dict)), None)

    def number(self, name: str) -> int | None:
        """A number among its fields."""
        return next((layer[name] for layer in self.layers if type(layer.get(name)) is int), None)


def read_error(body: object) -> ErrorBody:
    """Read an error's body. body: decoded JSON; or a text, where it is not JSON or was cut."""
    if isinstance(body, str):
        decoded = _decode(body)
        if isinstance(decoded, str):
            return ErrorBody(sentence=decoded, says_that_it_ran=says_that_it_ran(decoded))
        if decoded is None:
            is_page = body.lstrip().startswith("<")  # a page of HTML says nothing
            is_cut = body.lstrip()[:1] in ("{", "[")  # and a piece of JSON may say anything in what is missing
            return ErrorBody(
                sentence="" if is_page else body,
                is_whole=not is_page and not is_cut,
                says_that_it_ran=says_that_it_ran(body),
            )
        body = decoded
    layers = tuple(_layers(body))
    return ErrorBody(
        codes=frozenset(_codes(layers)),
        sentence=_sentence(body) or next((words for layer in layers[1:] if (words := _sentence(layer))), ""),
        layers=layers,
        says_that_it_ran=says_that_it_ran([body, *layers]),
    )


def _layers(body: object) -> Iterator[dict[str, Any]]:
    waiting: list[object] = [body]
    for _ in range(MAX_LAYERS):
        if not waiting:
            return
        layer = waiting.pop(0)
        if isinstance(layer, list):
            waiting = [*layer[:MAX_LAYERS], *waiting]
            continue
        if not isinstance(layer, dict):
            continue
        yield layer
        waiting += [layer.get(key) for key in _INNER_KEYS]
        metadata = layer.get("metadata")
        raw = metadata.get("raw") if isinstance(metadata, dict) else None
        waiting += [_decode(text) if isinstance(text, str) else text for text in (raw, layer.get("message"))]
        waiting = [each for each in waiting if isinstance(each, (dict, list))]


def _decode(text: str) -> "dict[str, Any] | list[Any] | str | None":
    """The JSON in the text; None if it is not JSON."""
    if text.lstrip()[:1] not in ("{", "[", '"') or len(text) > MAX_NESTED_CHARACTERS:
        return None
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, (dict, list, str)) else None


def _codes(layers: tuple[dict[str, Any], ...]) -> Iterator[str]:
    for layer in layers:
        for key in _CODE_KEYS:
            word = layer.get(key)
            if isinstance(word, str) and len(word) <= MAX_CODE_CHARACTERS:
                yield word.strip().lower()


def _sentence(body: object) -> str:
    """The sentence, wherever the endpoint's dialect puts it."""
    for _ in range(4):
        if isinstance(body, list):
            body = body[0] if body else ""
        if not isinstance(body, dict):
            break
        body = next((body[key] for key in _SENTENCE_KEYS if isinstance(body.get(key), (str, dict, list))), "")
    return body if isinstance(body, str) and not body.lstrip().startswith("<") else ""
