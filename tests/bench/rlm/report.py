"""What was measured, as a table for the terminal, as JSON, and as a page of Markdown."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from tests.bench.rlm.instances import DataError
from tests.bench.rlm.measure import Measurement

_COLUMNS: "tuple[tuple[str, Callable[[Summary], str]], ...]" = (
    ("task", lambda row: row.task),
    ("characters", lambda row: f"{row.size:,}"),
    ("policy", lambda row: row.policy),
    ("queries", lambda row: str(row.queries)),
    ("score", lambda row: f"{row.score:.2f}"),
    ("turns", lambda row: f"{row.turns:.1f}"),
    ("calls", lambda row: f"{row.calls:,.0f}"),
    ("tokens in", lambda row: f"{row.input_tokens:,.0f}"),
    ("tokens out", lambda row: f"{row.output_tokens:,.0f}"),
    ("dollars", lambda row: f"{row.dollars:.4f}"),
    ("seconds", lambda row: f"{row.seconds:.3f}"),
    ("engine s", lambda row: f"{row.engine_seconds:.3f}"),
    ("memory MB", lambda row: "-" if row.peak_private_bytes is None else f"{row.peak_private_bytes / 1e6:.1f}"),
)
_TEXT_COLUMNS = ("task", "policy")
NOTES = """\
Per query, means over the queries of a row; memory is the largest. *dollars*: scripted models are billed by their tokens
(four bytes each) at the pinned prices of gpt-5 (root) and gpt-5-mini (sub-calls). *seconds* are wall time, with scripted
models that answer at once; *engine s* is what is left without the models' own work: Divebell, and the guest's computing.
*memory*: how much the process's private memory grew; the context is a mapped file and not in it, and what the engine keeps
from an earlier query and uses again is not either.
"""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The queries of one task, size and policy: means, and the largest memory."""

    task: str
    size: int
    policy: str
    queries: int
    score: float
    turns: float
    calls: float
    input_tokens: float
    output_tokens: float
    dollars: float
    seconds: float
    engine_seconds: float
    peak_private_bytes: int | None


def summaries(measured: Sequence[Measurement]) -> list[Summary]:
    """One for each task, size and policy, in the order in which they were first measured."""
    groups: dict[tuple[str, int, str], list[Measurement]] = {}
    for one in measured:
        groups.setdefault((one.task, one.size, one.policy), []).append(one)
    made = []
    for (task, size, policy), group in groups.items():
        peaks = [one.peak_private_bytes for one in group if one.peak_private_bytes is not None]
        made.append(
            Summary(
                task=task,
                size=size,
                policy=policy,
                queries=len(group),
                score=statistics.fmean(one.score for one in group),
                turns=statistics.fmean(one.turns for one in group),
                calls=statistics.fmean(one.calls for one in group),
                input_tokens=statistics.fmean(one.input_tokens for one in group),
                output_tokens=statistics.fmean(one.output_tokens for one in group),
                dollars=statistics.fmean(one.dollars for one in group),
                seconds=statistics.fmean(one.seconds for one in group),
                engine_seconds=statistics.fmean(one.engine_seconds for one in group),
                peak_private_bytes=max(peaks) if peaks else None,
            )
        )
    return made


def table(rows: Sequence[Summary]) -> str:
    """Lined up for a terminal."""
    cells = [[name for name, _ in _COLUMNS], *([show(row) for _, show in _COLUMNS] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in _TEXT_COLUMNS else cell.rjust(width)
            for cell, width, (name, _) in zip(line, widths, _COLUMNS, strict=True)
        ).rstrip()
        for line in cells
    )


def machine() -> str:
    """What this was measured on."""
    release = ".".join(platform.release().split(".")[:2])
    return (
        f"{os.cpu_count()} CPUs ({platform.machine()}), {platform.system()} {release}, "
        f"Python {platform.python_version()}, wasmtime {version('wasmtime')}"
    )


def write_json(file: Path, measured: Sequence[Measurement], command: str, where: str) -> None:
    """Every query, and the summaries."""
    content = {
        "command": command,
        "machine": where,
        "summaries": [asdict(row) for row in summaries(measured)],
        "queries": [asdict(one) for one in measured],
    }
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(file: Path) -> tuple[list[Measurement], str, str]:
    """The queries that `write_json` wrote, the command that measured them, and the machine. DataError where it did not."""
    try:
        content = json.loads(file.read_text("utf-8"))
        return [Measurement(**query) for query in content["queries"]], str(content["command"]), str(content["machine"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not what --json writes: {type(error).__name__}: {error}") from None


def write_markdown(file: Path, rows: Sequence[Summary], command: str, where: str, picture: Path | None) -> None:
    """A page with the command, the picture, and the table."""
    lines = [
        "# The field's benchmarks",
        "",
        "S-NIAH (RULER's needles), OOLONG-like aggregation and OOLONG-Pairs, generated offline in the published formats, "
        "scored by the published rules, and played by scripted models through the whole engine. Made by",
        "",
        "```console",
        f"$ {command}",
        "```",
        "",
        f"on {where}.",
        "",
    ]
    if picture is not None:
        address = os.path.relpath(picture, file.parent).replace(os.sep, "/")
        lines += [f"![Dollars and seconds a query against the size of its context, by policy]({address})", ""]
    lines += [
        "*perfect* looks, narrows the rows down in code, has them labelled many at once and answers from a variable; "
        "*children* gives parts of the context to child RLMs; *clumsy* begins without code, prints far too much, mistypes "
        "a name, answers too early, reads one chunk at a time (for pairs, 200 of them), and forgets all but the last. A score is earned by the path "
        "through the engine: models read what they are sent, and know nothing else.",
        "",
        "| " + " | ".join(name for name, _ in _COLUMNS) + " |",
        "|" + "|".join("---" if name in _TEXT_COLUMNS else "--:" for name, _ in _COLUMNS) + "|",
        *("| " + " | ".join(show(row) for _, show in _COLUMNS) + " |" for row in rows),
        "",
        NOTES.rstrip(),
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
