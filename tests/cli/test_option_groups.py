"""Groups of options: a command's dataclasses become options of its panels, and come back as dataclasses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner

from divebell.cli.option_groups import OptionGroup, expand_groups


@dataclass(frozen=True, kw_only=True)
class Sizes(OptionGroup):
    panel = "How large"
    width: Annotated[int, typer.Option(min=1, help="How wide.")] = 3
    paths: Annotated[list[Path] | None, typer.Option("--path", "-p")] = None


@dataclass(frozen=True, kw_only=True)
class Looks(OptionGroup):
    panel = "How nice"
    is_red: Annotated[bool, typer.Option("--red")] = False


def test_a_command_gets_its_groups_with_what_was_typed_and_their_defaults() -> None:
    seen: list[tuple[str, Sizes, Looks]] = []

    @expand_groups
    def draw(name: Annotated[str, typer.Argument()], sizes: Sizes, looks: Looks) -> None:
        """Draw something."""
        seen.append((name, sizes, looks))

    app = typer.Typer()
    app.command()(draw)
    assert CliRunner().invoke(app, ["a"]).exit_code == 0
    assert CliRunner().invoke(app, ["b", "--width", "7", "--red", "-p", "x", "-p", "y"]).exit_code == 0
    assert seen == [
        ("a", Sizes(), Looks()),
        ("b", Sizes(width=7, paths=[Path("x"), Path("y")]), Looks(is_red=True)),
    ]
    assert CliRunner().invoke(app, ["c", "--width", "0"]).exit_code == 2
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(text in shown for text in ("Draw something.", "How large", "How nice", "--width", "How wide."))
