"""The texts that the engine sends to models: one file each, beside this one, with `$name` for what is filled in.

A changed file changes what models read; `divebell prompts` prints the result. When each is sent:

- `system`, or `system_small` for weak models: the first message of a run, with these parts in it:
  `look_str`, `look_bytes`, `look_list`, `look_dict` (first code, by the context's type); `preview`, where there is one;
  `child`, if the run is one; `children`, or `no_children` at the depth limit; `models` and `tools`, where there are
  some; `answer_text` and `finish_text`, or with an output schema `answer_schema` and `finish_schema`.
  `instructions` ends it, where the application gave some.
- `question`: the second message; with `long_question` in it, where code asked a child more than fits into a message.
- `continue`: after each turn, with what its code printed.
- `no_code`, `failed_code`, `no_variable`, `bad_expression`, `bad_answer`, `invented_output`: in place of that or after
  it, where a reply had nothing to run, or an answer that did not count.
- `note_cut`, `note_only_thoughts`, `note_withheld`, `note_in_thought`, `note_answer_before_code`,
  `note_answer_in_words`, `note_other_form`, `note_call_not_run`, `note_too_many_blocks`, `note_unmarked_block`,
  `note_other_language`, `note_made_up_turn`, `note_empty`: after those or in place of `no_code`, where something in a
  reply was not taken as it stands (replies/notes.py).
- `exhausted` (no turns left) or `landing` (a budget used up), with `last_text` or `last_schema` in it: the last one;
  `last_cut` at its end, where the reply to it was cut off, and is asked for again.
- `compacted`: in place of old turns, at the end of the question, where the history outgrew the model's window
  (history.py).
- `reply_schema`: after the prompt of `llm_query(prompt, schema=...)`; `bad_reply`, where the reply does not fit.

What is filled in may be hostile (a preview, the text of an error): it is not searched for `$name`. Everything but the
question, the observation and the application's own texts is short.
"""

from divebell.prompts.system import PromptFacts, ToolFacts, budget_line, opening_messages, system_prompt
from divebell.prompts.templates import render
from divebell.prompts.turn_messages import TurnMessages, bad_reply, long_question, output_limit, reply_schema

__all__ = [
    "PromptFacts",
    "ToolFacts",
    "TurnMessages",
    "bad_reply",
    "budget_line",
    "long_question",
    "opening_messages",
    "output_limit",
    "render",
    "reply_schema",
    "system_prompt",
]
