"""Metadata: an application's own labels of a run, such as {"customer": "acme", "request": "b7f2"}; short, few, and
never interpreted.

They appear in the run's events, its trace, its journal and its Result, so that an application can find its runs again.
They are not sent to any model or provider.
"""

from collections.abc import Mapping

from divebell.errors import ConfigurationError

MAX_ENTRIES = 16
MAX_NAME_CHARACTERS = 64
MAX_VALUE_CHARACTERS = 512


def check_metadata(metadata: object) -> None:
    """ConfigurationError if it is not a dict of short texts, or has too many of them."""
    if metadata is None:
        return
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(
            f'metadata must be a dict of texts, such as {{"customer": "acme"}}, not {type(metadata).__name__}'
        )
    if len(metadata) > MAX_ENTRIES:
        raise ConfigurationError(f"metadata has {len(metadata):,} entries, at most {MAX_ENTRIES} are allowed")
    for name, value in metadata.items():
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise ConfigurationError(
                f"a name in metadata must be a text of 1 to {MAX_NAME_CHARACTERS} characters, not {name!r:.100}"
            )
        if not isinstance(value, str) or len(value) > MAX_VALUE_CHARACTERS:
            raise ConfigurationError(
                f"metadata[{name!r}] must be a text of up to {MAX_VALUE_CHARACTERS} characters, not {value!r:.100}"
            )


def merge_metadata(of_rlm: Mapping[str, str] | None, of_run: Mapping[str, str] | None) -> dict[str, str]:
    """The metadata of one run: the RLM's, updated with the run's own. Raises ConfigurationError as check_metadata."""
    check_metadata(of_run)
    merged = {**(of_rlm or {}), **(of_run or {})}
    check_metadata(merged)
    return merged
