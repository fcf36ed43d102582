"""Scripted models through the whole engine: the score is what the path through it earns."""

from pathlib import Path

import anyio
import pytest

from divebell import RLM, Engine, ModelRequest, ScriptedModel
from tests.bench.rlm import needles, oolong, pairs, planning, policies, policy_code, questions
from tests.bench.rlm.instances import Instance
from tests.bench.rlm.measure import BusyTime, Measurement, PeakMemory, Player, Watched, measure

POOL = questions.generated()
ROWS = "Date: Dec 12, 2022 || User: 63685 || Instance: Who invented the zipper of 1900 ?\n"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def play(instance: Instance, policy: str, engine: Engine) -> Measurement:
    done = measure(instance, Player(policy=policy), engine)
    assert not done.error
    assert done.status == "answered"
    return done


def _compare(instance: Instance, engine: Engine) -> Measurement:
    """Perfect and children must be right; clumsy takes more turns. Returns what clumsy did."""
    perfect = play(instance, "perfect", engine)
    children = play(instance, "children", engine)
    clumsy = play(instance, "clumsy", engine)
    assert (perfect.score, children.score) == (1.0, 1.0)
    assert perfect.children == clumsy.children == 0
    assert children.children >= 3
    assert clumsy.turns > perfect.turns
    assert clumsy.dollars > perfect.dollars > 0
    assert perfect.seconds > perfect.engine_seconds > 0
    return clumsy


@pytest.mark.slow
@pytest.mark.parametrize("variant", needles.HAYSTACKS)
def test_needles(variant: str, engine: Engine, tmp_path: Path) -> None:
    clumsy = _compare(needles.make(450_000, variant, 1, tmp_path), engine)
    assert clumsy.score == 1.0
    assert clumsy.calls == 5 + 3  # it reads everything, piece by piece
    assert clumsy.input_tokens > 100_000


