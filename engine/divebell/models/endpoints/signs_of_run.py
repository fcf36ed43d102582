"""What in a refusal says that the model ran for it, or that one read the prompt, whatever else the refusal says. Pure.

A code or a sentence for a malformed request is no proof that nothing was generated: endpoints and gateways reuse them
for what a model wrote ("tool call validation failed: parameters for tool search did not match schema: [... not
allowed]", Groq's `tool_use_failed` behind a gateway that drops the code). So all of the body is looked at: its words
for machines, its sentences, and the names of its fields, wherever they are, but for the request that it quotes.
"""

import re
from collections.abc import Iterator

MAX_NODES = 5_000  # of a body; what has more is not believed to have cost nothing
MAX_DEPTH = 16
MAX_SENTENCE_CHARACTERS = 16_384
CODE_KEYS = frozenset({"code", "type", "status", "error_code", "reason", "error"})
SENTENCE_KEYS = frozenset({"message", "detail", "msg", "error", "error_message", "reason", "raw", ""})
_QUOTED_KEYS = frozenset({"input", "ctx", "request", "body"})
"""Under these FastAPI, and some gateways, say the request back."""

_PLACES_OF_A_REPLY = ("response", "output", "completion", "choices", "return")
"""Where FastAPI and pydantic find an error that is none of the request's."""

_CODES = re.compile(
    r"content_?filter|content_policy|policy_violation|responsibleaipolicy|invalid_prompt|cyber|safety(?!_identifier)"
    r"|moderation|flagged|json_validate_failed|tool_use_failed|output_parse_failed|generation|guardrail|sensitive"
)
_WORDS = re.compile(
    r"could not finish|could not complete|usage guidelines|guidelines|harmful|safety(?!_identifier)|\bpolicies\b"
    r"|(?<!data )\bpolicy\b|guardrail|moderat|flagged|blocked|violat"
    # What a model does, and in what state its work is.
    r"|failed_generation|failed to (?:generate|parse|produce)|\bgenerat(?:ed|ion|ing)\b|\bdecod(?:ed|ing)\b(?! base64)"
    r"|\b(?:produced|produces|emitted|emits|wrote|writes|answered|looped|called (?:a )?tool|streamed)\b"
    r"|\b(?:stopped|interrupted|truncated|repetition|detected|exhausted|unfinished|partial(?:ly)?|mid-?stream)\b"
    r"|\bcut(?: off| short| at)?\b|\bso far\b|\bwas reached\b|reached (?:the|its|a|max\w*) |\bhit (?:the|its|max\w*) "
    r"|\b(?:used|ran) (?:it |them )?(?:all )?(?:up|out) |\b(?:after|while|during|before) \w+ing\b|\bafter [\d,]+"
    r"|of thinking\b|\b(?:thinking|reasoning) (?:\w+ )?(?:tokens? )?(?:used|exceeded|ended)\b"
    # What a model wrote.
    r"|tool[ _-]?call|function[ _-]?call(?!ing)|did not match|does not match|do not match|validation failed"
    r"|model output|the output|output of|output budget|output pars|\bthe (?:reply|answer|result|model'?s? completion)\b"
    r"|(?<![/\w])\bresponse\b(?![ _.-]?(?:format|schema|api\b|type|modalit))|model(?: has)? returned|empty completion"
    r"|(?<![/\w.])(?<!chat )(?<!in the )(?<!for the )(?<! or )(?<! and )\bcompletion\b(?!s?[ _-](?:tokens?|length|limit"
    r"|models?|requests?|endpoint|api|params?|parameters?|create))"
)
# Names of fields, in lower case and without what parts their words.
_TEXT_FIELDS = re.compile(
    r"(?:failed|partial)?(?:generation|generations|output|outputs|completion|completions|response|content|text|answer"
    r"|reply|thinking)|partial|choices|candidates|(?:output|generated)text|reasoning(?:content)?|delta|toolcalls"
    r"|functioncall|(?:native)?finishreason|stopreason|contentfilter.*|flagged.*|moderation.*|safetyratings"
    r"|promptfeedback|blockreason"
)
_COUNT_FIELDS = re.compile(
    r"\w*usage(?:metadata)?|xgroq|(?:completion|output|generated|predicted|candidates|reasoning|total|thoughts)tokens?"
    r"(?:count)?|tokens(?:used|predicted|generated|evaluated)|\w*(?:predicted|eval)(?:n|count)|\w*timings|(?:total)?cost"
    r"|costinusdticks"
)


def says_that_it_ran(body: object) -> bool:
    """Whether anything in the body says so, or there is more in it than is looked at. body: decoded JSON, or a text."""
    for nodes, (depth, key, value) in enumerate(_fields(body)):
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            return True
        name = key.lower().replace("_", "").replace("-", "")
        if _TEXT_FIELDS.fullmatch(name) and _is_something(value):
            return True
        if _COUNT_FIELDS.fullmatch(name) and _counts_something(value):
            return True
        if isinstance(value, str) and _says_so(key.lower(), value):
            return True
        if name == "loc" and isinstance(value, list) and value[:1] and value[0] in _PLACES_OF_A_REPLY:
            return True
    return False


def _fields(body: object) -> Iterator[tuple[int, str, object]]:
    """Every field of the body: how deep, its name ("" for the body itself), and what it has. Items of a list have the
    list's name."""
    waiting: list[tuple[int, str, object]] = [(0, "", body)]
    while waiting:
        depth, key, value = waiting.pop()
        yield depth, key, value
        if isinstance(value, dict):
            waiting += [
                (depth + 1, str(name), each) for name, each in value.items() if str(name).lower() not in _QUOTED_KEYS
            ]
        elif isinstance(value, list):
            waiting += [(depth + 1, key if isinstance(each, str) else "", each) for each in value]


def _says_so(key: str, text: str) -> bool:
    words = text[:MAX_SENTENCE_CHARACTERS].lower()
    if key in CODE_KEYS and _CODES.search(words):
        return True
    return key in SENTENCE_KEYS and (_CODES.search(words) is not None or _WORDS.search(words) is not None)


def _is_something(value: object) -> bool:
    return bool(value) and not isinstance(value, bool) and not (isinstance(value, str) and not value.strip())


def _counts_something(value: object) -> bool:
    """Whether it is, or holds, a number that is not 0, also as a text. What cannot be read is believed to be one."""
    waiting = [value]
    for _ in range(MAX_NODES):
        if not waiting:
            return False
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str):
            if any(digit in each for digit in "123456789"):
                return True
        elif each is not None and each is not False and each != 0:
            return True
    return True
