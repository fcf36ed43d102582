"""The limits that endpoints name when they refuse a request for its length, in each one's own sentence."""

from typing import Any

import pytest

from divebell.models.endpoints.limits import MAX_SENTENCE_CHARACTERS, NamedLimit, named_limit

CONTEXT = [
    (
        "OpenAI",
        "This model's maximum context length is 8192 tokens. However, you requested 16884 tokens (500 in the messages, "
        "16384 in the completion). Please reduce the length of the messages or completion.",
        8192, 16884,
    ),
    (
        "OpenAI, the prompt alone",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
        "Please reduce the length of the messages.",
        8192, 9001,
    ),
    (
        "OpenAI, of a reasoning model",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
        272000, 300000,
    ),
    ("OpenAI, without a number", "Your input exceeds the context window of this model. Please adjust your input.", None, None),
    (
        "OpenAI, more than a minute's tokens",
        "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 45000. "
        "The input or output tokens must be reduced in order to run successfully.",
        30000, 45000,
    ),
    (
        "Groq, more than a minute's tokens",
        "Request too large for model `llama-3.1-8b-instant` in organization `org_1` service tier `on_demand` on tokens "
        "per minute (TPM): Limit 6000, Requested 7120, please reduce your message size and try again.",
        6000, 7120,
    ),
    ("Groq", "Please reduce the length of the messages or completion.", None, None),
    (
        "Azure",
        "This model's maximum context length is 128000 tokens. However, you requested 140000 tokens (123616 in the "
        "messages, 16384 in the completion). Please reduce the length of the messages or completion.",
        128000, 140000,
    ),
    (
        "vLLM",
        "This model's maximum context length is 8192 tokens. However, you requested 16384 output tokens and your prompt "
        "contains at least 628 input tokens, for a total of at least 17012 tokens.",
        8192, 16384,
    ),
    (
        "vLLM, of the limit",
        "'max_tokens' or 'max_completion_tokens' is too large: 2000. This model's maximum context length is 4096 tokens "
        "and your request has 2104 input tokens (2000 > 4096 - 2104).",
        4096, 4104,
    ),
    ("vLLM, of the prompt", "The decoder prompt (length 9000) is longer than the maximum model length of 8192.", 8192, 9000),
    ("SGLang", "The input (9000 tokens) is longer than the model's context length (8192 tokens).", 8192, 9000),
    (
        "SGLang, of both",
        "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 9000 "
        "tokens: 5000 tokens from the input messages and 4000 tokens for the completion.",
        8192, 9000,
    ),
    ("llama.cpp", "request (13392 tokens) exceeds the available context size (8192 tokens), try increasing it", 8192, 13392),
    ("llama.cpp, older", "the request exceeds the available context size, try increasing it", None, None),
    ("LM Studio", "The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 5000>= n_ctx: 4096)", 4096, 5000),
    (
        "LM Studio, another",
        "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context "
        "length of only 4096 tokens, which is not enough.",
        4096, None,
    ),
    ("Ollama", "the input length exceeds the context length", None, None),
    ("Together", "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`", 8193, 9512),
    ("TGI", "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000", 4096, 5000),
    (
        "OpenRouter",
        "This endpoint's maximum context length is 1048576 tokens. However, you requested about 1293741 tokens (1227853 "
        "of text input, 353 of tool input, 65535 in the output).",
        1048576, 1293741,
    ),
    ("Fireworks", "The prompt is too long: 10000, model maximum context length: 8192", 8192, None),
    ("Anthropic", "prompt is too long: 213462 tokens > 200000 maximum", 200000, 213462),
    (
        "Anthropic, of both",
        "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens`",
        200000, 209573,
    ),
    ("Gemini", "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).", 1048576, 1200293),
    ("Vertex", "The input token count is 36000 but model only supports up to 32768.", 32768, 36000),
    ("xAI", "This model's maximum prompt length is 131072 but the request contains 537812 tokens.", 131072, 537812),
    ("Mistral", "Prompt contains 40001 tokens and 0 draft tokens, too large for model with 32768 maximum context length", 32768, 40001),
    ("Cerebras", "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192", 8192, 9000),
    ("Copilot", "prompt token count of 140000 exceeds the limit of 128000", 128000, 140000),
    ("Moonshot", "Invalid request: Your request exceeded model token limit: 131072 (requested: 140000)", 131072, 140000),
    ("DeepSeek", "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens", 65536, 70000),
    ("DashScope", "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]", 30720, None),
    ("Cohere", "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.", 4081, 5000),
    ("Bedrock", "Input is too long for requested model.", None, None),
    ("MiniMax", "invalid params, context window exceeds limit (2013)", None, None),
    ("LiteLLM", "litellm.ContextWindowExceededError: too much", None, None),
    ("with thousands marked", "This model's maximum context length is 128,000 tokens.", 128000, None),
]  # fmt: skip

