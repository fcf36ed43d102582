"""The figures of this machine, as a table: `python -m tests.bench.figures [--quick] [--json FILE] [NAME ...]`.

NAMEs choose among the measures: start, cell, door, attach, scan, memory, boot, ratio, limits, meter. `--quick` only
shows that each of them works. Nothing is asserted about time: "aim" is what the project wants on an idle machine of two cores.
Medians, the best, and what nine in ten samples stay below; where two things are compared, they are measured in turns.
"""

import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from tests.bench.measures import MEASURES, Effort, Row, warm


def machine() -> str:
    """What the figures were taken on."""
    parts = [
        f"{os.cpu_count()} CPUs ({platform.machine()})",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"wasmtime {version('wasmtime')}",
    ]
    if hasattr(os, "getloadavg"):
        parts.append(f"load {os.getloadavg()[0]:.1f}")
    return ", ".join(parts)


def line(row: Row) -> str:
    others = f"{row.best:9.3f} {row.p90:9.3f}" if len(row.samples) > 1 else " " * 19
    return f"{row.name:28} {row.median:9.3f} {others} {row.unit:9} {row.aim:8} {row.note}".rstrip()


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    rest = [argument for argument in arguments if argument != "--quick"]
    file: Path | None = None
    if "--json" in rest:
        at = rest.index("--json")
        if at + 1 == len(rest):
            print("--json needs a file's name", file=sys.stderr)
            return 2
        file = Path(rest[at + 1])
        del rest[at : at + 2]
    unknown = [name for name in rest if name not in MEASURES]
    if unknown:
        print(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    print(machine())
    print(f"{'figure':28} {'median':>9} {'best':>9} {'p90':>9} {'unit':9} {'aim':8} note")
    warm()
    effort = Effort(quick)
    rows: list[Row] = []
    for name in rest or MEASURES:
        for row in MEASURES[name](effort):
            print(line(row), flush=True)
            rows.append(row)
    if file is not None:
        figures = [{**asdict(row), "median": row.median, "best": row.best, "p90": row.p90} for row in rows]
        file.write_text(json.dumps({"machine": machine(), "quick": quick, "figures": figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
