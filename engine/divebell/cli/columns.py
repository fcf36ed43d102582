"""Tables of names and numbers that fit where they are printed: a terminal of any width, or a pipe.

Names are cut short to fit, numbers never are. All cells are text, not rich's markup: a name may be hostile. rich draws
the tables, but its own widths would shorten numbers as well as names, and it pads lines with blanks in a pipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS = 110  # of a terminal: from here on there is room for what is good to have
PIPE_COLUMNS = 1_000  # lines are as long as they must be
NAME_LEAST_COLUMNS = 12
GAP_COLUMNS = 2

Row = list[str | Text]


@dataclass(frozen=True)
class Column:
    """A column of a table. Names may be cut short to fit; numbers are aligned to the right."""

    title: str
    holds_names: bool = False
    is_number: bool = False


def name_columns(*titles: str) -> list[Column]:
    return [Column(title, holds_names=True) for title in titles]


def number_columns(*titles: str) -> list[Column]:
    return [Column(title, is_number=True) for title in titles]


def word_columns(*titles: str) -> list[Column]:
    return [Column(title) for title in titles]


class Page:
    """Standard output. `is_wide` tells that there is room for more columns, `has_bars` that bars can be drawn too."""

    def __init__(self) -> None:
        console = Console(highlight=False)
        self.is_terminal = console.is_terminal
        self.console = console if self.is_terminal else Console(width=PIPE_COLUMNS, highlight=False)
        self.is_wide = self.console.width >= WIDE_COLUMNS
        self.has_bars = self.is_wide and self.is_terminal

    def line(self, text: str, style: str = "") -> None:
        self._print(Text(text, style=style))

    def table(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        table = Table(box=None, padding=(0, GAP_COLUMNS, 0, 0), pad_edge=False, header_style="bold")
        text_rows = [[Text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
        for column, width in zip(columns, _find_widths(self.console.width, columns, text_rows), strict=True):
            table.add_column(
                Text(column.title),
                justify="right" if column.is_number else "left",
                no_wrap=True,
                overflow="ellipsis",
                min_width=width,
                max_width=width,
            )
        for row in text_rows:
            table.add_row(*row)
        self._print(table)

    def _print(self, content: "Table | Text") -> None:
        """In a pipe without the blanks with which a table fills its lines, and no line is wrapped there."""
        if self.is_terminal:
            self.console.print(content, crop=False)
        elif isinstance(content, Text):
            print(content.plain)
        else:
            with self.console.capture() as captured:
                self.console.print(content)
            print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _find_widths(available: int, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> list[int]:
    """The width of each column: numbers and words get what they need, and names share the rest. If even that is too
    wide, lines wrap."""
    cells = [[cell_len(column.title), *(row[at].cell_len for row in rows)] for at, column in enumerate(columns)]
    widths = [max(column) for column in cells]
    shared = sorted((at for at, column in enumerate(columns) if column.holds_names), key=widths.__getitem__)
    spare = available - GAP_COLUMNS * (len(columns) - 1)
    spare -= sum(width for at, width in enumerate(widths) if at not in shared)
    for place, at in enumerate(shared):
        widths[at] = min(widths[at], max(spare // (len(shared) - place), NAME_LEAST_COLUMNS))
        spare -= widths[at]
    return widths
