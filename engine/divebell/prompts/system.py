"""The first messages of a run: what its model has to know, and nothing more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from divebell.models.protocol import Message
from divebell.options import Options, Prompt
from divebell.prompts.templates import render
from divebell_bridge.money.amounts import Limit

MAX_PREVIEW_CHARACTERS = 2_000
MAX_TOOL_LINES = 40
MAX_TOOL_CHARACTERS = 200
MAX_MODELS = 20
MAX_FIELDS_IN_CALL = 8

_LOOKS = {"str": "look_str", "bytes": "look_bytes", "list": "look_list", "dict": "look_dict"}


@dataclass(frozen=True, kw_only=True)
class ToolFacts:
    """A tool of the application: `signature` as in `(name: str) -> dict`, `doc` in full."""

    name: str
    signature: str
    doc: str = ""


@dataclass(frozen=True, kw_only=True)
class PromptFacts:
    """What a run's first messages depend on.

    context_type: "str", "bytes", "list" or "dict". context_description: its size and shape in a line, without a stop.
    context_preview: its beginning, escaped (Context.preview); None to show nothing of it.
    context_notes: sentences about it for the model.
    schema_text, schema_fields: AnswerSchema.describe() and .field_names; None if any text is an answer.
    can_have_children: whether rlm_query has another level. depth: 0 for the query's own run.
    budget_line: see `budget_line`; None if nothing is limited.
    models: the names that code may give as `model=`; more than one, or they are not mentioned.
    prompt: "small" has fewer words and a worked example, for weak models.
    options: the numbers that the prompt names, and what the application adds in its own words.
    """

    context_type: str
    context_description: str
    context_preview: str | None = None
    context_notes: Sequence[str] = ()
    tools: Sequence[ToolFacts] = ()
    schema_text: str | None = None
    schema_fields: Sequence[str] = ()
    can_have_children: bool = False
    depth: int = 0
    max_depth: int = 0
    options: Options = field(default_factory=Options)
    prompt: Prompt = "standard"
    cell_seconds: float = 10.0
    budget_line: str | None = None
    models: Sequence[str] = ()


def opening_messages(facts: PromptFacts, query: str) -> list[Message]:
    """The first turn's messages: system and user."""
    return [
        {"role": "system", "content": system_prompt(facts)},
        {"role": "user", "content": render("question", query=query)},
    ]


def system_prompt(facts: PromptFacts) -> str:
    """The first message of a run, before the question."""
    typed = facts.schema_text is not None
    call = submit_call(facts.schema_fields) if typed else ""
    example = f"SUBMIT({call})" if typed else "FINAL(', '.join(names))"
    parts = {
        "child": " " + render("child", depth=facts.depth, max_depth=facts.max_depth) if facts.depth else "",
        "look": render(_LOOKS.get(facts.context_type, "look_str")),
        "context": ". ".join(part.rstrip(".") for part in (facts.context_description, *facts.context_notes)),
        "sub_characters": f"{facts.options.max_sub_call_characters:,}",
        "children": _render_children(facts),
        "models": _render_models(facts.models),
        "tools": _render_tools(facts.tools),
        "budget": f" {facts.budget_line}" if facts.budget_line else "",
        "answer": render("answer_schema", call=call, schema=_indent(facts.schema_text or ""))
        if typed
        else render("answer_text"),
        "finish": render("finish_schema", call=call) if typed else render("finish_text"),
        "preview": _render_preview(facts.context_preview),
        "observation_characters": f"{facts.options.max_shown_characters:,}",
    }
    if facts.prompt == "small":
        text = render("system_small", example=example, **parts)
    else:
        text = render("system", cell_seconds=f"{facts.cell_seconds:g}", **parts)
    # The application's words are last, and as they are: after all that a context may have said.
    instructions = (facts.options.instructions_at(facts.depth) or "").strip()
    return _remove_gaps(text) + ("\n\n" + render("instructions", instructions=instructions) if instructions else "")


def submit_call(fields: Sequence[str]) -> str:
    """What stands between SUBMIT's parentheses: `name=..., total=...`."""
    if not fields:
        return "value"
    listed = ", ".join(f"{field}=..." for field in fields[:MAX_FIELDS_IN_CALL] if field.isidentifier())
    return listed if listed and len(fields) <= MAX_FIELDS_IN_CALL else f"{listed}, ..." if listed else "**fields"


def budget_line(left: Mapping[str, object]) -> str | None:
    """What a run may spend, in a sentence; `left` is Meter.left(). None if nothing is limited."""
    limits = []
    for name in (*(limit.unit for limit in Limit), "seconds"):
        amount = left.get(name)
        if not isinstance(amount, (int, float)):
            continue
        if name == Limit.PICODOLLARS.unit:
            limits.append(f"${amount:.{2 if amount >= 0.1 else 4}f}")
        else:
            limits.append(f"{amount:,.0f} {name}")
    if not limits:
        return None
    return f"This run may spend {', '.join(limits)}: plan for it, and look at `budget()` before a large batch."


def _render_children(facts: PromptFacts) -> str:
    if facts.can_have_children:
        return render("children")
    return "" if facts.prompt == "small" else render("no_children")


def _render_models(names: Sequence[str]) -> str:
    if len(names) < 2:
        return ""
    listed = ", ".join(f'"{name}"' for name in names[:MAX_MODELS])
    return render("models", models=listed + (", ..." if len(names) > MAX_MODELS else ""))


def _render_tools(tools: Sequence[ToolFacts]) -> str:
    if not tools:
        return ""
    lines = [f"  - `{tool.name}{tool.signature}`{_first_doc_line(tool.doc)}" for tool in tools[:MAX_TOOL_LINES]]
    lines = [line if len(line) <= MAX_TOOL_CHARACTERS else f"{line[:MAX_TOOL_CHARACTERS]}..." for line in lines]
    more = [tool.name for tool in tools[MAX_TOOL_LINES:]]
    if more:
        lines.append(f"  - and {len(more)} more: {', '.join(more)}"[: 5 * MAX_TOOL_CHARACTERS])
    return render("tools", tools="\n".join(lines))


def _first_doc_line(doc: str) -> str:
    line = doc.strip().split("\n", 1)[0].strip()
    return f": {line}" if line else ""


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _render_preview(preview: str | None) -> str:
    """The preview with a mark before each line, so that no line can look like one of the prompt's or end a block."""
    if not preview:
        return ""
    cut = preview[:MAX_PREVIEW_CHARACTERS]
    lines = "\n".join(f"> {line}" for line in cut.splitlines())
    return "\n" + render("preview", preview=lines + ("..." if len(preview) > MAX_PREVIEW_CHARACTERS else ""))


def _remove_gaps(text: str) -> str:
    """The text without the empty lines that unused parts leave: inside a list none, elsewhere one at most."""
    kept_lines: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        following = next((later for later in lines[number + 1 :] if later), "")
        if line or (
            kept_lines
            and kept_lines[-1]
            and not (following.startswith("- ") and kept_lines[-1].startswith(("- ", "  ")))
        ):
            kept_lines.append(line)
    return "\n".join(kept_lines).strip()
