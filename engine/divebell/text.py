"""Names and texts of a context, made fit to be shown: they come from whoever wrote the files, and are hostile.

What is shown has no control characters, no invisible ones, and none that turn the direction of writing; each is written
as Python would escape it.
"""


def plain(text: str, *, keep_newlines: bool = False) -> str:
    """The text with all but printable characters escaped."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or (keep_newlines and character == "\n")
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shown(text: str, limit: int = 60) -> str:
    """A name on one line, at most so many characters of it, quoted as Python would."""
    return plain(repr(text if len(text) <= limit else text[: limit - 1] + "…"))


def some(names: list[str], limit: int = 5) -> str:
    """The first of some names, and how many more there are."""
    first = ", ".join(shown(name) for name in names[:limit])
    return first if len(names) <= limit else f"{first} and {len(names) - limit:,} more"
