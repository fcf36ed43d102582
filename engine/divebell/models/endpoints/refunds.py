"""Which refusals certainly came before the model ran, so that the call cost nothing. A closed list: everything else
may have been billed, and costs its hold. So does a refusal on the list, where anything else in it says that the model
ran (signs_of_run.py). Pure.

Why so strict: endpoints answer 400 after the model has generated, too, and bill for it.
- OpenAI: "Could not finish the message because max_tokens or model output limit was reached" (a reasoning model used
  its limit up); `invalid_prompt` and other flags of its policies, for which a model read the prompt.
- Groq: `json_validate_failed` and `tool_use_failed`, with what was generated in `failed_generation`
  (https://console.groq.com/docs/errors and .../docs/tool-use).
- Azure bills a 400 of a content filter or an input limit (https://learn.microsoft.com/azure/ai-foundry/openai/how-to/
  manage-costs, "you may be charged for"), so there only a field that is not known gives the money back.
- xAI takes a fee for what its guidelines forbid (https://docs.x.ai/docs/models, "Usage guidelines violation fee").

The sources of what is on the list are with each part of it.
"""

import re

from divebell.models.endpoints.error_body import ErrorBody
from divebell.models.endpoints.limits import MAX_SENTENCE_CHARACTERS, named_limit

# Refused by whoever takes requests in, before they are read for a model: RFC 9110, sections 15.4 and 15.5, and for 402,
# 404 and 429 https://platform.openai.com/docs/guides/error-codes, https://api-docs.deepseek.com/quick_start/error_codes,
# https://openrouter.ai/docs/api/reference/errors-and-debugging.
_NEVER_RAN_STATUSES = frozenset({401, 402, 404, 405, 407, 411, 413, 414, 415, 421, 426, 429, 431})
# The request is to be sent to another address (RFC 9110, section 15.4). Not 303, which is about what it has led to.
_ELSEWHERE_STATUSES = frozenset({301, 302, 307, 308})
# Statuses for what is wrong with a request or its sender. Before the model ran, if the body says so.
_TELLING_STATUSES = frozenset({400, 403, 422})

# The request has another form than the API's: https://platform.openai.com/docs/guides/error-codes and the codes that
# its API gives with "invalid_request_error"; https://docs.pydantic.dev/latest/errors/validation_errors (FastAPI, 422).
_MALFORMED_CODES = frozenset(
    {
        *("unsupported_parameter", "unknown_parameter", "unsupported_value", "missing_required_parameter"),
        *("invalid_type", "invalid_value", "integer_above_max_value", "integer_below_min_value"),
        *("decimal_above_max_value", "decimal_below_min_value", "array_above_max_length", "array_below_min_length"),
        *("string_above_max_length", "string_below_min_length", "invalid_json_schema", "invalid_json"),
        *("json_invalid", "extra_forbidden", "missing", "greater_than", "greater_than_equal", "less_than"),
        *("less_than_equal", "literal_error", "string_type", "int_type", "int_parsing", "list_type", "dict_type"),
        *("unsupported_response_format", "unsupported_model", "unsupported_country_region_territory"),
        *("invalid_image", "invalid_image_format", "invalid_image_url", "image_parse_error", "invalid_base64_image"),
        *("image_too_large", "image_too_small", "unsupported_image_media_type", "empty_image_file"),
    }
)
# The sender or the model is not known or not allowed, or there is no money: the same sources, and
# https://platform.claude.com/docs/en/api/errors, https://console.groq.com/docs/errors,
# https://learn.microsoft.com/azure/ai-foundry/openai/reference.
_NOT_ALLOWED_CODES = frozenset(
    {
        *("invalid_api_key", "authentication_error", "permission_error", "permission_denied", "access_denied"),
        *("insufficient_permissions", "not_found_error", "model_not_found", "deploymentnotfound"),
        *("model_decommissioned", "model_terms_required", "model_not_available", "model_permission_blocked_org"),
        *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error"),
        *(
            "account_deactivated",
            "rate_limit_exceeded",
            "rate_limit_error",
            "unauthenticated",
            "unsupported_api_version",
        ),
    }
)
# The prompt does not fit: counted before it is given to the model. OpenAI and those like it; llama.cpp
# (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md); Anthropic. Azure bills these.
_TOO_LONG_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "request_too_large"})
# Gemini bills no 400 at all (https://ai.google.dev/gemini-api/docs/billing, "failed requests"), and says so with gRPC's
# words (https://google.aip.dev/193).
_GEMINI_CODES = frozenset({"invalid_argument", "failed_precondition"})

