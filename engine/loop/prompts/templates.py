"""Reading and filling in the texts of this folder."""

from functools import cache
from importlib import resources
from string import Template


@cache
def template(name: str) -> Template:
    return Template((resources.files("divebell.loop.prompts") / f"{name}.md").read_text("utf-8"))


def render(name: str, **values: object) -> str:
    """The prompt of that name, filled in. KeyError if a value is missing."""
    return template(name).substitute(values).strip("\n")
