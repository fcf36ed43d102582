"""Reading a root model's reply: its code blocks, its answer if it gives one, and notes on what was not taken.

Pure functions, linear in the reply's length. They never raise: any text has a reading.

Code is the content of a fenced block marked `repl`, `python` or the like (languages.py); of tags, or of the call of a
tool that runs Python (marks.py, tool_calls.py); of the only block without a mark, if that is Python with the contract's
names; or the whole reply, if it has no block and is such Python. final_parser.py finds an answer in the reply's text.
Inside of code the same names are functions, and this module does not look at them, with one exception: a block of
nothing but `FINAL(...)` that is not Python is the answer.

What a model thinks aloud is neither code nor answer (thoughts.py). An answer that stands before code of the same reply
was given before its output was seen, and does not count.
"""

import ast
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from divebell.bounds import MAX_PARSED_REPLY_CHARACTERS
from divebell.replies import languages
from divebell.replies.channels import final_channel_text, restore_channel_tokens
from divebell.replies.final_parser import labelled_final, last_final, note_on_mention, only_final
from divebell.replies.meanings import Final
from divebell.replies.notes import Note
from divebell.replies.pieces import Block, Pieces, split_reply
from divebell.replies.python_text import compiles, parse_python
from divebell.replies.thoughts import mark_announced_thought, strip_leading_thought
from divebell.replies.tool_calls import (
    calls_in_data,
    calls_in_field,
    calls_in_python,
    code_of,
    data_in,
    find_react_call,
)
from divebell_bridge.door import contract

__all__ = ["Final", "Note", "Reply", "answers_in_code", "parse_reply", "strip_thinking"]

MAX_CODE_BLOCKS = 64

