"""Replies in the channels of gpt-oss, where an endpoint did not take them apart.

With their tokens (`<|channel|>final<|message|>`), pieces.py walks through them. Some endpoints drop the tokens and
leave the words between them: `analysisThe user asks...assistantfinalFINAL(42)`.
"""

import re
from collections import deque

_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<\n]{0,80}<\|message\|>")
_END = re.compile(r"<\|(?:end|return|call|start)\|>")
_BARE_BEGINNING = re.compile(r"\s*analysis(?=[A-Z])")
_BARE_SWITCH = re.compile(
    r"(?:assistant)?(?P<channel>final|commentary|analysis)(?P<to> to=[\w.]{1,100})?"
    r"(?: (?:json|code))?"
)


def final_channel_text(text: str) -> str:
    """The final message of a reply in channels; any other text unchanged."""
    text = restore_channel_tokens(text)
    finals = deque(_FINAL.finditer(text), maxlen=1)
    if not finals or not text.lstrip().startswith(("<|channel|>", "<|start|>")):
        return text
    begin = finals[0].end()
    ending = _END.search(text, begin)
    return text[begin : ending.start() if ending else len(text)].strip()


def restore_channel_tokens(text: str) -> str:
    """A reply in channels that lost its tokens, with the tokens; any other text unchanged."""
    beginning = _BARE_BEGINNING.match(text)
    if beginning is None:
        return text
    parts = ["<|channel|>analysis<|message|>"]
    at = beginning.end()
    while (word_at := text.find("assistant", at)) >= 0:
        switch = _BARE_SWITCH.match(text, word_at)
        if switch is None or text[word_at - 1 : word_at].isspace():
            parts.append(text[at : word_at + 9])
            at = word_at + 9
            continue
        ending = "<|call|>" if "to=" in parts[-1] else "<|end|>"
        header = f"{switch['channel']}{switch['to'] or ''}"
        parts += [text[at:word_at], f"{ending}<|start|>assistant<|channel|>{header}<|message|>"]
        at = switch.end()
    return "".join([*parts, text[at:]])
