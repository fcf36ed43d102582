"""OOLONG's aggregation: keys against an independent count over the text, the published score, and its files."""

import json
import random
import re
from array import array
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import pytest

from tests.bench.rlm import oolong, questions, rows
from tests.bench.rlm.instances import DataError, Instance

POOL = questions.generated()
Row = tuple[str, str, datetime]  # label, user, day


def _rows(instance: Instance) -> list[Row]:
    """Read back from the text, with the labels looked up by the question's text: not from the generator's table."""
    found = re.findall(
        r"^Date: (.*) \|\| User: (\d{5}) \|\| Instance: (.*)$", instance.context.read_text("utf-8"), re.M
    )
    return [(POOL[question], user, datetime.strptime(day, "%b %d, %Y")) for day, user, question in found]


def _among(query: str, labelled: list[Row]) -> list[Row]:
    if found := re.search(r"user IDs ([\d, ]+)\. Among", query):
        return [row for row in labelled if row[1] in found[1].split(", ")]
    if found := re.search(r"occur in (\w+) of any year", query):
        return [row for row in labelled if row[2].strftime("%B") == found[1]]
    if found := re.search(r"between (\w+ \d+, \d+) and (\w+ \d+, \d+), inclusive", query):
        first, last = (datetime.strptime(day, "%b %d, %Y") for day in found.groups())
        return [row for row in labelled if first <= row[2] and row[2] <= last]
    return labelled


def _brute_force(query: str, labelled: list[Row]) -> str:
    """The answer as the question asks for it, by going through all rows once more for each number."""
    chosen = _among(query, labelled)

    def count(label: str, user: str | None = None) -> int:
        return sum(1 for row in chosen if row[0] == label and user in (None, row[1]))

    months = sorted({row[2].strftime("%Y %m") for row in chosen})
    by_month = {month: [row[0] for row in chosen if row[2].strftime("%Y %m") == month] for month in months}
    if "the most common?" in query:
        return "Label: " + max({row[0] for row in chosen}, key=count)
    if "the least common?" in query:
        return "Label: " + min({row[0] for row in chosen}, key=count)
    if found := re.search(r"how many data points should be classified as label '(.*?)'", query):
        return f"Answer: {count(found[1])}"
    if found := re.search(r"is label '(.*?)' more common, less common, or the same frequency as label '(.*?)'", query):
        is_more = count(found[1]) > count(found[2])
        return f"Answer: {found[1]} is {'more' if is_more else 'less'} common than {found[2]}"
    if found := re.search(r"the most instances with the label (.*?)\? Give", query):
        label = found[1]
        return "User: " + max({row[1] for row in chosen}, key=lambda user: count(label, user))
    if found := re.search(r"with the label (.*?): User (\d+) or User (\d+)\?", query):
        label = found[1]
        return "User: " + max(found[2], found[3], key=lambda user: count(label, user))
    if found := re.search(r"was label '(.*?)' .* before (\S+), as compared", query):
        time = datetime.fromisoformat(found[2])
        before, after = [row for row in chosen if row[2] < time], [row for row in chosen if row[2] > time]
        shares = [sum(row[0] == found[1] for row in part) / len(part) for part in (before, after)]
        return f"Answer: {found[1]} is {'more' if shares[0] > shares[1] else 'less'} common before {found[2]}"
    if found := re.search(
        r"how many months does the label '(.*?)' occur more frequently than the label '(.*?)'\?", query
    ):
        return f"Answer: {sum(labels.count(found[1]) > labels.count(found[2]) for labels in by_month.values())}"
    if found := re.search(r"how many months is the label '(.*?)' the single", query):
        tops = [[*Counter(labels).most_common(2), ("", 0)] for labels in by_month.values()]
        return f"Answer: {sum(top[0][0] == found[1] and top[0][1] > top[1][1] for top in tops)}"
    if "which user is represented most often?" in query:
        return "User: " + Counter(row[1] for row in chosen).most_common(1)[0][0]
    assert "which date is represented most often?" in query
    return "Date: " + Counter(row[2] for row in chosen).most_common(1)[0][0].strftime("%m/%d/%Y")


