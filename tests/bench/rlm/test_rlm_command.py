"""The command, as it is typed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from divebell import ModelRequest
from tests.bench.rlm import pairs, policies, questions, report
from tests.bench.rlm.__main__ import main, size_of
from tests.bench.rlm.test_rlm_oolong import RECORD
from tests.support.chat_server import ChatServer

ROOT = Path(__file__).parents[3]
SMALL = ["--sizes", "5e3", "--repeats", "1"]
HEAD = "task characters policy queries score turns calls tokens in tokens out dollars seconds engine s memory MB"


def table_of(printed: str) -> list[list[str]]:
    head, *lines = printed.splitlines()
    assert " ".join(head.split()) == HEAD
    return [line.split() for line in lines]


@pytest.mark.slow
def test_a_run_prints_and_writes_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {kind: tmp_path / f"out.{kind}" for kind in ("json", "svg", "md")}
    arguments = [*SMALL, "--json", str(files["json"]), "--plot", str(files["svg"]), "--markdown", str(files["md"])]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    rows = table_of(captured.out)
    assert [row[:3] for row in rows] == [
        [task, "5,000", policy]
        for task in ("s-niah", "oolong", "pairs")
        for policy in ("perfect", "children", "clumsy")
    ]
    assert {row[4] for row in rows if row[2] != "clumsy"} == {"1.00"}
    assert captured.err.count("score") == 9
    written = json.loads(files["json"].read_text())
    assert [query["task"] for query in written["queries"]] == ["s-niah"] * 3 + ["oolong"] * 3 + ["pairs"] * 3
    assert all(query["dollars"] > 0 and query["engine_seconds"] <= query["seconds"] for query in written["queries"])
    page = files["md"].read_text()
    assert "$ ./build.sh bench-rlm --sizes 5e3" in page
    assert "![Dollars and seconds a query against the size of its context, by policy](out.svg)" in page
    assert page.count("| s-niah | 5,000 |") == 3
    picture = files["svg"].read_text()
    assert picture.startswith("<?xml")
    assert len(picture) < 200_000

    again = tmp_path / "again.svg"
    assert main(["--redraw", str(files["json"]), "--plot", str(again)]) == 0
    assert capsys.readouterr().out == captured.out
    assert again.read_text() == picture


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    def run(seed: str) -> list[dict[str, object]]:
        file = tmp_path / "out.json"
        assert main([*SMALL, "--tasks", "oolong,pairs", "--seed", seed, "--json", str(file)]) == 0
        queries = json.loads(file.read_text())["queries"]
        measured = ("seconds", "engine_seconds", "peak_private_bytes")
        return [{name: value for name, value in query.items() if name not in measured} for query in queries]

    assert run("3") == run("3")
    assert run("3") != run("4")


@pytest.mark.slow
def test_each_repeat_is_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    assert (
        main(["--tasks", "s-niah", "--sizes", "5e3", "--repeats", "4", "--policies", "perfect", "--json", str(file)])
        == 0
    )
    queries = json.loads(file.read_text())["queries"]
    assert [query["variant"] for query in queries] == ["essay", "needle", "noise", "essay"]
    assert queries[0]["answer"] != queries[3]["answer"]


@pytest.mark.slow
def test_a_row_has_the_means_and_the_largest_memory(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    assert main([*SMALL, "--tasks", "s-niah", "--policies", "perfect", "--json", str(file)]) == 0
    (one,), _, _ = report.read_json(file)
    other = replace(one, score=0.0, turns=one.turns + 3, seconds=one.seconds + 2, peak_private_bytes=9 << 30)
    elsewhere = replace(one, size=6_000, peak_private_bytes=None)
    first, second = report.summaries([one, elsewhere, other])
    assert (first.queries, first.score, first.turns) == (2, 0.5, one.turns + 1.5)
    assert first.seconds == pytest.approx(one.seconds + 1)
    assert first.peak_private_bytes == 9 << 30
    assert (second.queries, second.size, second.peak_private_bytes) == (1, 6_000, None)
    assert report.table([second]).splitlines()[1].endswith(" -")


@pytest.mark.parametrize(
    ("text", "size"),
    [("100000", 10**5), ("1e5", 10**5), ("10^8", 10**8), ("2^13t", 2**15), ("2^20t", 2**22), ("2e9", 2 * 10**9)],
)
def test_sizes(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "big"], "'big' is not a size: write 1e5"),
        (["--sizes", "1e10"], "is out of range"),
        (["--sizes", "9^9999999"], "is not a size"),
        (["--sizes", "inf"], "is not a size"),
        (["--tasks", "s-niah,x"], "there is no x; there are s-niah, oolong, pairs"),
        (["--policies", "lazy"], "there is no lazy"),
        (["--repeats", "0"], "is not a whole number from 1 to 100"),
        (["--delay", "nan"], "is not a number of seconds"),
    ],
)
def test_a_wrong_option_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "gpt-5"], "say what one query may cost, for example --budget 0.50"),
        (["--sub-model", "gpt-5-mini"], "name its root model with --model"),
        (["--rate", "x"], "write it as NAME=INPUT/OUTPUT"),
        (["--budget", "much"], 'dollars must be a number such as "0.30"'),
        (["--json", "no/such/folder/out.json"], "there is no folder no/such/folder"),
        (["--plot", "out.bmp"], "name it with .svg, .png, .pdf at the end"),
        (["--ruler", "absent.jsonl"], "absent.jsonl does not exist: get a file of RULER's needle tasks"),
        (["--pairs", "absent.json"], "name the file with their context too, with --oolong"),
        (["--trec", "absent.jsonl"], "absent.jsonl does not exist"),
        (["--redraw", "absent.json"], "absent.json is not what --json writes"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, *SMALL]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bench-rlm: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_without_matplotlib_the_plot_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*SMALL, "--plot", "out.svg"]) == 2
    assert "pip install 'divebell[bench]'" in capsys.readouterr().err


@pytest.mark.slow
def test_real_files_are_played_from_their_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synth = tmp_path / "synth.jsonl"
    synth.write_text(json.dumps(RECORD))
    ruler = tmp_path / "niah.jsonl"
    prompt = (
        "A special magic number is hidden within the following text.\nGrass. One of the special magic numbers for a-b is: 17.\n"
        "What is the special magic number for a-b mentioned in the provided text?"
    )
    ruler.write_text(json.dumps({"input": prompt, "outputs": ["17"]}))
    assert main(["--ruler", str(ruler), "--oolong", str(synth), "--policies", "perfect"]) == 0
    rows = table_of(capsys.readouterr().out)
    assert [(row[0], row[4]) for row in rows] == [("s-niah", "1.00"), ("oolong", "1.00")]
    asked = tmp_path / "pairs.json"
    asked.write_text(json.dumps([{"id": "1", "question": pairs.TASKS[1].query, "answer": []}]))
    assert main(["--pairs", str(asked), "--oolong", str(synth), "--policies", "perfect"]) == 0
    assert table_of(capsys.readouterr().out)[0][4] == "1.00"


@pytest.mark.slow
def test_a_real_endpoint_is_played_by_the_same_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def answer(sent: dict[str, Any]) -> str:
        if sent["model"] == "big":
            return policies.root_reply(ModelRequest(messages=tuple(sent["messages"]), max_output_tokens=1), "perfect")
        return policies.read(sent["messages"][-1]["content"], questions.generated())

    file = tmp_path / "out.json"
    with ChatServer(answer, models=("big", "small")) as server:
        monkeypatch.setenv("OPENAI_API_KEY", server.key or "")
        endpoint = ["--model", "big", "--sub-model", "small", "--base-url", server.url, "--budget", "0.50"]
        rates = ["--rate", "big=1.25/10", "--rate", "small=0.25/2"]
        assert main([*endpoint, *rates, *SMALL, "--json", str(file)]) == 0
        assert {request.json["model"] for request in server.received} == {"big", "small"}
    rows = table_of(capsys.readouterr().out)
    assert [(row[0], row[2], row[4]) for row in rows] == [
        (task, "big", "1.00") for task in ("s-niah", "oolong", "pairs")
    ]
    queries = json.loads(file.read_text())["queries"]
    assert all(0 < query["dollars"] < 0.5 and query["engine_seconds"] < query["seconds"] for query in queries)


@pytest.mark.slow
def test_ctrl_c_prints_what_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    command = [
        sys.executable,
        "-u",
        "-m",
        "tests.bench.rlm",
        "--tasks",
        "s-niah",
        "--sizes",
        "5e3",
        "--policies",
        "clumsy",
    ]
    running = subprocess.Popen(
        [*command, "--repeats", "50", "--delay", "0.05", "--json", str(file)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert running.stderr is not None
    for _ in range(2):
        assert "score" in running.stderr.readline()
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    printed, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in told
    assert "interrupted: what follows was measured until then" in told
    (row,) = table_of(printed)
    assert row[:3] == ["s-niah", "5,000", "clumsy"]
    assert 2 <= int(row[3]) < 50
    assert len(json.loads(file.read_text())["queries"]) == int(row[3])