OUTPUT = [
    ("OpenAI", "max_tokens is too large: 16384. This model supports at most 4096 completion tokens, whereas you provided 16384.", 4096),
    ("OpenAI, of the Responses API", "Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 32768, but got 65536 instead.", 32768),
    ("Anthropic", "max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens for claude-opus-4-1-20250805", 32000),
    ("DeepSeek", "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
    ("DashScope", "Range of max_tokens should be [1, 8192]", 8192),
    ("Groq", "`max_completion_tokens` must be less than or equal to `8192`, the maximum value for `max_completion_tokens`", 8192),
    ("Vertex", "it has a maxOutputTokens value of 16384 but the supported range is from 1 (inclusive) to 8193 (exclusive).", 8192),
    ("Bedrock", "The maximum tokens you requested exceeds the model limit of 4096. Try again with a lower value.", 4096),
    ("Cohere", "invalid request: max tokens must be less than or equal to 4096", 4096),
    ("without a number", "max_tokens is too large for this model", None),
]  # fmt: skip

OTHERS = [
    "",
    "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000.",
    "Invalid 'user': string too long. Expected a string with maximum length 64, but got a string with length 65 instead.",
    "`max_tokens` must be greater than `thinking.budget_tokens`",
    "max_tokens must be at least 16",
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "limit", "asked"), [row[1:] for row in CONTEXT], ids=[row[0] for row in CONTEXT])
def test_the_window_that_an_endpoint_names(sentence: str, limit: int | None, asked: int | None) -> None:
    found = named_limit(sentence)
    assert found is not None
    assert (found.kind, found.limit_tokens, found.asked_tokens) == ("context", limit, asked)


def test_a_window_of_the_input_alone_is_told_from_one_that_the_output_shares() -> None:
    rows = {name: named_limit(sentence) for name, sentence, *_ in CONTEXT}
    alone = {name for name, found in rows.items() if found is not None and not found.counts_output}
    assert alone == {"Gemini", "Vertex", "OpenAI, of a reasoning model", "DashScope"}


@pytest.mark.parametrize(("sentence", "limit"), [row[1:] for row in OUTPUT], ids=[row[0] for row in OUTPUT])
def test_the_output_limit_that_an_endpoint_names(sentence: str, limit: int | None) -> None:
    found = named_limit(sentence)
    assert found is not None
    assert (found.kind, found.limit_tokens) == ("output", limit)


@pytest.mark.parametrize("sentence", OTHERS)
def test_what_is_no_refusal_for_length(sentence: str) -> None:
    assert named_limit(sentence) is None


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"n_ctx": 8192, "n_prompt_tokens": 13392}, NamedLimit("context", 8192, 13392)),
        ({"n_ctx": 8192, "n_prompt_tokens": "many"}, NamedLimit("context", 8192)),
        ({"n_ctx": 0}, None),
        ({"n_ctx": True}, None),
        ({"n_ctx": 10**30}, None),
    ],
)
def test_llama_cpps_fields(fields: dict[str, Any], found: NamedLimit | None) -> None:
    assert named_limit("no", fields) == found


@pytest.mark.parametrize("number", ["0", "99999999999999", "9" * 400])
def test_a_number_that_can_be_no_limit_is_none(number: str) -> None:
    found = named_limit(f"This model's maximum context length is {number} tokens.")
    assert found is not None
    assert found.limit_tokens is None


def test_a_long_text_is_read_up_to_a_bound() -> None:
    for unit in ("1", "maximum context length is ", "request too large for ", "`inputs` tokens + ", "(1 tokens) "):
        named_limit(unit * 1_000_000)
    assert named_limit(" " * MAX_SENTENCE_CHARACTERS + "maximum context length is 8192 tokens") is None
