"""The messages after the first: what a model sees of its turn, and of an answer that did not count."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from divebell.prompts.system import submit_call
from divebell.prompts.templates import render
from divebell.replies.notes import Note
from divebell.text import flatten

MAX_SHOWN_CHARACTERS = 300
MAX_NOTES = 5


class TurnMessages:
    """The messages of one run. `schema_text` and `schema_fields` are as in PromptFacts."""

    def __init__(self, *, schema_text: str | None = None, schema_fields: Sequence[str] = ()) -> None:
        self._schema_text = schema_text
        self._finish = "FINAL(...)" if schema_text is None else f"SUBMIT({submit_call(schema_fields)})"

    def question(self, query: str) -> str:
        """A further question, in a session."""
        return render("question", query=query)

    def following(self, observation: str, turn: int, turns: int) -> str:
        """After a turn, before turn number `turn` of `turns`."""
        return render("continue", observation=observation, turn=turn, turns=turns, finish=self._finish)

    def no_code(self) -> str:
        """The reply had neither code nor an answer."""
        alone = f"{self._finish} in code" if self._schema_text is not None else "FINAL(your answer) alone on a line"
        return render("no_code", finish=alone)

    def notes(
        self, notes: Sequence[Note], *, output_tokens: int | None = None, wanted_tokens: int | None = None
    ) -> str:
        """What a reply's notes say, a sentence or two each; empty if there are none. output_tokens: the output limit
        that the call had, for a reply that was cut; wanted_tokens: the one that it would have had with more money or a
        larger window."""
        limit = output_limit(output_tokens, wanted_tokens)
        return "\n".join(
            render(f"note_{note.template}", shown=_flatten_and_clip(note.quoted), limit=limit, finish=self._finish)
            for note in notes[:MAX_NOTES]
        )

    def failed_code(self) -> str:
        """The reply had an answer in its text, and its code failed."""
        return render("failed_code")

    def invented_output(self, claimed: str) -> str:
        """The reply states an output that its code did not print, and its answer rests on that."""
        return render("invented_output", claimed=_flatten_and_clip(claimed), finish=self._finish)

    def no_variable(self, reason: str) -> str:
        """FINAL_VAR named no variable. `reason` is the sandbox's sentence."""
        return render("no_variable", reason=reason)

    def bad_expression(self, source: str, error: str) -> str:
        """FINAL had Python in it that failed, and that cannot be meant as text."""
        return render("bad_expression", source=_flatten_and_clip(source), error=_flatten_and_clip(error))

    def bad_answer(self, errors: Sequence[str], repairs_left: int) -> str:
        """The answer does not fit the schema; `errors` are AnswerError's. `repairs_left` is 1 or more."""
        left = "once more" if repairs_left == 1 else f"{repairs_left} times more"
        lines = "\n".join(f"- {error}" for error in errors)
        return render(
            "bad_answer", errors=lines, repairs=f"Correct it, and finish with {self._finish}. You can try {left}."
        )

    def exhausted(self) -> str:
        """The last message of a run whose turns are over."""
        return render("exhausted", last=self._last())

    def landing(self, limit: str) -> str:
        """The last message of a run whose budget for `limit` (an argument of `Budget`) is used up."""
        return render("landing", limit=limit, last=self._last())

    def last_cut(self, output_tokens: int) -> str:
        """After the last message, where the reply to it was cut off at that output limit."""
        return render("last_cut", limit=output_limit(output_tokens))

    def _last(self) -> str:
        return render("last_text") if self._schema_text is None else render("last_schema", schema=self._schema_text)


def output_limit(output_tokens: int | None, wanted_tokens: int | None = None) -> str:
    """The words after "the output limit": how high it was, and whether it was lowered."""
    if output_tokens is None:
        return ""
    limit = f" of {output_tokens:,} tokens"
    if wanted_tokens is None or output_tokens >= wanted_tokens:
        return limit
    return f"{limit} (lowered from {wanted_tokens:,}, because the budget or the model has no room for more)"


def reply_schema(schema: Mapping[str, Any]) -> str:
    """The addition to the prompt of a sub-call whose reply must fit a JSON Schema (GuestSchema.json_schema)."""
    return render("reply_schema", schema=json.dumps(schema, ensure_ascii=False))


def long_question(excerpt: str, length: int) -> str:
    """A child's question that is too long for its messages: `excerpt` is its beginning and end."""
    return render("long_question", shown=excerpt, length=f"{length:,}")


def bad_reply(errors: Sequence[str]) -> str:
    """To a sub-model whose reply does not fit the schema; `errors` are AnswerError's."""
    return render("bad_reply", errors="\n".join(f"- {error}" for error in errors))


def _flatten_and_clip(text: str) -> str:
    line = flatten(text)  # not clip's: the mark stands beyond the bound here, and what models read stays as it is
    return line if len(line) <= MAX_SHOWN_CHARACTERS else f"{line[:MAX_SHOWN_CHARACTERS]}..."
