"""Usage in the shape of every endpoint: each row is a reply as that endpoint writes it, with its source, and what it means."""

from typing import Any

import pytest

from divebell.models import Usage
from divebell.models.endpoints.endpoint import Endpoint
from divebell.models.openai.usage import CHAT_NAMES, MAX_COST_DOLLARS, RESPONSES_NAMES, usage_of

ELSEWHERE = Endpoint("m", "https://llm.example.org/v1", official=False)
GOOGLE = Endpoint("m", "https://generativelanguage.googleapis.com/v1beta/openai", official=False, hides_reasoning=True)

Row = tuple[str, str, dict[str, Any], Usage | None]
DOLLAR = 10**12

ROWS: list[Row] = [
    ("OpenAI, reasoning inside", "https://platform.openai.com/docs/api-reference/chat/object",
     {"usage": {"prompt_tokens": 19, "completion_tokens": 210, "total_tokens": 229,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 0, "accepted_prediction_tokens": 0,
                                              "rejected_prediction_tokens": 0}}, "service_tier": "default"},
     Usage(input_tokens=19, output_tokens=210)),
    ("xAI, reasoning beside", "https://docs.x.ai/docs/guides/reasoning",
     {"usage": {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135, "num_sources_used": 0,
                "prompt_tokens_details": {"text_tokens": 32, "audio_tokens": 0, "image_tokens": 0, "cached_tokens": 6},
                "completion_tokens_details": {"reasoning_tokens": 94, "audio_tokens": 0}}},
     Usage(input_tokens=32, output_tokens=103, cached_input_tokens=6)),
    ("xAI, with what it cost", "https://docs.x.ai/docs/models (cost_in_usd_ticks)",
     {"usage": {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 41, "cost_in_usd_ticks": 250_000_000}},
     Usage(input_tokens=32, output_tokens=9, reported_picodollars=DOLLAR // 40)),
    ("Gemini, reasoning beside", "https://ai.google.dev/gemini-api/docs/openai",
     {"usage": {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 419,
                "completion_tokens_details": {"reasoning_tokens": 400}}},
     Usage(input_tokens=7, output_tokens=412)),
    ("OpenRouter", "https://openrouter.ai/docs/guides/guides/usage-accounting",
     {"provider": "DeepInfra", "choices": [{"native_finish_reason": "stop"}],
      "usage": {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00095, "is_byok": False,
                "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 50, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
                "cost_details": {"upstream_inference_cost": None}}},
     Usage(input_tokens=194, output_tokens=2, cached_input_tokens=100, cache_write_tokens=50,
           reported_picodollars=950_000_000)),
    ("OpenRouter, with a key of the provider's", "https://openrouter.ai/docs/guides/overview/auth/byok",
     {"usage": {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196, "cost": 0.00005, "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.001}}},
     Usage(input_tokens=194, output_tokens=2, reported_picodollars=1_050_000_000)),
    ("DeepInfra", "https://deepinfra.com/docs/openai_api",
     {"usage": {"prompt_tokens": 15, "completion_tokens": 16, "total_tokens": 31, "estimated_cost": 0.0000268}},
     Usage(input_tokens=15, output_tokens=16, reported_picodollars=26_800_000)),
    ("xAI, with sources for which there is a fee", "https://docs.x.ai/docs/guides/live-search",
     {"usage": {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 41, "num_sources_used": 4}}, None),
    ("a gateway in front of Anthropic, with searches", "https://platform.claude.com/docs/en/about-claude/pricing",
     {"usage": {"prompt_tokens": 32, "completion_tokens": 9, "server_tool_use": {"web_search_requests": 2}}}, None),
    ("Perplexity, with searches in what it cost", "https://docs.perplexity.ai/getting-started/pricing",
     {"usage": {"prompt_tokens": 32, "completion_tokens": 9, "num_search_queries": 3, "cost": {"total_cost": 0.5}}},
     Usage(input_tokens=32, output_tokens=9, reported_picodollars=DOLLAR // 2)),
    ("a gateway that made no search", "https://platform.claude.com/docs/en/about-claude/pricing",
     {"usage": {"prompt_tokens": 32, "completion_tokens": 9, "server_tool_use": {"web_search_requests": 0}}},
     Usage(input_tokens=32, output_tokens=9)),
    ("vLLM", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server",
     {"service_tier": None, "usage": {"prompt_tokens": 22, "completion_tokens": 46, "total_tokens": 68,
                                      "prompt_tokens_details": None, "completion_tokens_details": None}},
     Usage(input_tokens=22, output_tokens=46)),
    ("vLLM, aborted", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server", {"usage": None}, None),
    ("llama.cpp", "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
     {"usage": {"prompt_tokens": 78, "completion_tokens": 33, "total_tokens": 111,
                "prompt_tokens_details": {"cached_tokens": 70}},
      "timings": {"cache_n": 70, "prompt_n": 8, "predicted_n": 33}},
     Usage(input_tokens=78, output_tokens=33, cached_input_tokens=70)),
    ("llama.cpp, with its own counts alone", "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
     {"tokens_evaluated": 78, "tokens_predicted": 33, "tokens_cached": 110},
     Usage(input_tokens=78, output_tokens=33)),
    ("Ollama", "https://docs.ollama.com/api/openai-compatibility",
     {"usage": {"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324}},
     Usage(input_tokens=26, output_tokens=298)),
    ("Ollama, whose cache had the prompt", "https://github.com/ollama/ollama/issues/2068",
     {"usage": {"prompt_tokens": 0, "completion_tokens": 298, "total_tokens": 298}}, None),
    ("Ollama, with its own counts alone", "https://docs.ollama.com/api/usage",
     {"prompt_eval_count": 26, "eval_count": 298}, Usage(input_tokens=26, output_tokens=298)),
    ("Azure", "https://learn.microsoft.com/azure/ai-foundry/openai/reference",
     {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
      "usage": {"prompt_tokens": 33, "completion_tokens": 557, "total_tokens": 590,
                "completion_tokens_details": {"reasoning_tokens": 500}, "prompt_tokens_details": {"cached_tokens": 0}}},
     Usage(input_tokens=33, output_tokens=557)),
    ("Bedrock", "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html",
     {"service_tier": "default", "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60}},
     Usage(input_tokens=20, output_tokens=40)),
    ("DeepSeek", "https://api-docs.deepseek.com/guides/kv_cache",
     {"usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36, "prompt_tokens_details": {"cached_tokens": 64},
                "completion_tokens_details": {"reasoning_tokens": 30}}},
     Usage(input_tokens=100, output_tokens=50, cached_input_tokens=64)),
    ("DeepSeek, whose hits and misses are not the prompt", "https://api-docs.deepseek.com/guides/kv_cache",
     {"usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 30}}, None),
    ("Mistral", "https://docs.mistral.ai/api",
     {"usage": {"prompt_tokens": 16, "completion_tokens": 34, "total_tokens": 50, "prompt_audio_seconds": {}}},
     Usage(input_tokens=16, output_tokens=34)),
    ("Groq", "https://console.groq.com/docs/api-reference",
     {"service_tier": "on_demand", "x_groq": {"id": "req_1"},
      "usage": {"queue_time": 0.037, "prompt_tokens": 18, "prompt_time": 0.0006, "completion_tokens": 556,
                "completion_time": 0.46, "total_tokens": 574, "total_time": 0.46,
                "completion_tokens_details": {"reasoning_tokens": 300}}},
     Usage(input_tokens=18, output_tokens=556)),
    ("Groq, with its own field alone", "https://console.groq.com/docs/api-reference",
     {"x_groq": {"usage": {"prompt_tokens": 18, "completion_tokens": 556, "total_tokens": 574}}},
     Usage(input_tokens=18, output_tokens=556)),
    ("Groq, in another tier", "https://console.groq.com/docs/service-tiers",
     {"service_tier": "performance", "usage": {"prompt_tokens": 18, "completion_tokens": 5, "total_tokens": 23}},
     Usage(input_tokens=18, output_tokens=5, service_tier="performance")),
    ("Together", "https://docs.together.ai/reference/chat-completions-1",
     {"prompt": [], "usage": {"prompt_tokens": 40, "completion_tokens": 50, "total_tokens": 90, "cached_tokens": 0}},
     Usage(input_tokens=40, output_tokens=50)),
    ("Fireworks", "https://docs.fireworks.ai/guides/prompt-caching",
     {"usage": {"prompt_tokens": 40, "total_tokens": 90, "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 32}}},
     Usage(input_tokens=40, output_tokens=50, cached_input_tokens=32)),
    ("Moonshot", "https://platform.moonshot.ai/docs/api/chat",
     {"usage": {"prompt_tokens": 19, "completion_tokens": 21, "total_tokens": 40, "cached_tokens": 10}},
     Usage(input_tokens=19, output_tokens=21, cached_input_tokens=10)),
    ("Anthropic's compatible endpoint", "https://platform.claude.com/docs/en/api/openai-sdk",
     {"usage": {"prompt_tokens": 19, "completion_tokens": 21, "total_tokens": 40, "prompt_tokens_details": None}},
     Usage(input_tokens=19, output_tokens=21)),
    ("LiteLLM in front of Anthropic", "https://docs.litellm.ai/docs/completion/prompt_caching",
     {"usage": {"prompt_tokens": 190, "completion_tokens": 21, "total_tokens": 211, "cache_creation_input_tokens": 50,
                "cache_read_input_tokens": 100, "prompt_tokens_details": {"cached_tokens": 100}}},
     Usage(input_tokens=190, output_tokens=21, cached_input_tokens=100, cache_write_tokens=50)),
    ("Perplexity", "https://docs.perplexity.ai/api-reference/chat-completions-post",
     {"usage": {"prompt_tokens": 8, "completion_tokens": 439, "total_tokens": 447, "search_context_size": "low",
                "cost": {"input_tokens_cost": 2.4e-05, "output_tokens_cost": 0.006585, "request_cost": 0.006,
                         "total_cost": 0.012609}}, "search_results": []},
     Usage(input_tokens=8, output_tokens=439, reported_picodollars=12_609_000_000)),
    ("Perplexity, with more reasoning than output", "https://docs.perplexity.ai/models/models/sonar-deep-research",
     {"usage": {"prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20016,
                "num_search_queries": 30, "reasoning_tokens": 95305}}, None),
    ("a total that is more than its parts", "", {"usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 50}}, None),
    ("a total that is less than its parts", "", {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 9}}, None),
    ("a total beside reasoning by one", "",
     {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 33,
                "completion_tokens_details": {"reasoning_tokens": 20}}}, None),
    ("a tier that is no text", "", {"service_tier": 7, "usage": {"prompt_tokens": 7, "completion_tokens": 5}},
     Usage(input_tokens=7, output_tokens=5, service_tier="unknown")),
    ("a tier inside of the usage", "https://platform.claude.com/docs/en/api/service-tiers",
     {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "service_tier": "priority"}},
     Usage(input_tokens=7, output_tokens=5, service_tier="priority")),
    *(
        (f"a cost of {cost!r}", "", {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "cost": cost}}, None)
        for cost in (-1, float("nan"), float("inf"), "1", True, MAX_COST_DOLLARS + 1, {"total_cost": -1}, 10**400)
    ),
    *(
        (f"ticks of {ticks!r}", "", {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "cost_in_usd_ticks": ticks}}, None)
        for ticks in (-1, 1.5, True, "1", 10**30)
    ),
    ("cached input of two sizes: the smaller counts", "",
     {"usage": {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 80,
                "prompt_tokens_details": {"cached_tokens": 40}}},
     Usage(input_tokens=100, output_tokens=5, cached_input_tokens=40)),
    ("cached input that is no number", "", {"usage": {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": "x"}}, None),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "meant"), [row[2:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_usage_as_endpoints_write_it(reply: dict[str, Any], meant: Usage | None) -> None:
    assert usage_of(reply, ELSEWHERE, CHAT_NAMES, has_text=True) == meant


def test_gemini_counts_reasoning_in_the_total_alone() -> None:
    reply = {"usage": {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 419}}
    assert usage_of(reply, GOOGLE, CHAT_NAMES, has_text=True) == Usage(input_tokens=7, output_tokens=412)
    wrong = {"usage": {"prompt_tokens": 7, "completion_tokens": 12, "total_tokens": 18}}
    assert usage_of(wrong, GOOGLE, CHAT_NAMES, has_text=True) is None


def test_the_responses_api_of_xai() -> None:
    reply = {
        "usage": {
            "input_tokens": 32, "output_tokens": 9, "total_tokens": 135, "num_sources_used": 0,
            "output_tokens_details": {"reasoning_tokens": 94}, "input_tokens_details": {"cached_tokens": 6},
        },
    }  # fmt: skip
    meant = Usage(input_tokens=32, output_tokens=103, cached_input_tokens=6)
    assert usage_of(reply, ELSEWHERE, RESPONSES_NAMES, has_text=True) == meant
