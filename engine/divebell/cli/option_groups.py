"""Groups of options: a command takes dataclasses, and typer sees their fields, each an option in the group's panel.

Typer reads a command's options from its parameters, one each. A command with fifty options would be a function with
fifty parameters, and each of them would stand three times: where it is declared, where it is passed on, and where it
is used.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar, get_type_hints

from typer.models import ParameterInfo


class OptionGroup:
    """A base for frozen dataclasses whose fields are options: `Annotated[type, typer.Option(...)] = default`.

    panel: the heading in --help under which they stand.
    """

    panel: ClassVar[str]


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer is to see it: with the fields of its groups in place of each group."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[OptionGroup]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if isinstance(hint, type) and issubclass(hint, OptionGroup):
            groups[parameter.name] = hint
            parameters += _parameters_of(hint)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        arguments: dict[str, Any] = {
            name: group(**{own.name: values.pop(own.name) for own in _fields(group)}) for name, group in groups.items()
        }
        command(**values, **arguments)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # functions have one by PEP 362
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del expanded.__wrapped__  # which inspect would read the hints of
    return expanded


def _parameters_of(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for own in _fields(group):
        for info in getattr(hints[own.name], "__metadata__", ()):
            if isinstance(info, ParameterInfo):
                info.rich_help_panel = group.panel
        assert own.default is not MISSING, f"the option {own.name} of {group.__name__} has no default"
        parameters.append(
            inspect.Parameter(own.name, inspect.Parameter.KEYWORD_ONLY, default=own.default, annotation=hints[own.name])
        )
    return parameters


def _fields(group: type[OptionGroup]) -> tuple["Field[Any]", ...]:
    return fields(group)  # type: ignore[arg-type]  # every group is a dataclass
