"""Cells that time ended. What a replay can repeat it repeats; where the outcome depends on the moment, it says so. It
never waits for what nobody will answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from divebell import RLM, Budget, Limits, ModelRequest, ReplayDivergedError
from divebell.run.result import Result
from divebell.testing import ScriptedModel, replay

LIMITS = Limits(cell_seconds=0.3, grace_seconds=0.2)
ENDLESS = "print('begun')\nwhile True:\n    pass"
COUNTED = "n = 0\ntry:\n    while True:\n        n += 1\nexcept TimeoutError:\n    print(n)"
DEAF = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
WAITING = "print('asked')\nprint(llm_query('slow'))"
WAITING_ASYNC = """import asyncio
async def many():
    quick = asyncio.create_task(allm_query('quick'))
    print(await quick)
    print(await asyncio.gather(allm_query('slow'), arlm_query('child')))
asyncio.run(many())"""


def run(journal: Path, cell: str, **more: object) -> Result:
    async def play(request: ModelRequest) -> str:
        text = str(request.messages[-1]["content"])
        if text in ("slow", "quick"):
            await asyncio.sleep(60 if text == "slow" else 0.01)
            return f"re {text}"
        if "child" in str(request.messages[1:2]):
            await asyncio.sleep(60)
        at = sum(message["role"] == "assistant" for message in request.messages)
        return f"```repl\n{cell}\n```" if at == 0 else "FINAL(done)"

    options: dict[str, Any] = {"limits": LIMITS, **more}
    return RLM(ScriptedModel("m", play), **options).run("hay", "What?", journal=journal)


def outputs(result: Result) -> list[str]:
    return [cell.output for turn in result.turns for cell in turn.cells]


@pytest.mark.slow
@pytest.mark.parametrize(("cell", "says"), [(ENDLESS, "TimeoutError"), (DEAF, "Killed")])
def test_a_cell_over_its_time_whose_outcome_is_the_same_each_time(tmp_path: Path, cell: str, says: str) -> None:
    made = run(tmp_path / "journal", cell)
    assert says in outputs(made)[0]
    assert outputs(replay(tmp_path / "journal")) == outputs(made)


@pytest.mark.slow
def test_a_cell_that_says_when_it_was_interrupted_differs_and_the_replay_says_so(tmp_path: Path) -> None:
    run(tmp_path / "journal", COUNTED)
    with pytest.raises(ReplayDivergedError, match=r"stdout of cell 1 of run 0: recorded '\d+"):
        replay(tmp_path / "journal")


@pytest.mark.slow
def test_a_difference_in_a_cell_that_its_limit_ended_names_the_limit(tmp_path: Path) -> None:
    run(tmp_path / "journal", COUNTED.replace("print(n)", "raise TimeoutError(n)"))
    with pytest.raises(ReplayDivergedError, match="its time limit ended it, and where that happens is not repeatable"):
        replay(tmp_path / "journal")


@pytest.mark.slow
@pytest.mark.parametrize("cell", [WAITING, WAITING_ASYNC, ENDLESS], ids=["waiting", "asyncio", "computing"])
def test_a_run_that_landed_while_its_cell_was_at_work(
    tmp_path: Path, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two seconds of four for the last answer, so that a busy machine gives it too."""
    monkeypatch.setattr("divebell.run.pace.LEAST_SECONDS", 2.0)
    made = run(tmp_path / "journal", cell, budget=Budget(seconds=4, depth=1), limits=Limits(cell_seconds=60))
    assert (made.status, made.stopped_by and made.stopped_by.limit) == ("exhausted", "seconds")
    again = replay(tmp_path / "journal")
    assert (again.answer, again.status, again.iterations) == (made.answer, made.status, made.iterations)
    assert again.spend == made.spend


def test_a_tool_over_its_time(tmp_path: Path) -> None:
    async def slow() -> int:
        await asyncio.sleep(60)
        return 1

    cell = "import asyncio\ntry:\n    slow()\nexcept ToolError as error:\n    print(error)"
    made = run(tmp_path / "journal", cell, tools={"slow": slow}, tool_seconds=0.05)
    assert outputs(made) == ["TimeoutError: it did not end within 0.05 s"]
    assert outputs(replay(tmp_path / "journal")) == outputs(made)


def test_a_refusal_at_the_door_is_told_again_in_its_place(tmp_path: Path) -> None:
    """What the door refuses has a place among what the guest was told, or all after it would seem to differ."""
    cell = "for n in range(3):\n    try:\n        print(tool(n))\n    except ToolError as error:\n        print(error)\nprint(budget())"
    journal = tmp_path / "journal"
    model = ScriptedModel("m", [f"```repl\n{cell}\n```", "FINAL(done)"])
    rlm = RLM(model, tools={"tool": lambda n: n}, limits=Limits(tool_calls=1))
    made = rlm.run("hay", "What?", journal=journal)
    assert "may call tools 1 times" in made.turns[0].cells[0].stdout
    assert outputs(replay(journal)) == outputs(made)


@pytest.mark.slow
def test_a_cell_that_the_budget_ended_is_not_taken_for_the_last_replys_in_a_replay(tmp_path: Path) -> None:
    endless, last = "```repl\nwhile True: pass\n```", "```repl\nFINAL('the last')\n```"
    journal = tmp_path / "journal"
    rlm = RLM(ScriptedModel("root", [endless, last]), budget=Budget(seconds=3), limits=Limits(cell_seconds=60))
    made = rlm.run("hay", "What?", journal=journal)
    assert (made.answer, made.status, made.iterations) == ("the last", "exhausted", 0)
    again = replay(journal)
    assert (again.answer, again.status, again.iterations) == ("the last", "exhausted", 0)
