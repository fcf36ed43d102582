"""How a reply ended, from the stop reasons that providers give.

Pure. A word that is not known counts as a stop: most servers have words of their own for a stop, and few for a cut.
An adapter may pass on its endpoint's word as Completion.finish_reason: it is read here before anybody relies on it.

Sources of the words: https://platform.openai.com/docs/api-reference/chat/object (stop, length, content_filter,
tool_calls), https://docs.mistral.ai/api (model_length, error), https://ai.google.dev/api/generate-content#FinishReason
(MAX_TOKENS, SAFETY, RECITATION and the like, which gateways pass on), https://platform.claude.com/docs/en/api/messages
(max_tokens, model_context_window_exceeded, refusal), https://api-docs.deepseek.com/api/create-chat-completion
(insufficient_system_resource), https://openrouter.ai/docs/api/reference/overview (error, native_finish_reason),
https://docs.vllm.ai/en/latest/api/vllm/v1/request (abort), https://docs.z.ai/api-reference/llm/chat-completion
(sensitive, network_error).
"""

from divebell.models.protocol import CONTENT_FILTER, LENGTH, STOP

INTERRUPTED = "interrupted"
"""The endpoint failed in the middle of the reply. Not a word of Completion: such a reply is an error."""

_MEANINGS = {
    **dict.fromkeys(
        (
            *("length", "max_tokens", "max_output_tokens", "max_completion_tokens", "max_length", "model_length"),
            *("incomplete", "token_limit", "limit", "model_context_window_exceeded", "context_length_exceeded"),
            "length_limit",
        ),
        LENGTH,
    ),
    **dict.fromkeys(
        (
            *("content_filter", "content_filtered", "safety", "recitation", "prohibited_content", "blocklist", "spii"),
            *("sensitive", "guardrail_intervened", "image_safety", "refusal"),
        ),
        CONTENT_FILTER,
    ),
    **dict.fromkeys(
        (
            *("error", "abort", "aborted", "cancelled", "canceled", "network_error", "insufficient_system_resource"),
            *("timeout", "failed"),
        ),
        INTERRUPTED,
    ),
}
_MAX_WORD_CHARACTERS = 60


def ending_of(*words: object) -> str:
    """STOP, LENGTH, CONTENT_FILTER or INTERRUPTED: the worst that any of these words says. Words are read in any case,
    and with the prefix that some SDKs leave on them ("FinishReason.MAX_TOKENS")."""
    meanings = set(map(_meaning, words))
    for ending in (INTERRUPTED, LENGTH, CONTENT_FILTER):
        if ending in meanings:
            return ending
    return STOP


def _meaning(word: object) -> str:
    if not isinstance(word, str) or len(word) > _MAX_WORD_CHARACTERS:
        return STOP
    bare = word.strip().lower().rpartition(".")[2].removeprefix("finish_reason_").replace("-", "_").replace(" ", "_")
    return _MEANINGS.get(bare, STOP)
