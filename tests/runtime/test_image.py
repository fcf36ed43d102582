"""The image that sandboxes start from: seeded runs repeat from process to process, so theirs must be the same in each."""

import hashlib
from collections.abc import Callable

import pytest

from divebell.runtime.in_process import InProcessRuntime


def digest(runtime: InProcessRuntime, *, is_reproducible: bool) -> str:
    region = runtime.image(is_reproducible=is_reproducible).region
    return hashlib.sha256(region.read(0, region.length)).hexdigest()


@pytest.mark.slow
def test_the_image_of_seeded_guests_is_the_same_in_each_process(alone: Callable[..., str]) -> None:
    script = """
from divebell.runtime.in_process import InProcessRuntime
from tests.runtime.test_image import digest
print(digest(InProcessRuntime(), is_reproducible=True))
"""
    assert alone(script).strip() == digest(InProcessRuntime(), is_reproducible=True)


def test_that_of_other_guests_has_a_hash_secret_of_its_own() -> None:
    assert len({digest(InProcessRuntime(), is_reproducible=False) for _ in range(2)}) == 2


def test_images_have_ids_of_their_own_even_where_their_bytes_are_the_same() -> None:
    """A checkpoint has the pages that differ from one image, and fits guests of that one alone."""
    first, second = (InProcessRuntime().image(is_reproducible=True) for _ in range(2))
    assert first.id != second.id
