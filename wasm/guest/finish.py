"""How a cell gives the answer: FINAL, FINAL_VAR, SUBMIT and `answer`."""

import json
from builtins import SystemExit, dict, isinstance, issubclass, len, str, type  # noqa: UP029  (cells may replace them)
from typing import Any

from divebell_guest import wire
from divebell_guest.door import BadAnswer, ask
from divebell_guest.values import plain

MAX_VALUE_BYTES = 1 << 20  # a FINAL's value that is larger comes back as its text alone
MAX_SUBMITTED_BYTES = 16 << 20


class Submitted(SystemExit):
    """Ends the cell in which SUBMIT gave the answer, as it does elsewhere: `for hit in hits: SUBMIT(hit)` means the
    first one."""


class NoContent(ValueError):
    """`answer` was given as the answer, and nothing has been put into it."""


class Finish:
    """The answer that the code of this cell gave, if it gave one."""

    __slots__ = ("answer", "is_valued", "submitted", "text", "value")

    def __init__(self) -> None:
        self.answer: dict[str, object] = {"content": "", "ready": False}
        self.text: str | None = None
        self.value: object = None
        self.is_valued = False
        self.submitted: dict[str, object] | None = None

    def give(self, value: object) -> str:
        """FINAL's answer. What came before it no longer counts. Of `answer` itself, its content is meant."""
        if value is self.answer:
            value = dict.get(self.answer, "content", "")
            if type(value) is str and not value:
                raise NoContent('answer["content"] is empty: put the answer there, or give it with FINAL(value)')
        text = as_text(value)
        self.text, self.value, self.is_valued, self.submitted = text, value, True, None
        return text

    def submit(self, fields: dict[str, object], text: str) -> None:
        self.text, self.value, self.is_valued, self.submitted = text, None, False, fields

    def taken(self, namespace: dict[str, object]) -> "dict[str, object] | None":
        """The answer, once: a later cell starts without one."""
        self.adopt(namespace)
        if self.text is None and _is_ready(self.answer):
            self.give(self.answer)
        if self.text is None:
            if dict.get(self.answer, "ready") is not False:
                self.answer["ready"] = False
            return None
        outcome: dict[str, object] = {"final": self.text}
        if self.submitted is not None:
            outcome["submitted"] = self.submitted
        elif self.is_valued:
            outcome["final_value"] = _modest(self.value)
        self.forget()
        return outcome

    def adopt(self, namespace: dict[str, object]) -> None:
        """Take over what a cell put in the place of `answer`: a dict like it, or anything else as its content. Much
        code says `answer = llm_query(...)`, and would lose that when the name is put back."""
        given: Any = namespace.get("answer", self.answer)
        if given is self.answer:
            return
        if issubclass(type(given), dict) and (dict.__contains__(given, "content") or dict.__contains__(given, "ready")):
            self.answer.update(content=dict.get(given, "content", ""), ready=_is_ready(given))
        else:
            self.answer["content"] = given

    def forget(self) -> None:
        self.answer["ready"] = False
        self.text = self.value = self.submitted = None
        self.is_valued = False


def _is_ready(answer: dict[str, object]) -> bool:
    """Not by its truth alone: a value of the cell's own could do anything when asked for that."""
    ready = dict.get(answer, "ready")
    return ready is True or (type(ready) in (int, str) and ready in (1, "True", "true", "yes"))


def _modest(value: object) -> object:
    """The value as plain data, or None where it is none or too large."""
    if type(value) in (str, bytes, list, tuple, dict) and len(value) > MAX_VALUE_BYTES:  # type: ignore[arg-type]
        return None
    try:
        data = plain(value)
        wire.encode(data, MAX_VALUE_BYTES, is_plain=True)
    except wire.WireError:
        return None
    return data


def as_text(value: object) -> str:
    return value if type(value) is str else str(value)


def submission(args: tuple[Any, ...], fields: dict[str, Any]) -> tuple[dict[str, object], str]:
    """What SUBMIT was given, as fields and as text. TypeError where that is not one answer."""
    if args:
        if fields:
            raise TypeError("SUBMIT takes named fields, SUBMIT(field=value, ...), or values in their order, not both")
        if len(args) > 1:
            fields = {wire.BY_POSITION: args}
        else:
            fields = args[0] if isinstance(args[0], dict) else {"answer": args[0]}
    if not fields:
        raise TypeError("SUBMIT needs the answer: SUBMIT(field=value, ...) or SUBMIT(value)")
    try:
        data: Any = plain(fields)
        if not all(type(name) is str for name in data):
            raise BadAnswer("the names of an answer's fields must be str")
        wire.encode(data, MAX_SUBMITTED_BYTES, is_plain=True)
    except wire.WireError as error:
        raise BadAnswer(f"this cannot be an answer: {error}") from None
    if list(data) == ["answer"]:
        return data, as_text(fields["answer"])
    return data, json.dumps(data.get(wire.BY_POSITION, data), ensure_ascii=False, default=str)


def check(fields: dict[str, object]) -> None:
    """Raises BadAnswer with what the host says of them."""
    problem = ask(wire.CHECK_ANSWER, value=fields)
    if problem is not None:
        raise BadAnswer(problem)