_CONTRACT_NAMES = contract.NAMES | {"print"}
_ANSWERS = re.compile(rf"\b(?:{'|'.join(sorted(contract.ANSWERING))})\s*\(")
_ASKS = re.compile(rf"\b(?:{'|'.join(sorted(contract.ASKING))})\s*\(")
_LABEL_LINE = re.compile(r"\s*+(?:%%)?(?:repl|python3?|py)[ \t]*+:?[ \t]*+\n", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """What a reply asks for: code to run, in order, and an answer.

    The answer counts only if all of the code runs without an error; the run checks that.

    notes: on what was seen and not taken as it stands, in the reply's order. TurnMessages.notes puts them into words
    for the model, after the output of its code, or in place of "no code" where there was neither code nor an answer.
    """

    code_blocks: tuple[str, ...]
    final: Final | None
    notes: tuple[Note, ...] = ()


def strip_thinking(text: str) -> str:
    """The reply without the thought at its beginning; of a reply in channels, only the final one."""
    return strip_leading_thought(final_channel_text(text))


def parse_reply(text: str, *, is_cut: bool = False, tool_calls: Sequence[Mapping[str, Any]] = ()) -> Reply:
    """A Reply for any text; never raises.

    is_cut: the output limit ended the reply, so its end is not reliable: an answer or a block that is not closed does
    not count. tool_calls: Completion.tool_calls, which the endpoint sent separately from the text.
    """
    text = text[:MAX_PARSED_REPLY_CHARACTERS].replace("\r\n", "\n")
    pieces = split_reply(mark_announced_thought(restore_channel_tokens(text)))
    return _Reading(pieces, is_cut=is_cut, tool_calls=tool_calls).reply()


def answers_in_code(code: str) -> bool:
    """Whether a block of code calls one of the functions that give the answer."""
    return _ANSWERS.search(code) is not None


def asks_in_code(code: str) -> bool:
    """Whether a block of code calls one of the functions that ask a model."""
    return _ASKS.search(code) is not None


class _Reading:
    """Reads one reply from its pieces. A place is a position in the prose."""

    def __init__(self, pieces: Pieces, *, is_cut: bool, tool_calls: Sequence[Mapping[str, Any]]) -> None:
        self._prose = pieces.prose
        self._scan = pieces.scan
        self._is_cut = is_cut
        self._tool_calls = tool_calls
        self._ends_in_thought = pieces.ends_in_thought
        self._seen_notes = pieces.notes
        self._notes: list[Note] = []
        self._all_blocks = pieces.blocks
        self._blocks = [block for block in pieces.blocks if self._is_whole(block)]
        self._finals: list[tuple[int, Final]] = []

    def _is_whole(self, block: Block) -> bool:
        """Whether the block is all there: in a cut reply, it must be closed, and not by a fence inside its code."""
        if not self._is_cut:
            return True
        is_last = block is self._all_blocks[-1]
        return block.is_closed and (not is_last or not languages.is_code(block.language) or compiles(block.code))

    def reply(self) -> Reply:
        code = self._code()
        final = self._final(code)
        if not code and final is None:
            self._note_why_nothing()
        notes = list(dict.fromkeys([*self._cut_notes(), *self._walk_notes(bool(code or final)), *self._notes]))
        return Reply(tuple(each.code for each in code[:MAX_CODE_BLOCKS]), final, tuple(notes))

    def _code(self) -> list[Block]:
        """The blocks to run. Answers that fill a block of their own are kept in `_finals`."""
        code: list[Block] = []
        for block in self._blocks:
            if languages.is_code(block.language):
                answer = None if block.form or compiles(block.code) else only_final(block.code)
                if answer is None:
                    code.append(block)
                else:
                    self._finals.append((block.place, answer))
        field_blocks = self._code_in_field([block.code for block in code])
        code = [*code, *field_blocks] or self._unmarked_code() or self._bare_code()
        forms = [block.form for block in code if block.form]
        if forms:
            self._notes.append(Note("other_form", forms[0]))
        if len(code) > MAX_CODE_BLOCKS:
            self._notes.append(Note("too_many_blocks", str(len(code) - MAX_CODE_BLOCKS)))
        return code

    def _code_in_field(self, codes_in_text: list[str]) -> list[Block]:
        """The code in the field `tool_calls`, except for code that the endpoint also left in the text."""
        blocks: list[Block] = []
        for call in calls_in_field(self._tool_calls):
            arguments = data_in(call.arguments) if isinstance(call.arguments, str) else call.arguments
            code = None if self._is_cut and arguments is None else code_of(call)
            if code is None:
                self._notes.append(Note("call_not_run", call.name))
            elif code not in codes_in_text:
                blocks.append(Block("repl", code, len(self._prose) + 1, form="the call of a tool"))
        return blocks

    def _unmarked_code(self) -> list[Block]:
        unmarked = [block for block in self._blocks if languages.may_be_code(block.language)]
        if len(unmarked) == 1 and _is_code(unmarked[0].code):
            return unmarked
        return []

    def _bare_code(self) -> list[Block]:
        """The whole reply, if it is code without a fence, or a tool's call as bare JSON."""
        if self._all_blocks or self._is_cut:
            return []
        label = _LABEL_LINE.match(self._prose)
        text = self._prose[label.end() if label else 0 :].strip("\n").removesuffix("\n```")
        text = languages.strip_prompts(textwrap.dedent(text))
        if _is_code(text, statements=True):
            return [Block("repl", text, 0)]
        call = find_react_call(self._prose)
        calls = calls_in_data(data_in(text)) or calls_in_python(text) or ([call] if call else [])
        codes = [(each, code_of(each)) for each in calls]
        self._notes += [Note("call_not_run", each.name) for each, code in codes if code is None]
        return [Block("repl", code, 0, form="the call of a tool") for _, code in codes if code is not None]

    def _final(self, code: list[Block]) -> Final | None:
        """The last answer, if no code follows it."""
        last = last_final(self._prose, self._scan, is_cut=self._is_cut) if not self._is_bare(code) else None
        if last is not None:
            self._finals.append((last.start, last.meaning))
        texts = [block for block in self._blocks if languages.is_text(block.language) and block not in code]
        answers = [(block.place, only_final(block.code)) for block in texts]
        self._finals += [(place, answer) for place, answer in answers if answer is not None]
        if not self._finals:
            labelled = None if self._is_cut else labelled_final(self._prose)
            if labelled is None or not code:
                return labelled
            self._notes.append(Note("answer_in_words", labelled.value))
            return None
        if any(not self._is_whole(block) for block in self._all_blocks):
            return None  # before code that was cut, or in it
        place, final = max(self._finals, key=lambda each: each[0])
        if place < max((block.place for block in code), default=-1):
            self._notes.append(Note("answer_before_code", final.value))
            return None
        return final

    def _is_bare(self, code: list[Block]) -> bool:
        return bool(code) and not self._all_blocks and not self._tool_calls

    def _cut_notes(self) -> list[Note]:
        if not self._is_cut:
            return []
        has_other = bool(self._prose.strip() or self._all_blocks) and not self._ends_in_thought
        return [Note("cut" if has_other else "only_thoughts")]

    def _walk_notes(self, is_taken: bool) -> list[Note]:
        """The notes from the walk. Models think of code and answers all the time, so a note on that is left out where
        there is code or an answer."""
        return [note for note in self._seen_notes if note.template != "in_thought" or not is_taken]

    def _note_why_nothing(self) -> None:
        """Note why a reply has neither code nor an answer."""
        others = [block.language for block in self._blocks if block.language not in languages.DATA]
        if any(languages.may_be_code(block.language) for block in self._blocks):
            self._notes.append(Note("unmarked_block"))
        elif others:
            self._notes.append(Note("other_language", others[0]))
        if not self._is_cut and (mention := note_on_mention(self._prose)) is not None:
            self._notes.append(mention)
        if not self._prose.strip() and not self._all_blocks and not self._seen_notes and not self._is_cut:
            self._notes.append(Note("empty"))


def _is_code(text: str, *, statements: bool = False) -> bool:
    """Whether a text without a mark is Python that uses the contract's names: models forget the mark, and the fence.

    With `statements` it must also do something: an answer alone is not code, nor is a sentence that happens to parse.
    """
    if not any(name in text for name in _CONTRACT_NAMES):
        return False
    tree = parse_python(textwrap.dedent(text))
    if tree is None:
        return False
    nodes = list(ast.walk(tree))
    if not any(isinstance(node, ast.Name) and node.id in _CONTRACT_NAMES for node in nodes):
        return False
    if statements:
        return any(isinstance(node, (ast.Assign, ast.AugAssign, ast.For)) or _calls_another(node) for node in nodes)
    return only_final(text) is None or _calls_with_a_name(tree)


def _calls_another(node: ast.AST) -> bool:
    """Whether it calls one of the contract's functions, other than to answer."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    return node.func.id in _CONTRACT_NAMES and node.func.id not in contract.ANSWERING


def _calls_with_a_name(tree: ast.Module) -> bool:
    """FINAL(total) in a block is a call with a variable; FINAL(42) is the answer itself."""
    value = tree.body[0].value if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
    return not isinstance(value, ast.Call) or any(
        isinstance(node, ast.Name) for part in (*value.args, *value.keywords) for node in ast.walk(part)
    )
