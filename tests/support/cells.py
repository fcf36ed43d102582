"""How a cell ended."""

from typing import Any

from divebell import Cell


def error_kind(cell: Cell) -> str | None:
    """The name of the exception that ended the cell, None for a cell that succeeded."""
    return cell.error.kind if cell.error else None


def value_of(cell: Cell) -> Any:
    """The cell's value; a cell that failed fails the test with its error."""
    assert cell.error is None, cell.error
    return cell.value