@pytest.mark.slow
@pytest.mark.parametrize("kind", oolong.KINDS)
@pytest.mark.parametrize("size", [8_000, 40_000])
def test_the_key_is_what_a_count_over_the_text_gives(kind: str, size: int, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        instance = oolong.make(size, kind, seed, tmp_path, POOL)
        answer = _brute_force(instance.query, _rows(instance))
        assert instance.score(answer) == 1.0, (instance.query, answer)


@pytest.mark.slow
@pytest.mark.parametrize("subset", ["users", "month", "dates"])
def test_a_subset_has_the_rows_on_its_boundary(subset: str, tmp_path: Path) -> None:
    for seed in range(20):
        instance = oolong.make(60_000, f"count, {subset}", seed, tmp_path, POOL)
        assert instance.score(_brute_force(instance.query, _rows(instance))) == 1.0


class _Chosen(random.Random):
    """Asks about entities, and about the day 300."""

    def choice(self, _options: object) -> str:  # type: ignore[override]
        return "entity"

    def randrange(self, *_bounds: int) -> int:  # type: ignore[override]
        return 300


def test_the_day_itself_is_neither_before_nor_after() -> None:
    human, entity = questions.LABELS.index("human being"), questions.LABELS.index("entity")
    labels, days = [human, entity, entity, human], [299, 300, 300, 301]
    table = rows.Table(array("B", labels), array("I", [10_000] * 4), array("H", days), array("H", [0] * 4))
    question = oolong.ask("before and after", table, _Chosen())
    assert question is not None
    assert question.gold == "the same frequency"


@pytest.mark.parametrize("kind", oolong.KINDS)
def test_another_answer_is_not_right(kind: str, tmp_path: Path) -> None:
    instance = oolong.make(20_000, kind, 5, tmp_path, POOL)
    assert instance.score("Answer: I would rather not say") == 0.0
    assert instance.score("") == 0.0


def test_the_text_is_in_the_published_format(tmp_path: Path) -> None:
    instance = oolong.make(50_000, "count", 1, tmp_path, POOL)
    text = instance.context.read_text("utf-8")
    assert abs(len(text) - 50_000) < 4_000
    lines = [line for line in text.split("\n") if line.startswith("Date: ")]
    assert text.startswith(f"The following lines contain {len(lines)} general-knowledge questions, one per line.")
    assert f"\nRecall: the preceding lines contain {len(lines)} general-knowledge questions" in text
    assert all(
        re.fullmatch(r"Date: [A-Z][a-z]{2} \d\d, 202\d \|\| User: \d{5} \|\| Instance: .+ [?.]", line) for line in lines
    )
    assert text.isascii()
    assert "Label:" not in text


def test_the_seed_decides_everything(tmp_path: Path) -> None:
    def made(seed: int, folder: str) -> tuple[str, str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        instance = oolong.make(9_000, "count, users", seed, tmp_path / folder, POOL)
        return instance.query, instance.context.read_text("utf-8")

    assert made(1, "a") == made(1, "b")
    assert made(1, "a") != made(2, "a")


def test_questions_are_distinct_and_of_all_labels() -> None:
    assert len(POOL) == questions.DISTINCT_QUESTIONS
    assert set(Counter(POOL.values()).values()) == {questions.DISTINCT_QUESTIONS // 6}
    assert set(POOL.values()) == set(questions.LABELS)


@pytest.mark.parametrize(
    ("answer", "gold", "kind", "score"),
    [
        ("Answer: 47", 47, "NUMERIC", 1.0),
        ("Answer: 45", 47, "NUMERIC", 0.75**2),
        ("47", 47, "NUMERIC", 1.0),
        ("Answer: **47**", 47, "NUMERIC", 1.0),
        ("Answer: [46]", 47, "NUMERIC", 0.75),
        ("Answer: about fifty", 47, "NUMERIC", 0.0),
        ("Answer: " + "9" * 5_000, 47, "NUMERIC", 0.0),
        ("Answer: " + "9" * 400, 47, "NUMERIC", 0.0),
        ("Label: entity", "entity", "LABEL", 1.0),
        ("Label: Entity", "entity", "LABEL", 0.0),
        ("I think it is the label entity", "entity", "LABEL", 1.0),
        ("Label: description and abstract concept", "description and abstract concept", "LABEL", 1.0),
        ("User: 63685", 63685, "USER", 1.0),
        ("User: 63686", 63685, "USER", 0.0),
        ("Answer: entity is more common than location", "more common than", "COMPARISON", 1.0),
        ("Answer: entity is less common than location", "more common than", "COMPARISON", 0.0),
        ("Answer: entity is the same frequency before 2023-01-01", "the same frequency", "COMPARISON", 1.0),
        ("Answer: more common", "more common than", "COMPARISON", 1.0),
        ("Date: 03/04/2023", date(2023, 3, 4), "DATE", 1.0),
        ("Date: Mar 04, 2023", date(2023, 3, 4), "DATE", 1.0),
        ("Date: 04/03/2023", date(2023, 3, 4), "DATE", 0.0),
        ("Date: sometime", date(2023, 3, 4), "DATE", 0.0),
    ],
)
def test_the_published_score(answer: str, gold: "str | int | date", kind: str, score: float) -> None:
    assert oolong.score(answer, gold, f"ANSWER_TYPE.{kind}") == pytest.approx(score)


RECORD = {
    "id": 17000238,
    "context_len": 1024,
    "dataset": "trec_coarse",
    "context_window_id": 7,
    "num_labels": 6,
    "context_window_text": (
        "The following lines contain 2 general-knowledge questions, one per line.\n\n"
        "Date: Dec 12, 2022 || User: 63685 || Instance: How many years old is Benny Carter ?\n"
        "Date: Dec 30, 2024 || User: 35875 || Instance: What war saw battles at Parrot 's Beak ?\n"
    ),
    "context_window_text_with_labels": (
        "Date: Dec 12, 2022 || User: 63685 || Instance: How many years old is Benny Carter ? || Label: numeric value\n"
        "Date: Dec 30, 2024 || User: 35875 || Instance: What war saw battles at Parrot 's Beak ? || Label: entity\n"
    ),
    "question": "In the above data, how many data points should be classified as label 'entity'? Give your final answer in the form 'Answer: number'.",
    "task_group": "counting",
    "task": "TASK_TYPE.NUMERIC_ONE_CLASS",
    "answer": "[1]",
    "answer_type": "ANSWER_TYPE.NUMERIC",
    "input_subset": "False",
}


def test_a_file_of_oolong_synth_is_read(tmp_path: Path) -> None:
    file = tmp_path / "synth.jsonl"
    file.write_text(json.dumps(RECORD) + "\n")
    (instance,) = oolong.load_instances(file, tmp_path, limit=5)
    assert instance.variant == "TASK_TYPE.NUMERIC_ONE_CLASS"
    assert instance.context.read_text("utf-8") == RECORD["context_window_text"]
    assert instance.labels["How many years old is Benny Carter ?"] == "numeric value"
    assert instance.score("Answer: 1") == 1.0
    assert instance.score("Answer: 2") == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": "[]"}, "not an answer as oolong-synth writes it"),
        ({"answer": "__import__('os').abort()"}, "not an answer as oolong-synth writes it"),
        ({"answer": 5}, "answer must be text, not int"),
        ({"context_window_text_with_labels": "no rows"}, "has no rows"),
        ({"context_window_text_with_labels": "Date: 12 || User: 1 || Instance: a || Label: b"}, "not a date"),
    ],
)
def test_a_record_that_is_not_as_published_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    file = tmp_path / "synth.json"
    file.write_text(json.dumps([{**RECORD, **change}]))
    with pytest.raises(DataError, match=message):
        list(oolong.load_instances(file, tmp_path, limit=5))


@pytest.mark.parametrize(
    ("published", "gold"),
    [("['human being']", "human being"), ("[47]", 47), ("[datetime.date(2023, 3, 4)]", date(2023, 3, 4))],
)
def test_published_answers_are_understood(published: str, gold: object) -> None:
    assert oolong.gold_of(published, Path("file")) == gold


def test_parquet_without_pyarrow_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    file = tmp_path / "synth.parquet"
    file.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="install pyarrow to read it, or export it as JSON Lines"):
        list(oolong.load_instances(file, tmp_path, limit=1))


def test_real_questions_take_the_place_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "trec.jsonl"
    asked = {f"Question {number} about {label} ?": label for number in range(3) for label in questions.LABELS}
    file.write_text("".join(json.dumps({"input": f" {q} ", "label": label}) + "\n" for q, label in asked.items()))
    pool = questions.load(file)
    assert pool == asked
    instance = oolong.make(4_000, "count", 1, tmp_path, pool)
    text = instance.context.read_text("utf-8")
    assert set(re.findall(r"Instance: (.*)", text)) <= set(asked)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"input": "a", "label": "colour"}, "'colour' is not one of the labels"),
        ({"input": "a", "label": "entity"}, "has no questions"),
    ],
)
def test_questions_of_other_labels_are_refused(record: dict[str, str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "trec.jsonl"
    file.write_text(json.dumps(record))
    with pytest.raises(DataError, match=message):
        questions.load(file)


def test_a_table_takes_a_few_bytes_a_row() -> None:
    table = rows.draw([10_000] * 1_000, POOL, random.Random(1))
    columns = (table.labels, table.users, table.days, table.questions)
    assert sum(column.itemsize for column in columns) <= 12
    assert [len(column) for column in columns] == [1_000] * 4
