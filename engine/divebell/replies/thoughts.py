"""Thoughts that a model writes down: neither code nor answer. Each family of models has marks of its own for them.

The marks, by family: `<think>` (DeepSeek R1, Qwen 3, GLM, Granite, Phi 4 reasoning, Hunyuan and most others),
`<thinking>`, `<seed:think>` (Seed OSS), `[THINK]` (Magistral), `<thought>` (EXAONE, Gemma), `◁think▷` (Kimi VL),
`<|begin_of_thought|>` (OpenThinker, Sky T1), `<|START_THINKING|>` (Command A), `<|inner_prefix|>` (Apertus),
`<unused94>` (MedGemma), `<|channel>thought` (Gemma 4), `<longcat_think>` (LongCat); and the tags that prompts ask
for, such as `<scratchpad>`. The channels of gpt-oss are read in channels.py.
"""

import re
from functools import lru_cache

from divebell.replies.final_parser import ANSWERING_NAMES
from divebell.replies.scanning import Finder, line_end

_VARIED = r"(?:\w{1,20}_)?(?:think(?:ing)?|thoughts?)(?:_\w{1,60})?"
_NAMES = (
    rf"{_VARIED}|antthinking|"
    r"reason(?:ing)?(?:_(?:content|steps?|process|trace))?|rationale|analysis|scratch_?pad|(?:self_?)?reflections?|"
    r"deliberation|ruminat(?:e|ion)|cot|plan(?:ning)?|(?:inner|internal)_?(?:monologue|thoughts?)|"
    r"chain[_-]of[_-]thought|step_by_step|denkprozess|gedanken|pensées?|raciocinio|razonamiento|"
    r"思考|思维|推理"
)
_TAG = rf"(?:\w{{1,16}}:)?(?:{_NAMES})"
_PAIRS = (
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|thought_start|>", "<|thought_end|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>", "<unused95>"),
    ("<|channel>thought", "<channel|>"),
    ("[THINK]", "[/THINK]"),
    ("[THINKING]", "[/THINKING]"),
    ("[REASONING]", "[/REASONING]"),
    ("[THOUGHT]", "[/THOUGHT]"),
    ("{thinking}", "{/thinking}"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("&lt;thinking&gt;", "&lt;/thinking&gt;"),
    ("◁think▷", "◁/think▷"),
)
OPENING = rf"<\|?{_TAG}(?:\s[^<>\n]{{0,100}})?\|?>|" + "|".join(re.escape(opening) for opening, _ in _PAIRS)
CLOSING = rf"<\|?/{_TAG}\s?\|?>|" + "|".join(re.escape(closing) for _, closing in _PAIRS)

_OPENING = re.compile(OPENING, re.IGNORECASE)
_CLOSING = re.compile(CLOSING, re.IGNORECASE)
_NAME = re.compile(rf"<\|?/?(?:\w{{1,16}}:)?({_NAMES})", re.IGNORECASE)
_LEADING = re.compile(rf"\s*+(?:{OPENING})", re.IGNORECASE)
_LEADING_CLOSING = re.compile(rf"^[ \t]*+(?:{CLOSING})", re.IGNORECASE | re.MULTILINE)
_CLOSING_OF = {opening.lower(): re.compile(re.escape(closing), re.IGNORECASE) for opening, closing in _PAIRS}
_QUOTES = "`'\"\u201c\u2018\u00ab"
_BEFORE_CODE_OR_ANSWER = re.compile(rf"[ \t]*+(?:```|~~~|[*_`]{{0,3}}(?:{ANSWERING_NAMES})|<)")


def thought_end(text: str, opening: "re.Match[str]", finder: Finder) -> int | None:
    """The position after the thought that this mark opens, thoughts of the same name in it included; None if it is
    never closed."""
    mark = opening[0].lower()
    if mark in _CLOSING_OF:
        match = finder.find(_CLOSING_OF[mark], opening.end())
        return match.end() if match else None
    name = _NAME.match(mark)
    both, closing = _marks_of(name[1] if name else "")
    depth, end = 1, None
    for each in both.finditer(text, opening.end()) if finder.find(closing, opening.end()) else ():
        if each[0].lstrip("<|").startswith("/"):
            depth, end = depth - 1, each.end()
            if depth == 0:
                return end
        else:
            depth += 1
    if end is not None:
        return end
    match = finder.find(_CLOSING, opening.end())
    return match.end() if match else None


_ANNOUNCED = re.compile(
    r"\s*+(?:Here(?:'s| is) my thought process:|Here are my reasoning steps:)(?P<thought>.*?)"
    r"(?:Here(?:'s| is) my response:|\[BEGIN FINAL RESPONSE\])(?P<rest>.*)",
    re.DOTALL,
)


def mark_announced_thought(text: str) -> str:
    """A reply whose thought is announced in words, as Granite 3 and Apriel write it, with marks; any other as it is.

    The words: https://github.com/vllm-project/vllm/blob/main/vllm/reasoning/granite_reasoning_parser.py and the chat
    template of https://huggingface.co/ServiceNow-AI/Apriel-1.5-15b-Thinker.
    """
    match = _ANNOUNCED.match(text)
    if match is None:
        return text
    rest = match["rest"].partition("[END FINAL RESPONSE]")[0]
    return f"<think>{match['thought']}</think>\n{rest.lstrip()}"


@lru_cache(maxsize=64)
def _marks_of(name: str) -> "tuple[re.Pattern[str], re.Pattern[str]]":
    """Both marks of a tag of that name, one of _NAMES, and its closing one. Names with parts of a model's own choice
    share theirs, so that there are few patterns, each of which reads the reply once."""
    is_plain = name in ("think", "thinking", "thought", "thoughts") or not re.fullmatch(_VARIED, name)
    tag = rf"(?:\w{{1,16}}:)?(?:{re.escape(name) if is_plain else _VARIED})"
    closing = rf"<\|?/{tag}\s?\|?>"
    both = rf"<\|?{tag}(?:\s[^<>\n]{{0,100}})?\|?>|{closing}"
    return re.compile(both, re.IGNORECASE), re.compile(closing, re.IGNORECASE)


def is_quoted(text: str, mark: "re.Match[str]", start: int) -> bool:
    """Whether the mark stands in quotes. start: where its line begins."""
    return mark.start() > start and text[mark.start() - 1] in _QUOTES


def opens_thought(text: str, mark: "re.Match[str]", start: int, end: int | None) -> bool:
    """Whether the mark opens a thought, and is not only spoken of. start: where its line begins; end: of the thought,
    None if it is not closed."""
    begins_line = not text[start : mark.start()].strip(" \t*_>#-")
    ends_line = not text[mark.end() : line_end(text, mark.end())].strip()
    return begins_line or ends_line or end is not None


def closes_thought(text: str, mark: "re.Match[str]", start: int) -> bool:
    """Whether a closing mark that nothing opened ends a thought whose first mark was left out, as some templates do."""
    if is_quoted(text, mark, start):
        return False
    if not text[start : mark.start()].strip(" \t*_"):
        return True
    after = text[mark.end() : line_end(text, mark.end())]
    return not after.strip() or _BEFORE_CODE_OR_ANSWER.match(after) is not None


def strip_leading_thought(text: str) -> str:
    """The reply without the thought that it begins with. Some leave out the first mark. A thought that is never closed
    stays."""
    text = mark_announced_thought(text)
    opening = _LEADING.match(text)
    if opening is not None:
        mark = _OPENING.search(text, opening.start())
        end = thought_end(text, mark, Finder(text)) if mark is not None else None
        return text if end is None else text[end:].lstrip()
    ending = _LEADING_CLOSING.search(text)
    if ending is None or _OPENING.search(text, 0, ending.start()):
        return text
    return text[ending.end() :].lstrip()
