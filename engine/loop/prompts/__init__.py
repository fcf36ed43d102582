"""The texts that the engine sends to models: one file each, beside this one. `$name` marks what is filled in."""

from functools import cache
from importlib import resources
from string import Template


@cache
def _template(name: str) -> Template:
    return Template((resources.files(__name__) / f"{name}.md").read_text("utf-8"))


def render(name: str, **values: object) -> str:
    """The prompt of that name, filled in. KeyError if a value is missing."""
    return _template(name).substitute(values).strip()
