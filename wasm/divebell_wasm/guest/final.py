"""How a cell gives the answer: FINAL, FINAL_VAR, SUBMIT and `answer`. Which values may be one: answerable.py.

`answer` is a dict of "content" and "ready" at first. Much code says `answer = llm_query(...)` instead: then the name is
the code's own variable, as any other, until a cell says answer["ready"] = True, or puts such a dict into it.
"""

import contextlib
import json
from builtins import SystemExit, dict, issubclass, len, str, type  # noqa: UP029  (cells may replace them)
from typing import Any

from divebell_guest import answerable, bounds, wire
from divebell_guest.door import BadAnswer, ask
from divebell_guest.values import is_modest

MAX_TEXT_VALUE_CHARACTERS = 1 << 20  # a FINAL's text that is longer comes back once, as text


class Submitted(SystemExit):
    """Ends the cell in which SUBMIT gave the answer, as it does elsewhere: `for hit in hits: SUBMIT(hit)` means the
    first one."""


class NoContent(ValueError):
    """`answer` was given as the answer, and nothing has been put into it."""


class FinalAnswer:
    """The answer that the code of this cell gave, if it gave one."""

    __slots__ = ("answer", "submitted", "text", "value")

    def __init__(self) -> None:
        self.answer: dict[str, object] = {"content": "", "ready": False}
        self.text: str | None = None
        self.value: object = answerable.ABSENT
        self.submitted: dict[str, object] | None = None

    def give(self, value: object) -> str:
        """Take FINAL's answer. It replaces any answer before it."""
        text, data = answerable.read(value)
        self.text, self.value, self.submitted = text, data, None
        return text

    def submit(self, fields: dict[str, object], text: str) -> None:
        self.text, self.value, self.submitted = text, answerable.ABSENT, fields

    def answer_dict(self, bindings: dict[str, object]) -> "dict[str, object] | None":
        """The dict that the name `answer` holds: the sandbox's own, or one of that form; None where the code uses
        the name for something else."""
        current: Any = bindings.get("answer", self.answer)
        if current is self.answer:
            return self.answer  # type: ignore[no-any-return]
        if issubclass(type(current), dict) and (
            dict.__contains__(current, "ready")
            or (dict.__contains__(current, "content") and dict.__len__(current) == 1)
        ):
            return current  # type: ignore[no-any-return]
        return None

    def take_over(self, bindings: dict[str, object]) -> None:
        """Make what the code assigned to `answer` the content of the sandbox's dict, and bind the name to that
        dict again."""
        if self.answer_dict(bindings) is None:
            self.answer.update(content=bindings["answer"], ready=False)
            bindings["answer"] = self.answer

    def resolve(self, value: object, bindings: dict[str, object]) -> object:
        """The value, or the content of `answer`, if it is that."""
        answer = self.answer_dict(bindings)
        if answer is None or value is not answer:
            return value
        content = dict.get(answer, "content", "")
        if type(content) is str and not content:
            raise NoContent('answer["content"] is empty: put the answer there, or give it with FINAL(value)')
        return content

    def take(self, bindings: dict[str, object]) -> "dict[str, object] | None":
        """The answer, once: a later cell starts without one."""
        answer = self.answer_dict(bindings)
        if self.text is None and answer is not None and _is_ready(answer):
            self.give(self.resolve(answer, bindings))
        if self.text is None:
            _reset(answer)
            return None
        outcome: dict[str, object] = {"final": self.text}
        if self.submitted is not None:
            outcome["submitted"] = self.submitted
        elif self.value is not answerable.ABSENT and _fits_beside_text(self.value):
            outcome["final_value"] = self.value
        self.forget(bindings)
        return outcome

    def forget(self, bindings: dict[str, object]) -> None:
        _reset(self.answer_dict(bindings))
        self.text = self.submitted = None
        self.value = answerable.ABSENT

    def draft(self, bindings: dict[str, object]) -> str | None:
        """What `answer` holds at this moment, as text, of a list or dict as JSON where that can be. None for nothing,
        and for what is not plain data."""
        answer = self.answer_dict(bindings)
        content = bindings.get("answer") if answer is None else dict.get(answer, "content", "")
        if content is None or not is_modest(content, bounds.MAX_ANSWER_BYTES):
            return None
        if type(content) in (list, tuple, dict):
            with contextlib.suppress(TypeError, ValueError):  # a key that JSON does not have
                return json.dumps(content, ensure_ascii=False, default=str)
        return as_text(content) or None


def _reset(answer: "dict[str, object] | None") -> None:
    if answer is not None and dict.get(answer, "ready", False) is not False:
        dict.__setitem__(answer, "ready", False)


def _is_ready(answer: dict[str, object]) -> bool:
    """Only for values of exact types: bool() of an object of the cell's own would run code of the cell's."""
    ready = dict.get(answer, "ready")
    return ready is True or (type(ready) in (int, str) and ready in (1, "True", "true", "yes"))


def _fits_beside_text(data: object) -> bool:
    """Whether the data is small enough to cross beside its text."""
    if type(data) is str:
        return len(data) <= MAX_TEXT_VALUE_CHARACTERS
    try:
        wire.encode(data, bounds.MAX_ANSWER_BYTES, is_plain=True)
    except wire.WireError:
        return False
    return True


def as_text(value: object) -> str:
    return value if type(value) is str else str(value)


def read_submission(args: tuple[Any, ...], fields: dict[str, Any]) -> tuple[dict[str, object], str]:
    """The arguments of SUBMIT as fields and as text. TypeError where they are not one answer."""
    if args:
        if fields:
            raise TypeError("SUBMIT takes named fields, SUBMIT(field=value, ...), or values in their order, not both")
        if len(args) > 1:
            fields = {wire.BY_POSITION: args}
        else:
            fields = args[0] if issubclass(type(args[0]), dict) else {"answer": args[0]}
    if not fields:
        raise TypeError("SUBMIT needs the answer: SUBMIT(field=value, ...) or SUBMIT(value)")
    data: Any = answerable.data_of(fields)
    if not all(type(name) is str for name in data):
        raise BadAnswer("the names of an answer's fields must be str")
    try:
        wire.encode(data, bounds.MAX_ANSWER_BYTES, is_plain=True)
    except wire.WireError as error:
        raise BadAnswer(f"this cannot be an answer: {error}") from None
    if list(data) == ["answer"]:
        return data, answerable.read(fields["answer"])[0]
    return data, json.dumps(data.get(wire.BY_POSITION, data), ensure_ascii=False, default=str)


def check_answer(fields: dict[str, object]) -> None:
    """Have the host check the fields. Raises BadAnswer, which says why it refused them."""
    problem = ask(wire.CHECK_ANSWER, value=fields)
    if problem is not None:
        raise BadAnswer(problem)
