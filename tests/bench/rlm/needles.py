"""S-NIAH: one needle in a haystack, in the format of RULER (Hsieh et al., arXiv:2404.06654; its tasks niah_single_1,
niah_single_2 and niah_multikey_2).

The three published haystacks: "noise" (one sentence over and over), "essay" and "needle" (other needles, with other
keys). RULER's essays are Paul Graham's, which are not ours to ship: ours are made of templates. Everything else is as
published: the needle's sentence, the frame around the text, the question, and the score (the share of the expected
values that the answer contains, ignoring case).
"""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.bench.rlm.instances import DataError, Instance, words, write_text
from tests.bench.rlm.real_files import records, text_of

HAYSTACKS = ("essay", "needle", "noise")
NEEDLE = "One of the special magic numbers for {key} is: {value}."
NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
INTRODUCTION = (
    "A special magic number is hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the number afterwards.\n"
)
QUESTION = "What is the special magic number for {key} mentioned in the provided text?"
DEPTHS = 40  # RULER places needles at 40 depths, from the beginning to the end
RULER_FIELDS = frozenset({"input", "outputs"})
ESSAY_SENTENCES = 2_000

_ADJECTIVES = words(
    "ancient brave brisk calm candid clever curious dapper eager earnest fabled faint feral fierce frosty gentle giddy "
    "glossy grand hasty hollow honest humble icy jolly keen lively lofty lucid mellow merry mighty misty modest nimble "
    "noble odd pale patient plucky proud quaint quick quiet rapid rustic sandy shiny silent sleepy snug solid spry "
    "stern stout sunny swift tidy timid vivid wary wild witty zesty"
)
_NOUNS = words(
    "acorn anchor anvil apron arrow badge barrel basin beacon bellows bishop bridge bucket buckle cabin candle canyon "
    "cargo castle chapel cider cliff clover comet copper cradle crane dagger desert dove drum ember falcon ferry "
    "fiddle garden goblet granite harbor hermit island jacket kettle ladder lantern ledger lemon locket magnet meadow "
    "mirror needle oasis orchard otter paddle pebble pillow pocket quarry ribbon saddle"
)
_SUBJECTS = (
    "A founder", "The editor", "Every painter", "A good hacker", "The committee", "An investor", "My neighbour",
    "The student", "A patient reader", "Nobody in the room", "The first customer", "A small team",
)  # fmt: skip
_VERBS = (
    "learns to distrust", "keeps returning to", "rarely understands", "has to rewrite", "quietly admires",
    "ends up defending", "forgets about", "makes a habit of", "argues against", "cannot explain",
)  # fmt: skip
_OBJECTS = (
    "the obvious answer", "work that looks easy", "an unfinished draft", "the taste of the crowd", "a problem nobody has",
    "advice given too early", "what the users wanted", "the cost of waiting", "his own first version",
    "a question without a name",
)  # fmt: skip
_ENDS = (
    "when the weather turns", "before anyone has noticed", "long after it has stopped being useful",
    "because the alternative is worse", "and that is the interesting part", "unless somebody asks why",
    "which is not the same as being right", "in the second year",
)  # fmt: skip


def make(size: int, variant: str, seed: int, folder: Path) -> Instance:
    """An instance whose context has `size` characters, to within a sentence or two."""
    chance = random.Random(f"s-niah {variant} {size} {seed}")
    key = f"{chance.choice(_ADJECTIVES)}-{chance.choice(_NOUNS)}"
    value = str(chance.randrange(10**6, 10**7))
    path = folder / f"s-niah-{variant}-{size}-{seed}.txt"
    characters = write_text(path, _text(size, variant, key, value, chance))
    return Instance(
        task="s-niah",
        variant=variant,
        context=path,
        characters=characters,
        size=size,
        query=QUESTION.format(key=key),
        score=partial(score, expected=(value,)),
    )


def score(answer: str, expected: tuple[str, ...]) -> float:
    """RULER's string_match_all: the share of the expected values that the answer contains, ignoring case."""
    return sum(value.lower() in answer.lower() for value in expected) / len(expected)


def load(path: Path) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Context, question and expected values of each record of a file that RULER's niah.py wrote.

    RULER puts everything into one prompt; for an RLM its last line, the question, is the query.
    """
    for record in records(path, RULER_FIELDS, "a file of RULER's needle tasks"):
        context, _, question = text_of(record, "input", path).rstrip().rpartition("\n")
        expected = record["outputs"]
        if not isinstance(expected, list) or not expected:
            raise DataError(f"{path}: outputs must be a list of the expected values")
        if not context or "special magic" not in question:
            raise DataError(f"{path}: input does not end with RULER's question on a line of its own")
        yield context, question, tuple(str(value) for value in expected)


def load_instances(path: Path, folder: Path, limit: int) -> Iterator[Instance]:
    """The first `limit` records of a file of RULER's as instances."""
    for number, (context, question, expected) in enumerate(load(path)):
        if number == limit:
            return
        file = folder / f"ruler-{number}.txt"
        characters = write_text(file, [context])
        yield Instance(
            task="s-niah",
            variant=path.name,
            context=file,
            characters=characters,
            size=characters,
            query=question,
            score=partial(score, expected=expected),
        )


def _text(size: int, variant: str, key: str, value: str, chance: random.Random) -> Iterator[str]:
    separator = " " if variant == "essay" else "\n"
    needle = NEEDLE.format(key=key, value=value)
    depth = chance.randrange(DEPTHS) / (DEPTHS - 1)
    yield INTRODUCTION
    length = len(INTRODUCTION) + len(needle) + len(separator)
    place = max(int(depth * size), length)
    is_placed = False
    for sentence in _haystack(variant, key, chance):
        if not is_placed and length >= place:
            yield needle + separator
            is_placed = True
        length += len(sentence) + len(separator)
        if length > size:
            break
        yield sentence + separator
    if not is_placed:
        yield needle + separator


def _haystack(variant: str, key: str, chance: random.Random) -> Iterator[str]:
    """Sentences without an end, none of which has the key."""
    if variant == "noise":
        while True:
            yield NOISE
    if variant == "essay":
        sentences = [
            f"{chance.choice(_SUBJECTS)} {chance.choice(_VERBS)} {chance.choice(_OBJECTS)} {chance.choice(_ENDS)}."
            for _ in range(ESSAY_SENTENCES)
        ]
        while True:
            yield from chance.choices(sentences, k=1_000)
    keys = [f"{adjective}-{noun}" for adjective in _ADJECTIVES for noun in _NOUNS]
    keys.remove(key)
    while True:
        for other in chance.choices(keys, k=1_000):
            yield NEEDLE.format(key=other, value=chance.randrange(10**6, 10**7))
