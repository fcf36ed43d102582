"""Reading and filling in the texts of this folder."""

from functools import cache
from hashlib import sha256
from importlib import resources
from string import Template


@cache
def template(name: str) -> Template:
    return Template((resources.files("divebell.prompts") / f"{name}.md").read_text("utf-8"))


def render(name: str, **values: object) -> str:
    """The prompt of that name, filled in. KeyError if a value is missing."""
    return template(name).substitute(values).strip("\n")


@cache
def prompts_digest() -> str:
    """A hash of this folder's texts, which distinguishes them from those of another version."""
    folder = resources.files("divebell.prompts")
    texts = sorted((file.name, file.read_bytes()) for file in folder.iterdir() if file.name.endswith(".md"))
    return sha256(repr(texts).encode()).hexdigest()[:32]
