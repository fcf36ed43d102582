"""`divebell prompts`: the first messages of a run, from the functions that the loop itself uses."""

import re
import sys
from pathlib import Path

from divebell.cli.exits import USAGE, Exit
from divebell.cli.inputs import read_context, read_schema
from divebell.context import Context
from divebell.models.protocol import texts_of
from divebell.options import Options, Prompt, check_instructions
from divebell.prompts import PromptFacts, ToolFacts, opening_messages
from divebell.run.question import check_query
from divebell.text import replace_controls

_TOOL = re.compile(r"([A-Za-z_]\w*)(\([^()]*\)(?: *-> *[^:]+)?)(?:: *(.*))?")


def parse_tool(text: str) -> ToolFacts:
    """`lookup(name: str) -> dict: Look a customer up.`"""
    parts = _TOOL.fullmatch(text.strip())
    if parts is None:
        raise Exit(USAGE, f"--tool must look like 'lookup(name: str) -> dict: Look a customer up.', not {text!r}")
    return ToolFacts(name=parts[1], signature=parts[2].strip(), doc=parts[3] or "")


def print_prompts(
    question: str,
    paths: list[Path],
    *,
    depth: int,
    max_depth: int,
    tools: list[str],
    schema: Path | None,
    prompt: Prompt,
    show_preview: bool,
    instructions: str | None = None,
) -> None:
    """Print the first messages, each after a line with its role."""
    if depth > max_depth:
        raise Exit(USAGE, f"--depth {depth} is deeper than --max-depth {max_depth}")
    if depth and schema is not None:
        raise Exit(USAGE, "--schema is for --depth 0: a child's answer is text, for the code that asked it")
    check_query(question)
    check_instructions("--instructions", instructions)
    context = Context.of(read_context(paths)) if paths else None
    typed = read_schema(schema) if schema is not None else None
    facts = PromptFacts(
        context_type="str" if context is None else context.type_name,
        context_description="a str of 1,000,000 characters" if context is None else context.describe(),
        context_preview=None if context is None or not show_preview else context.preview(),
        context_notes=() if context is None else context.notes,
        tools=[parse_tool(text) for text in tools],
        schema_text=None if typed is None else typed.describe(),
        schema_fields=() if typed is None else typed.field_names,
        can_have_children=depth < max_depth,
        depth=depth,
        max_depth=max_depth,
        prompt=prompt,
        options=Options(instructions=instructions, child_instructions=instructions),
    )
    for message in opening_messages(facts, question):
        text = f"=== {message['role']} ===\n" + "\n".join(texts_of(message))
        print(replace_controls(text) if sys.stdout.isatty() else text)