# Counted over the last chunk alone, what clumsy says is sometimes right by luck.
CLUMSY_ROWS = {
    "most common": 1.0,
    "count, users": 0.0,
    "compare, month": 1.0,
    "least common, dates": 0.0,
    "count": 0.0,
    "user with most": 0.0,
    "before and after": 1.0,
    "months ahead": 0.003,
    "most common, users": 1.0,
    "months on top": 0.563,
    "user or user": 0.0,
    "most frequent user": 0.0,
    "most frequent date": 0.0,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", oolong.KINDS)
def test_aggregation(kind: str, engine: Engine, tmp_path: Path) -> None:
    clumsy = _compare(oolong.make(100_000, kind, 1, tmp_path, POOL), engine)
    assert clumsy.score == pytest.approx(CLUMSY_ROWS[kind], abs=0.002)


# It finds only the pairs within a chunk: many where little is asked of both users, hardly any where two roles must meet.
CLUMSY_PAIRS = (
    0.677, 0.750, 0.439, 0.688, 0.107, 0.640, 0.473, 0.556, 0.619, 0.342, 0.044, 0.057, 0.048, 0.007, 0.027, 0.0, 0.067,
    0.010, 0.012, 0.016,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("number", "score"), list(enumerate(CLUMSY_PAIRS, 1)))
def test_pairs(number: int, score: float, engine: Engine, tmp_path: Path) -> None:
    clumsy = _compare(pairs.make(60_000, f"task {number}", 1, tmp_path, POOL), engine)
    assert clumsy.score == pytest.approx(score, abs=0.002)


@pytest.mark.slow
def test_rows_that_do_not_matter_are_not_paid_for(engine: Engine, tmp_path: Path) -> None:
    everything = play(oolong.make(200_000, "count", 1, tmp_path, POOL), "perfect", engine)
    one_month = play(oolong.make(200_000, "compare, month", 1, tmp_path, POOL), "perfect", engine)
    assert one_month.input_tokens < everything.input_tokens / 2


@pytest.mark.slow
def test_what_the_reader_gets_wrong_costs_score(engine: Engine, tmp_path: Path) -> None:
    instance = oolong.make(100_000, "count", 1, tmp_path, POOL)
    knows_half = dict(list(POOL.items())[::2])
    half_blind = Instance(
        task="oolong", variant="count", context=instance.context, characters=instance.characters, size=instance.size,
        query=instance.query, score=instance.score, labels=knows_half,
    )  # fmt: skip
    assert play(half_blind, "perfect", engine).score < 0.1


@pytest.mark.slow
def test_a_question_of_another_kind_is_given_up(engine: Engine, tmp_path: Path) -> None:
    context = tmp_path / "rows.txt"
    context.write_text(ROWS)
    instance = Instance(
        task="oolong", variant="?", context=context, characters=len(ROWS), size=len(ROWS), query="What is the mood?",
        score=lambda answer: float(answer == "blue"),
    )  # fmt: skip
    done = play(instance, "perfect", engine)
    assert (done.score, done.answer) == (0.0, "I could not find it")


@pytest.mark.slow
def test_a_run_that_fails_is_a_row_with_its_reason(engine: Engine, tmp_path: Path) -> None:
    instance = needles.make(5_000, "noise", 1, tmp_path)
    done = measure(instance, Player(policy="perfect", dollars="0.000001"), engine)
    assert (done.score, done.status) == (0.0, "failed")
    assert done.error.startswith("BudgetExceeded: ")


def test_the_reader_reads_what_it_is_sent_and_nothing_else() -> None:
    ask = "What is the special magic number for {key} in this text? Reply with the number alone, or with NONE.\nText:\n{text}"
    text = "One of the special magic numbers for wild-dove is: 1234567."
    assert policies.read(ask.format(key="wild-dove", text=text), {}) == "1234567"
    assert policies.read(ask.format(key="tame-dove", text=text), {}) == "NONE"
    assert policies.read(ask.format(key="wild-dove", text=text[:50]), {}) == "NONE"
    label = "Label each question below.\nQuestions:\n"
    known = {"Who ?": "human being", "Where ?": "location"}
    assert policies.read(label + "Where ?\nWho ?\nHow ?", known) == "location\nhuman being\nentity"
    assert policies.read(label + "Date: Dec 12, 2022 || User: 1 || Instance: Who ?", known) == "human being"
    assert policies.read("Tell me a joke", known) == "I do not understand what I am asked."


def test_the_root_sees_the_question_only() -> None:
    """The same policy, asked without a label in the world: what it writes depends on the question alone."""
    query = pairs.TASKS[15].query
    code = "\n".join(policies.replies(query, "perfect"))
    assert "seen(user, 'description and abstract concept')[0] >= 1 and seen(user, 'human being')[0] >= 1" in code
    assert "seen(user, 'entity')[0] >= 2 and seen(user, 'abbreviation')[0] == 1" in code
    assert "<<" not in code


def test_every_kind_of_question_has_a_plan(tmp_path: Path) -> None:
    for task in pairs.TASKS:
        assert planning.plan(task.query) is not None
    for kind in oolong.KINDS:
        assert planning.plan(oolong.make(9_000, kind, 1, tmp_path, POOL).query) is not None
    assert planning.plan("In the above data, list all pairs of user IDs that rhyme.") is None


def test_a_failed_cell_makes_perfect_give_up() -> None:
    """It has no second plan, so that an engine that breaks its code shows in the score."""
    root = policies.root_model("perfect", "root")
    result = RLM(root, ScriptedModel("sub", lambda request: "just one label")).run(ROWS * 20, pairs.TASKS[0].query)
    assert result.answer == "I could not find it"
    assert "ValueError" in result.turns[-2].cells[-1].output


def test_clumsys_early_answer_does_not_count() -> None:
    wrong_name = policies.replies(pairs.TASKS[0].query, "clumsy")[2]
    assert wrong_name.endswith("FINAL((10000, 10001))")
    root = ScriptedModel("root", [wrong_name, "FINAL(later)"])
    result = RLM(root).run(ROWS, "q")
    assert result.answer == "later"
    assert "NameError" in result.turns[0].cells[0].output


def test_time_counts_once_where_models_work_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 4.0, 10.0, 12.0])  # read when the first starts and when the last ends
    busy = BusyTime()
    with monkeypatch.context() as patch:
        patch.setattr("time.perf_counter", lambda: next(clock))
        with busy.watched(), busy.watched(), busy.watched():
            pass
        with busy.watched():
            pass
    assert busy.seconds == (4.0 - 1.0) + (12.0 - 10.0)


def test_a_watched_model_is_at_work_until_it_has_answered() -> None:
    busy = BusyTime()
    model = Watched(ScriptedModel("slow", lambda request: "x", delay_seconds=0.05), busy)
    request = ModelRequest(messages=({"role": "user", "content": "q"},), max_output_tokens=5)
    assert anyio.run(model.complete, request).text == "x"
    assert busy.seconds >= 0.05


def test_the_day_itself_is_neither_before_nor_after() -> None:
    made = planning.plan(
        "In the above data, was label 'entity' more common, less, before 2023-05-06, as compared to after ?"
    )
    assert made is not None
    days = ("2023-05-05", "2023-05-06", "2023-05-07")
    assert [eval(made.key, {"label": "entity", "day": day})[1] for day in days] == ["before", "on", "after"]


@pytest.mark.slow
def test_peak_memory_is_seen_after_it_is_gone() -> None:
    with PeakMemory() as memory:
        block = b"x" * (64 << 20)
        for _ in range(20):
            memory._done.wait(0.01)
        del block
    assert memory.growth_bytes is None or 60 << 20 <= memory.growth_bytes < 200 << 20


def test_scripts_have_no_holes_left() -> None:
    for policy in (*policies.POLICIES, "child"):
        for query in (
            pairs.TASKS[0].query,
            needles.QUESTION.format(key="wild-dove"),
            "which user is represented most often?",
        ):
            for reply in policies.replies(query, policy):
                assert "<<" not in reply
                assert reply != policy_code.GIVE_UP