# Without a code: the sentence must name a field of the request, or a role, and say that it is not taken.
_FIELD = (
    r"(?:\b(?:max_completion_tokens|max_tokens|max_output_tokens|temperature|response_format|json_schema|json_object"
    r"|service_tier|prompt_cache_key|safety_identifier|reasoning_effort|top_p|text\.format|image_url|image input"
    r"|json mode|structured outputs?|(?:system|developer) (?:role|messages?|prompts?|instructions?)"
    r"|roles?:? [`'\"]?(?:system|developer))\b"
    r"|[`'\"](?:n|store|seed|stream|system|developer|detail|strict)[`'\"]"
    r"|\bparam(?:eter)?s?:? [`'\"]?(?:n|store|seed|stream|user)\b|\bargument supplied: \w{1,40})"
)
_NOT_TAKEN = (
    r"(?:unsupported|not supported|unknown|unrecogni[sz]ed|unexpected|extra (?:inputs|fields)|not permitted|not allowed"
    r"|not enabled|does not support|doesn't support|cannot find field|is deprecated for this model"
    r"|additional properties|invalid schema|only the default|type is unavailable"
    r"|only [\w.]{1,10} is (?:allowed|supported)|may only be set)"
)
# Any other field, where that is how the sentence begins: further on it may be a field of what the model wrote.
_OF_REQUEST = r"\A\W*(?:unsupported|unknown|unrecogni[sz]ed|unexpected) (?:request )?(?:param(?:eter)?s?|fields?)\b"
# The chat templates of Gemma and Mistral, before the model is given anything.
_ROLES_IN_TURNS = r"\bconversation roles must alternate\b"
_NOT_TAKEN_FIELD = re.compile(
    rf"{_FIELD}.{{0,80}}?{_NOT_TAKEN}|{_NOT_TAKEN}.{{0,80}}?{_FIELD}|{_OF_REQUEST}|{_ROLES_IN_TURNS}", re.DOTALL
)


def surely_never_ran(status: int, body: ErrorBody, *, bills_refusals: bool = False) -> bool:
    """Whether the endpoint refused the request before a model ran for it. bills_refusals: whether it may bill a 400 of
    the prompt's own making, as Azure does."""
    if status in _ELSEWHERE_STATUSES:
        return True
    if body.says_that_it_ran:
        return False
    if status in _NEVER_RAN_STATUSES:
        return True
    if status not in _TELLING_STATUSES or not body.is_whole:
        return False
    if body.codes & (_MALFORMED_CODES | _NOT_ALLOWED_CODES) or is_malformed(status, body):
        return True
    if bills_refusals:
        return False
    return bool(body.codes & (_TOO_LONG_CODES | _GEMINI_CODES)) or named_limit(body.sentence) is not None


def is_malformed(status: int, body: ErrorBody) -> bool:
    """Whether the endpoint refused the request because it does not take a field, a value or a role of it."""
    if status not in _TELLING_STATUSES or not body.is_whole or body.says_that_it_ran:
        return False
    if body.codes & _MALFORMED_CODES:
        return True
    words = _words_of(body)[:MAX_SENTENCE_CHARACTERS]
    return _NOT_TAKEN_FIELD.search(words) is not None


def _words_of(body: ErrorBody) -> str:
    """What it says, and of which field."""
    fields = [str(layer.get("param") or layer.get("loc") or "") for layer in body.layers]
    return " ".join([body.sentence, *fields]).lower()
