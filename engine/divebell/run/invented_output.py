"""Whether a reply made up what its code would print.

Some models write code, then at once "Output: 12345", and answer from that; the code has not run by then. Told by three
signs together: behind its code the reply states an output; no cell has printed that; and the answer rests on it and on
nothing that a cell has printed. A reply that quotes rightly, or speaks of an earlier turn's output, or reasons without
stating an output, is left alone.

Pure, and linear in the lengths of the reply and of what was printed.
"""

import re
from collections.abc import Sequence

from divebell.cell import Cell
from divebell.replies.final_parser import ANSWERING_NAMES
from divebell.replies.meanings import Final
from divebell.replies.python_text import stated_values

MAX_READ_CHARACTERS = 200_000  # of the reply
MAX_CLAIM_LINES = 40
MAX_CLAIMS = 20
MAX_PLACES = 15  # behind the point, in numbers that may have been rounded
MAX_ANSWER_CHARACTERS = 2_000  # a longer answer is prose, which no output can be compared with

_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)[ \t]*+([\w.+-]*+)[^\n]*+$", re.MULTILINE)
_CODE = frozenset({"repl", "python", "py", "python3", "ipython", "tool_code"})
_OUTPUT_LANGUAGES = frozenset({
    "", "output", "stdout", "console", "result", "results", "out", "observation", "text", "txt", "plain", "plaintext",
})  # fmt: skip
_FOREIGN_LABELS = (
    r"ausgaben?|ergebniss?e?|sorties?|résultats?|salidas?|resultados?|saídas?|uscita|risultat[oi]|uitvoer|"
    r"resulta(?:at|ten|t)|wynik|wyjście|ç\u0131kt\u0131|sonuç|utdata|výstup|výsledek|kimenet|eredmény|"
    r"hasil|keluaran|kết quả|вывод|результаты?|вивід|"
    r"[\u4e00-\u9fff\u30a0-\u30ff]{0,4}(?:输出|輸出|出力|结果|結果)|(?:실행 ?)?(?:출력|결과)|"
    r"النتيجة|الناتج|परिणाम"
)
"""Output and result, in German, French, Spanish, Portuguese, Italian, Dutch, Polish, Turkish, Swedish, Czech,
Hungarian, Indonesian, Vietnamese, Russian, Ukrainian, Chinese, Japanese, Korean, Arabic and Hindi."""
_OF_WHICH = (
    r" *\[\d{0,6}\]| *\([^()\n]{0,30}\)| +(?:of|from|for|after|by)"
    r"(?: +(?:the|this|my|above|first|last|running|executing|code|cell|block|program|script|snippet|repl|"
    r"execution)){1,4}(?: +\d{1,6})?"
)
_LABEL = re.compile(
    r"[\s>#*_`\[(-]{0,20}+"
    r"(?:(?:the|this|actual|expected|console|program|code|execution|cell|repl|python|block|tool|printed|final|"
    r"die|das|la|le|el|il|a|o) +){0,3}"
    rf"(?:outputs?|results?|stdout|observations?|prints?|printed|returns?|returned|out|{_FOREIGN_LABELS})"
    rf"(?:{_OF_WHICH})?[\s*_`\])]{{0,10}}+(?:(?::|\uff1a|=>|->|=(?!=))[*_` \t]{{0,10}}+|\Z)",
    re.IGNORECASE,
)
_ARROW = re.compile(r"[ \t]*+(?:=>|->|>>>|[\u2192\u21d2])[ \t]++")
_TAG = re.compile(
    r"[ \t]*+<(?:(?:tool|execution|code|console|python)[_-])?"
    r"(?:outputs?|results?|stdout|observations?|response|console)>",
    re.IGNORECASE,
)
_CLOSING_TAG = re.compile(r"</[\w-]{1,30}>[ \t]*+\Z")
_SENTENCE = re.compile(
    r"[\s>*_`(-]{0,20}+(?:(?:the|this|my|above|running|executing|python) +){0,3}"
    r"(?:(?:code|cell|block|program|script|snippet|this|it|repl)(?: above)? +"
    r"(?:prints?|printed|outputs?|returns?|returned|gives|gave|yields?|yielded|shows|showed|produces|produced)|"
    r"prints|printed|(?:output|result)(?: of (?:the|this) (?:code|cell|block))? +(?:is|was))"
    r"(?: +out)?(?:[ \t]*:|(?= ))[ \t]*+",
    re.IGNORECASE,
)
"""`The code prints 12345.`"""
_ENDS_CLAIM = re.compile(rf"[ \t]*+[*_`]{{0,3}}(?:{ANSWERING_NAMES})[ \t]*+\(")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*+(?:\.\d++)?+")
_WORD = re.compile(r"[^\W\d_]{2,}+")
_IGNORED_WORDS = frozenset(
    ("the", "and", "is", "are", "was", "were", "of", "in", "to", "for", "it", "that", "total", "answer", "result")
)


