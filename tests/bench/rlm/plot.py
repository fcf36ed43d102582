"""The picture: dollars and engine seconds a query against the size of its context. Needs matplotlib (the extra "bench")."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.rlm.instances import DataError
from tests.bench.rlm.report import Summary

TASK_TITLES = {
    "s-niah": "S-NIAH: find one sentence",
    "oolong": "OOLONG: aggregate all rows",
    "pairs": "OOLONG-Pairs: all pairs of users",
}
FORMATS = (".svg", ".png", ".pdf")
_COLOURS = {"perfect": "#1f4e79", "children": "#3a8a78", "clumsy": "#c4622d"}
_OTHER_COLOURS = ("#6b4c8a", "#555555", "#8a6d3b")
_INK, _GREY, _GRID, _PAPER = "#222222", "#666666", "#e4e4e0", "#fdfdfb"
_MEASURES = (("dollars", "dollars a query"), ("engine_seconds", "engine time a query"))
_LEAST_LABEL_GAP = 0.075  # of an axis' height
_SPREADING_ROUNDS = 50
_SMALLEST = 1e-6  # log axes have no zero


def check_can_draw(file: Path) -> None:
    """Fail before anything is measured, not after."""
    if file.suffix not in FORMATS:
        raise DataError(f"{file} is no picture that can be drawn: name it with {', '.join(FORMATS)} at the end")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise DataError("--plot needs matplotlib: pip install 'divebell[bench]', or leave --plot out") from None


def draw(file: Path, rows: Sequence[Summary]) -> None:
    """Draw the picture; the file's ending says the format (svg, png, pdf)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = list(dict.fromkeys(row.task for row in rows))
    width = 3.6 * len(tasks) + 1.3
    with pyplot.rc_context(
        {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "divebell", "svg.fonttype": "path"}
    ):
        figure, axes = pyplot.subplots(
            len(_MEASURES),
            len(tasks),
            figsize=(width, 6.6),
            sharex="col",
            sharey="row",
            squeeze=False,
            facecolor=_PAPER,
        )
        figure.subplots_adjust(
            left=0.75 / width, right=1 - 0.98 / width, top=0.93, bottom=0.115, wspace=0.36, hspace=0.14
        )
        for line, (measure, _) in enumerate(_MEASURES):
            axes[line][0].set_ylim(*_whole_decades([getattr(row, measure) for row in rows]))
        for column, task in enumerate(tasks):
            for line, (measure, title) in enumerate(_MEASURES):
                _panel(axes[line][column], [row for row in rows if row.task == task], measure)
                if column == 0:
                    axes[line][column].set_ylabel(title, color=_INK)
            axes[0][column].set_title(TASK_TITLES.get(task, task), loc="left", color=_INK, fontweight="bold", pad=10)
            axes[-1][column].set_xlabel("characters of context", color=_INK)
        figure.draw_without_rendering()  # fixes the axes' limits, which the labels' places depend on
        for panel in axes.flat:
            _label_lines(panel)
        figure.text(0.012, 0.018, _footnote(rows), color=_GREY, fontsize=8)
        figure.savefig(file, dpi=130, facecolor=_PAPER, metadata={"Date": None} if file.suffix == ".svg" else None)
        pyplot.close(figure)


def _whole_decades(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around the values, a little apart from them."""
    low, high = max(min(values), _SMALLEST), max(*values, _SMALLEST)
    return 10.0 ** math.floor(math.log10(low) - 0.05), 10.0 ** math.ceil(math.log10(high) + 0.05)


def _footnote(rows: Sequence[Summary]) -> str:
    prices = (
        "Scripted models, at the prices of gpt-5 and gpt-5-mini. "
        if {row.policy for row in rows} & _COLOURS.keys()
        else ""
    )
    return f"{prices}Engine time is without the models' own. Behind each name: the mean score."


def _amount(measure: str) -> "Callable[[float, object], str]":
    if measure == "dollars":
        return lambda value, _: f"${value:,.4f}".rstrip("0").rstrip(".")
    return lambda value, _: f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"


def _panel(axes: Any, rows: Sequence[Summary], measure: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_autoscaley_on(False)
    axes.set_facecolor(_PAPER)
    axes.yaxis.set_major_formatter(_amount(measure))
    axes.grid(True, which="major", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=_GREY)
    axes.minorticks_off()
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    others = iter(_OTHER_COLOURS * 10)
    for policy in dict.fromkeys(row.policy for row in rows):
        own = sorted((row for row in rows if row.policy == policy), key=lambda row: row.size)
        score = sum(row.score for row in own) / len(own)
        axes.plot(
            [row.size for row in own],
            [max(getattr(row, measure), _SMALLEST) for row in own],
            color=_COLOURS.get(policy) or next(others),
            marker="o",
            markersize=4,
            linewidth=1.8,
            label=f"{policy} {score:.2f}",
        )
    axes.margins(x=0.05)


def _label_lines(axes: Any) -> None:
    """A name at the end of each line instead of a legend, moved apart where two would overlap."""
    lines = axes.get_lines()
    ends = [axes.transData.transform((line.get_xdata()[-1], line.get_ydata()[-1])) for line in lines]
    places = [axes.transAxes.inverted().transform(end) for end in ends]
    heights = _moved_apart([float(y) for _, y in places])
    for line, (x, _), height in zip(lines, places, heights, strict=True):
        axes.annotate(
            line.get_label(), (x + 0.025, height), xycoords="axes fraction", color=line.get_color(), va="center",
            ha="left", fontsize=8.5, annotation_clip=False,
        )  # fmt: skip


def _moved_apart(heights: list[float]) -> list[float]:
    """The same heights, each pair of neighbours at least a label apart, and moved as little as that takes."""
    moved = list(heights)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for _ in range(_SPREADING_ROUNDS):
        for low, high in pairwise(order):
            missing = _LEAST_LABEL_GAP - (moved[high] - moved[low])
            if missing > 0:
                moved[low] -= missing / 2
                moved[high] += missing / 2
    return moved
