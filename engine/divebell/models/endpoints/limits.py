"""The limits that an endpoint names when it refuses a request for its length. Pure, and linear in the text's length.

Each pattern is one endpoint's sentence, in lower case; what is in the group `limit` is believed if it can be a limit.
Collected from: OpenAI, Azure (https://platform.openai.com/docs/guides/error-codes), vLLM
(https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/serving_engine.py), SGLang, llama.cpp
(https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md), LM Studio, Hugging Face's TGI, Together,
OpenRouter, Anthropic (https://platform.claude.com/docs/en/build-with-claude/context-windows), Gemini
(https://github.com/google-gemini/gemini-cli/issues/6678), xAI, Groq, Cerebras, Mistral, Moonshot, DeepSeek, DashScope,
Cohere, Bedrock, and the list of https://github.com/badlogic/pi-mono/blob/main/packages/ai/src/utils/overflow.ts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_LIMIT_TOKENS = 10**9
MAX_SENTENCE_CHARACTERS = 4_000  # of what is looked at; a sentence of this kind has a few hundred

_GAP = r"[^\d]{0,60}?"  # up to the next number
_FIELDS = "(?:max_tokens|max_completion_tokens|max_output_tokens|max_new_tokens|max tokens)[`']{0,2}"


def _number(name: str) -> str:
    return rf"[`'\"(\[]{{0,2}}(?P<{name}>\d[\d,_]{{0,14}})"


_LIMIT, _ASKED, _INPUT, _SENT = (_number(name) for name in ("limit", "asked", "input", "output"))

# Refusals of only the output limit.
_OUTPUT = [
    rf"supports at most {_LIMIT} (?:completion|output) tokens",
    rf"{_ASKED} ?> ?{_LIMIT},? which is the maximum allowed number of output tokens",
    rf"maximum (?:allowed )?(?:number of )?output tokens (?:is|of|allowed is):? {_LIMIT}",
    rf"{_FIELDS} (?:must|should) be (?:less than or equal to|at most|<=|no more than|lower than or equal to) {_LIMIT}",
    rf"range of `?{_FIELDS} (?:is|should be) \[ ?\d+ ?, ?{_LIMIT} ?\]",
    rf"{_FIELDS}:? integer above maximum value\. expected a value <= {_LIMIT}",
    rf"maximum tokens you requested exceeds the model limit of {_LIMIT}",
    rf"{_FIELDS} (?:value )?(?:of )?{_ASKED} exceeds (?:the )?(?:model'?s? )?(?:maximum|limit) (?:of )?{_LIMIT}",
]
_OUTPUT_EXCLUSIVE = [rf"supported range is from 1 \(inclusive\) to {_LIMIT} \(exclusive\)"]

# Refusals of the prompt, or of the prompt and the output together.
_CONTEXT = [
    rf"maximum context length is {_LIMIT} tokens and your request has {_INPUT} input tokens? \({_SENT} >",
    rf"`?inputs`? tokens \+ `?max_new_tokens`? must be <= {_LIMIT}"
    rf"(?:\. given: {_INPUT} `?inputs`? tokens and {_SENT})?",
    rf"exceed context limit: {_INPUT} \+ {_SENT} > {_LIMIT}",
    rf"maximum context (?:length|limit|window) (?:is|of):? {_LIMIT}"
    rf"(?:{_GAP}(?:requested|resulted in|contains?|has|total of)(?: about| a total of)? {_ASKED})?",
    rf"\(length {_ASKED}\) is longer than the maximum model length of {_LIMIT}",
    rf"maximum (?:prompt|input|model|sequence) length (?:is|of):? {_LIMIT}(?:{_GAP}contains {_ASKED})?",
    rf"model maximum context length: {_LIMIT}",
    rf"prompt is too long: {_ASKED} tokens > {_LIMIT}",
    rf"token count \({_ASKED}\) exceeds the maximum number of tokens allowed \({_LIMIT}",
    rf"token count is {_ASKED} but (?:the )?model only supports up to {_LIMIT}",
    rf"token count of {_ASKED} exceeds the limit of {_LIMIT}",
    rf"prompt contains {_ASKED} tokens(?: and \d+ draft tokens)?,? too large for model with {_LIMIT} maximum context",
    rf"too large for model with maximum context length(?: of)? {_LIMIT}",
    rf"\({_ASKED} tokens\) exceeds the available context size(?: \({_LIMIT} tokens\))?",
    rf"\({_ASKED} tokens\) is longer than the model'?s? context length \({_LIMIT}",
    rf"exceed the configured limit of {_LIMIT}(?: tokens)?(?:{_GAP}resulted in {_ASKED})?",
    rf"current length is {_ASKED} while limit is {_LIMIT}",
    rf"exceeded model token limit: {_LIMIT}(?: \(requested: {_ASKED})?",
    rf"n_keep ?:? ?\(?{_ASKED}\)? ?>= ?n_ctx:? ?{_LIMIT}",
    rf"loaded with context length of only {_LIMIT}",
    rf"`?inputs`? must have less than {_LIMIT} tokens(?:\. given: {_ASKED})?",
    rf"range of input length should be \[ ?\d+ ?, ?{_LIMIT} ?\]",
    rf"tokens in the prompt cannot exceed {_LIMIT}(?: - received {_ASKED})?",
    rf"request too large for .{{0,200}}?tokens per min(?:ute)?[^:]{{0,20}}: limit:? {_LIMIT}, requested:? {_ASKED}",
    rf"input length {_ASKED} exceeds the maximum length {_LIMIT}",
]
# Windows for the input only, because the output has a limit of its own.
_INPUT_ALONE = (
    "maximum number of tokens allowed",
    "model only supports up to",
    "exceed the configured limit",
    "range of input",
)
# Without a number, or with one that no pattern above finds.
_CONTEXT_WORDS = (
    "context_length_exceeded", "exceed_context_size_error", "maximum context length", "context length exceeded",
    "exceeds the context window", "exceeds the available context size", "prompt is too long", "prompt too long",
    "input is too long", "maximum prompt length", "maximum input length", "greater than the context length",
    "longer than the model's context length", "longer than the maximum model length", "context window exceeds limit",
    "exceeded model token limit", "exceeds the maximum number of tokens allowed", "exceeds the context length",
    "exceed context limit", "prompt exceeds max length", "request too large for", "reduce the length of the messages",
    "exceed the configured limit", "contextwindowexceedederror", "larger than the context window",
    "exceeds the model's context", "exceeds the maximum context",
)  # fmt: skip
_OUTPUT_WORDS = (
    "max_tokens is too large",
    "max_completion_tokens is too large",
    "maximum allowed number of output tokens",
)


@dataclass(frozen=True)
class NamedLimit:
    """That a request was refused for its length, and what the endpoint said of it.

    limit_tokens: the window for kind "context", the highest output limit for kind "output"; None if it named none.
    asked_tokens: how many the request had, as the endpoint counted them. counts_output: whether the window is for input
    and output together; else for the input alone.
    """

    kind: Literal["context", "output"]
    limit_tokens: int | None = None
    asked_tokens: int | None = None
    counts_output: bool = True


def named_limit(text: str, body: Mapping[str, Any] | None = None) -> NamedLimit | None:
    """The limit that was exceeded, None if the refusal is for something else. body: the error's fields, of which
    llama.cpp's `n_ctx` and `n_prompt_tokens` are read."""
    fields = body or {}
    if (window := _limit(fields.get("n_ctx"))) is not None:
        return NamedLimit("context", window, _limit(fields.get("n_prompt_tokens")))
    sentence = " ".join(text[:MAX_SENTENCE_CHARACTERS].lower().split())
    for match in (pattern.search(sentence) for pattern in _CONTEXT_PATTERNS):
        if match is not None:
            alone = any(words in match.group() for words in _INPUT_ALONE)
            return NamedLimit("context", _group(match, "limit"), _asked_tokens(match), not alone)
    for pattern, excess in _OUTPUT_PATTERNS:
        match = pattern.search(sentence)
        if match is not None:
            limit = _group(match, "limit")
            lowered = None if limit is None or limit <= excess else limit - excess
            return NamedLimit("output", lowered, _asked_tokens(match))
    if any(words in sentence for words in _CONTEXT_WORDS):
        return NamedLimit("context")
    return NamedLimit("output") if any(words in sentence for words in _OUTPUT_WORDS) else None


def _asked_tokens(match: re.Match[str]) -> int | None:
    parts = [_group(match, "input"), _group(match, "output")]
    sums = [part for part in parts if part is not None]
    return sum(sums) if sums else _group(match, "asked")


def _group(match: re.Match[str], name: str) -> int | None:
    text = match.groupdict().get(name)
    return None if text is None else _limit(int(text.replace(",", "").replace("_", "")))


def _limit(value: object) -> int | None:
    return value if type(value) is int and 1 <= value <= MAX_LIMIT_TOKENS else None


_CONTEXT_PATTERNS = [re.compile(pattern, re.ASCII) for pattern in _CONTEXT]
_OUTPUT_PATTERNS = [
    *((re.compile(pattern, re.ASCII), 0) for pattern in _OUTPUT),
    *((re.compile(pattern, re.ASCII), 1) for pattern in _OUTPUT_EXCLUSIVE),
]
