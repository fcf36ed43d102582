"""`Options`: those options of RLM that are numbers and words. Each is stated once, with its unit, its default and its
bounds.

RLM's constructor, the command line, the prompts, the journal's header and a replay all read this record. The
options that are objects (models, tools, a budget, an engine) are in wiring.py.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from divebell.bounds import MAX_OUTPUT_TOKENS
from divebell.errors import ConfigurationError
from divebell_bridge.money.dollars import quote

Prompt = Literal["standard", "small"]
OnExhausted = Literal["answer", "raise"]

MAX_SECONDS = 86_400
MAX_INSTRUCTIONS_CHARACTERS = 50_000
MAX_TEMPERATURE = 2.0
MAX_SEED_BITS = 128
_MOST, _STORED_AS = "most", "stored as"

RENAMED = {
    "concurrency": "max_concurrent_calls",
    "child_concurrency": "max_concurrent_children",
    "small": "prompt",
    "sub_characters": "max_sub_call_characters",
    "observation_characters": "max_shown_characters",
    "preview": "show_preview",
    "max_repairs": "max_answer_retries",
    "window_tokens": "context_window_tokens",
}
"""Options that had another name in version 0.1.0. Journals still store them by the old one."""
_RENAMED_IN_SENTENCES = re.compile(r"\b(max_repairs|window_tokens)\b|--window-tokens")


def _count_field(default: int, *, most: int, stored_as: str = "") -> Any:
    """A whole number from 1 on. stored_as: its name in a journal's header, if it is in there."""
    return field(default=default, metadata={_MOST: most, _STORED_AS: stored_as})


def _value_field(default: Any, *, stored_as: str) -> Any:
    return field(default=default, metadata={_STORED_AS: stored_as})


@dataclass(frozen=True, kw_only=True)
class Options:
    """How runs work; RLM documents each option. Raises ConfigurationError for a value that makes no sense by itself."""

    max_iterations: int = _count_field(20, most=10_000, stored_as="max_iterations")
    max_answer_retries: int = _count_field(3, most=100, stored_as="max_repairs")
    max_output_tokens: int = _count_field(16_384, most=MAX_OUTPUT_TOKENS)
    sub_max_output_tokens: int = _count_field(4_096, most=MAX_OUTPUT_TOKENS)
    max_shown_characters: int = _count_field(20_000, most=10_000_000, stored_as="observation_characters")
    max_sub_call_characters: int = _count_field(400_000, most=100_000_000, stored_as="sub_characters")
    context_window_tokens: int = _count_field(128_000, most=100_000_000, stored_as="window_tokens")
    show_preview: bool = _value_field(True, stored_as="preview")
    instructions: str | None = _value_field(None, stored_as="instructions")
    child_instructions: str | None = _value_field(None, stored_as="child_instructions")
    prompt: Prompt = "standard"
    temperature: float | None = None
    tool_seconds: float | None = _value_field(None, stored_as="tool_seconds")
    call_seconds: float = 600.0
    max_concurrent_calls: int = _count_field(16, most=10_000)
    max_concurrent_children: int = _count_field(4, most=1_000, stored_as="child_concurrency")
    seed: int | None = _value_field(None, stored_as="seed")
    on_exhausted: OnExhausted = field(default="answer", metadata={_STORED_AS: "on_exhausted"})

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ConfigurationError for the first value that makes no sense."""
        for option in fields(self):
            most = option.metadata.get(_MOST)
            value = getattr(self, option.name)
            if most is not None and (type(value) is not int or not 1 <= value <= most):
                raise ConfigurationError(f"{option.name} must be a whole number from 1 to {most:,}, not {quote(value)}")
        _check_choice("on_exhausted", self.on_exhausted, ("answer", "raise"))
        _check_choice("prompt", self.prompt, ("standard", "small"))
        if type(self.show_preview) is not bool:
            raise ConfigurationError(f"show_preview must be True or False, not {quote(self.show_preview)}")
        if self.tool_seconds is not None:
            _check_seconds("tool_seconds", self.tool_seconds, ", or None")
        _check_seconds("call_seconds", self.call_seconds)
        check_temperature(self.temperature)
        check_instructions("instructions", self.instructions)
        check_instructions("child_instructions", self.child_instructions)

    def instructions_at(self, depth: int) -> str | None:
        """What the application adds to the prompt of runs at this depth; 0 is the query's own run."""
        return self.child_instructions if depth else self.instructions

    def to_header(self) -> dict[str, Any]:
        """The options that a journal stores, by their stored names."""
        stored = {option.metadata.get(_STORED_AS): getattr(self, option.name) for option in fields(self)}
        return {name: value for name, value in stored.items() if name}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "Options":
        """The options that a journal stored; those that it does not store have their defaults.

        Raises ConfigurationError if a value is missing or makes no sense; its message is only the stored name.
        """
        values: dict[str, Any] = {}
        for option in fields(cls):
            name = option.metadata.get(_STORED_AS)
            if not name:
                continue
            value: Any = header.get(name)
            try:
                if value is None and name not in ("instructions", "child_instructions"):  # journals had none at first
                    raise ConfigurationError("missing")
                if name == "seed" and (type(value) is not int or abs(value) >= 1 << MAX_SEED_BITS):
                    raise ConfigurationError("out of range")
                cls(**dict[str, Any]({option.name: value}))
            except ConfigurationError:
                raise ConfigurationError(name) from None
            values[option.name] = value
        return cls(**values)


def explain_renamed(name: str, renamed: Mapping[str, str] = RENAMED) -> str | None:
    """What to write instead of an option's former name, as a sentence; None for a name that no option had."""
    if name not in renamed:
        return None
    if name == "small":
        return "the option small=True is now prompt='small'"
    return f"the option {name!r} is now called {renamed[name]!r}"


def refuse_unknown(function: str, names: Iterable[str], renamed: Mapping[str, str] = RENAMED) -> None:
    """Raise TypeError if a caller named options that `function` does not have."""
    for name in names:
        raise TypeError(f"{function}: {explain_renamed(name, renamed) or f'there is no option {name!r}'}")


def use_current_names(sentence: str) -> str:
    """An error's sentence from an older journal, with options by the names that they have now."""
    return _RENAMED_IN_SENTENCES.sub(
        lambda match: RENAMED[match[1]] if match[1] else "--context-window-tokens", sentence
    )


def check_instructions(name: str, instructions: object) -> None:
    """ConfigurationError if this is not a text that a prompt can contain."""
    if instructions is not None and not isinstance(instructions, str):
        raise ConfigurationError(f"{name} must be a text, or None, not {type(instructions).__name__}")
    if isinstance(instructions, str) and len(instructions) > MAX_INSTRUCTIONS_CHARACTERS:
        raise ConfigurationError(
            f"{name} has {len(instructions):,} characters, at most {MAX_INSTRUCTIONS_CHARACTERS:,} are allowed, as "
            "they are sent with every turn; give longer text as the context"
        )


def check_temperature(temperature: object) -> None:
    """ConfigurationError if this is not a temperature, nor None."""
    if temperature is not None and (
        isinstance(temperature, bool)
        or not isinstance(temperature, (int, float))
        or not 0 <= temperature <= MAX_TEMPERATURE
    ):
        raise ConfigurationError(f"a temperature is from 0 to {MAX_TEMPERATURE:g}, or None, not {temperature!r}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


def _check_seconds(name: str, seconds: object, or_none: str = "") -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= MAX_SECONDS:
        allowed = f"over 0 and up to {MAX_SECONDS:,}{or_none}"
        raise ConfigurationError(f"{name} must be a number {allowed}, not {quote(seconds)}")