def find_invented_output(reply: str, cells: Sequence[Cell], final: Final, *, earlier: Sequence[str] = ()) -> str | None:
    """The output that the reply made up and answers from; None if it did not.

    cells: of this reply, all of them run without an error. earlier: what the cells of earlier turns printed.
    """
    answer = _stated_answer(final)
    if not cells or answer is None or len(answer) > MAX_ANSWER_CHARACTERS:
        return None
    claims = _find_claims(reply[:MAX_READ_CHARACTERS])
    if not claims:
        return None
    printed = "\n".join([*earlier, *(cell.output for cell in cells)])
    printed_text = _Text(printed)
    if printed_text.supports(answer):
        return None
    for claim in claims:
        if not printed_text.supports(claim) and _rests_on(answer, claim):
            return claim
    return None


def _stated_answer(final: Final) -> str | None:
    """The answer, where it stands in the reply itself; None if code or a variable gives it."""
    if final.kind == "submit":
        return stated_values(final.value)
    if final.kind not in ("text", "text_or_variable"):
        return None
    return final.text if final.text is not None else final.value


class _Text:
    """A text that others are looked up in."""

    def __init__(self, text: str) -> None:
        self._flat = _flatten(text)
        self._numbers = _numbers_in(text)
        self._words = set(_words_in(text))
        self._rounded: dict[int, set[str]] = {}  # by the digits behind the point

    def supports(self, text: str) -> bool:
        """Whether it has the text, or all the numbers and names that the text consists of."""
        flat = _flatten(text)
        if not flat:
            return True
        numbers = _numbers_in(text)
        if not numbers and flat in self._flat:
            return True
        if numbers:
            return all(self._has_number(number) for number in numbers)
        words = [word for word in _words_in(text) if word not in _IGNORED_WORDS]
        return bool(words) and self._words.issuperset(words)

    def _has_number(self, number: str) -> bool:
        """Also one that was rounded to it, or a fraction that became a percentage."""
        if number in self._numbers:
            return True
        places = min(len(number.partition(".")[2]), MAX_PLACES)
        if places not in self._rounded:
            with_point = [other for other in self._numbers if "." in other]
            self._rounded[places] = {_round(other, places, factor) for other in with_point for factor in (1, 100)}
        return number in self._rounded[places]


def _find_claims(reply: str) -> list[str]:
    """The outputs that the reply states behind its first block of code."""
    claims: list[str] = []
    lines = reply.split("\n")
    is_behind_code = in_code = in_output = False
    at = 0
    while at < len(lines) and len(claims) < MAX_CLAIMS:
        line = lines[at]
        at += 1
        fence = _FENCE.match(line)
        if fence is not None:
            language = fence[1].lower()
            if in_code or in_output:
                in_code = in_output = False
            elif language in _CODE or not is_behind_code:
                in_code = is_behind_code = True
            else:
                in_output = True
                if language in _OUTPUT_LANGUAGES:
                    claims.append(_read_claim("", lines, at))
            continue
        label = _claim_on(line) if is_behind_code and not in_code and not in_output else None
        if label is not None:
            claims.append(_read_claim(line[label.end() :], lines, at))
    return [claim for claim in claims if claim]


def _claim_on(line: str) -> "re.Match[str] | None":
    """What announces an output on this line, or before the next."""
    line = line.rstrip()
    return _LABEL.match(line) or _TAG.match(line) or _SENTENCE.match(line) or _ARROW.match(line)


def _read_claim(first: str, lines: list[str], at: int) -> str:
    """What is stated from there to the next empty line, fence or answer."""
    first = _CLOSING_TAG.sub("", first)
    stated_lines = [first.strip(" \t*_`")] if first.strip(" \t*_`") else []
    if stated_lines and not first.rstrip().endswith(("{", "[", "(", ",")):
        return stated_lines[0]
    is_fenced = False
    for line in lines[at : at + MAX_CLAIM_LINES]:
        if _FENCE.match(line):
            if stated_lines:
                break
            is_fenced = True
            continue
        if (
            _ENDS_CLAIM.match(line)
            or _CLOSING_TAG.match(line.strip())
            or (not line.strip() and (stated_lines and not is_fenced))
        ):
            break
        if line.strip():
            stated_lines.append(line.strip())
    return "\n".join(stated_lines)


def _rests_on(answer: str, claim: str) -> bool:
    """Whether the one is in the other, or the answer has a number of the claim's."""
    flat_answer, flat_claim = _flatten(answer), _flatten(claim)
    if not flat_answer or not flat_claim:
        return False
    numbers = _numbers_in(answer)
    if numbers:
        return not numbers.isdisjoint(_numbers_in(claim))
    return flat_answer in flat_claim or flat_claim in flat_answer


def _flatten(text: str) -> str:
    return " ".join(text.casefold().replace('"', "").replace("'", "").split()).strip(" .!*_`")


def _words_in(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _numbers_in(text: str) -> set[str]:
    """The numbers in a text, in one form each: 2,950 and 2950.0 are 2950."""
    return {_normalise_number(written) for written in _NUMBER.findall(text)}


def _normalise_number(written: str) -> str:
    plain = written.replace(",", "").lstrip("+")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    return sign + (digits.lstrip("0") or "0" if "." not in digits else digits)


def _round(number: str, places: int, factor: int) -> str:
    return _normalise_number(f"{float(number) * factor:.{places}f}")
