"""The file that a context's pages are mapped from."""

from divebell import Context


def mapped_file(context: Context) -> int:
    """Its descriptor."""
    assert context.shared is not None
    file = context.shared.region._file
    assert file is not None
    return file
