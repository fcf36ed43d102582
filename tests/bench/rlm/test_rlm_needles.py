"""S-NIAH: RULER's format, its score, and its files."""

import json
import re
from pathlib import Path

import pytest

from tests.bench.rlm import needles
from tests.bench.rlm.instances import DataError

INTRODUCTION = (
    "A special magic number is hidden within the following text. Make sure to memorize it. "
    "I will quiz you about the number afterwards.\n"
)


@pytest.mark.parametrize("variant", needles.HAYSTACKS)
@pytest.mark.parametrize("size", [2_000, 50_000])
def test_one_needle_answers_the_question(variant: str, size: int, tmp_path: Path) -> None:
    instance = needles.make(size, variant, 7, tmp_path)
    text = instance.context.read_text("utf-8")
    assert text.startswith(INTRODUCTION)
    assert len(text) == instance.characters
    assert size - 150 <= len(text) <= size
    asked = re.fullmatch(r"What is the special magic number for (\S+) mentioned in the provided text\?", instance.query)
    assert asked is not None
    hidden = re.findall(rf"One of the special magic numbers for {asked[1]} is: (\d{{7}})\.", text)
    assert len(hidden) == 1
    assert instance.score(f"It is {hidden[0]}.") == 1.0
    assert instance.score(str(int(hidden[0]) + 1)) == 0.0
    others = re.findall(r"One of the special magic numbers for (\S+) is: \d{7}\.", text)
    assert len(others) == (1 if variant != "needle" else text.count("special magic numbers"))


def test_none_of_many_other_needles_has_the_key(tmp_path: Path) -> None:
    instance = needles.make(2_000_000, "needle", 1, tmp_path)
    text = instance.context.read_text("utf-8")
    key = instance.query.split()[7]
    assert text.count("special magic numbers for") > 20_000
    assert text.count(f" {key} ") == 1


def test_the_needle_is_at_every_depth(tmp_path: Path) -> None:
    depths = []
    for seed in range(60):
        instance = needles.make(20_000, "noise", seed, tmp_path)
        text = instance.context.read_text("utf-8")
        depths.append(text.index("One of the special") / len(text))
    assert min(depths) < 0.1
    assert max(depths) > 0.9
    assert len({round(depth, 2) for depth in depths}) > 20


@pytest.mark.parametrize("variant", needles.HAYSTACKS)
def test_the_seed_decides_everything(variant: str, tmp_path: Path) -> None:
    def made(seed: int, folder: str) -> tuple[str, str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        instance = needles.make(9_000, variant, seed, tmp_path / folder)
        return instance.query, instance.context.read_text("utf-8")

    assert made(1, "a") == made(1, "b")
    assert made(1, "a") != made(2, "a")


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("The number is 123.", ("123",), 1.0),
        ("124", ("123",), 0.0),
        ("ABC-def", ("abc-DEF",), 1.0),
        ("one 11, two 22", ("11", "22", "33", "44"), 0.5),
        ("", ("1",), 0.0),
    ],
)
def test_the_score_is_the_share_of_values_that_are_contained(
    answer: str, expected: tuple[str, ...], score: float
) -> None:
    assert needles.score(answer, expected) == score


def test_a_file_of_rulers_is_read(tmp_path: Path) -> None:
    prompt = (
        "Some special magic numbers are hidden within the following text. Make sure to memorize it. I will quiz you about "
        "the numbers afterwards.\nThe grass is green.\nOne of the special magic numbers for wild-dove is: 11.\n"
        "One of the special magic numbers for wild-dove is: 22.\n"
        "What are all the special magic numbers for wild-dove mentioned in the provided text?"
    )
    file = tmp_path / "niah.jsonl"
    record = {"index": 0, "input": prompt, "outputs": ["11", "22"], "length": 90, "answer_prefix": " The special"}
    file.write_text(json.dumps(record) + "\n\n" + json.dumps(record) + "\n")
    (instance,) = needles.load_instances(file, tmp_path, limit=1)
    assert instance.query == "What are all the special magic numbers for wild-dove mentioned in the provided text?"
    assert instance.context.read_text("utf-8").endswith("is: 22.")
    assert instance.score("11 and 22") == 1.0
    assert instance.score("11") == 0.5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist: get a file of RULER's needle tasks"),
        ("", "has no records"),
        ("{", "is not a file of RULER's needle tasks"),
        ('{"input": "x"}', "record 1, is not a file of RULER's needle tasks: it has no outputs"),
        ("[1]", "record 1, is not"),
        ('{"input": 5, "outputs": ["1"]}', "input must be text, not int"),
        ('{"input": "a\\nb", "outputs": ["1"]}', "does not end with RULER's question"),
        ('{"input": "a\\nWhat is the special magic number for k?", "outputs": []}', "outputs must be a list"),
    ],
)
def test_another_file_is_refused_in_one_sentence(content: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=message) as refused:
        list(needles.load(file))
    assert "\n" not in str(refused.value)
