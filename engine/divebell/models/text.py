"""Text on its way to an endpoint and from it."""


def encodable(text: str) -> str:
    """The text with "?" for lone surrogates, which UTF-8 cannot hold. Never more bytes than the meter counted."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
