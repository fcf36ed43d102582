"""Images: their sizes from hostile headers, and the bound of what they are billed as."""

import asyncio
import contextlib
import dataclasses
import random
from typing import Any

import pytest

from divebell.errors import ModelError
from divebell.models import ModelRequest, ScriptedModel, worst_case_image_tokens
from divebell.models.images import data_url, detail_of, image_size
from divebell_bridge.door.bounds import MAX_IMAGE_BYTES
from tests.support.images import gif, jpeg, jpeg_frame, jpeg_segment, png, vp8, vp8l, vp8x, webp

MAKERS = {"image/png": png, "image/jpeg": jpeg, "image/gif": gif}


def at_low_detail(part: Any) -> Any:
    return {**part, "detail": "low"}


def image(data: object, media_type: object = "image/png", **more: object) -> Any:
    return {"type": "image", "media_type": media_type, "data": data, **more}


def refusal(part: Any) -> str:
    with pytest.raises(ModelError) as caught:
        worst_case_image_tokens(part)
    assert caught.value.never_ran
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("size", [(1, 1), (640, 480), (255, 256), (4096, 3), (16_383, 16_383)])
@pytest.mark.parametrize("media_type", MAKERS)
def test_the_size_is_read_from_the_header(media_type: str, size: tuple[int, int]) -> None:
    assert image_size(image(MAKERS[media_type](*size), media_type)) == size


@pytest.mark.parametrize("chunk", [vp8, vp8l])
def test_the_size_of_a_webp(chunk: Any) -> None:
    assert image_size(image(webp(chunk(640, 480)), "image/webp")) == (640, 480)
    assert image_size(image(webp(vp8x(640, 480), chunk(640, 480)), "image/webp")) == (640, 480)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (webp(vp8x(1, 1), vp8(640, 480)), "image/webp"),
        (webp(vp8x(640, 480), vp8l(1, 1)), "image/webp"),
        (webp(vp8(640, 1), vp8l(1, 480)), "image/webp"),
        (gif(1, 1, (0, 0, 640, 480)), "image/gif"),
        (gif(1, 1, (600, 400, 40, 80)), "image/gif"),
        (gif(640, 480, (0, 0, 1, 1)), "image/gif"),
        (jpeg(640, 480, jpeg_frame(1, 1)), "image/jpeg"),
        (jpeg(1, 1, jpeg_frame(640, 480)), "image/jpeg"),
        (jpeg(640, 480, frame=0xC2), "image/jpeg"),
        (jpeg(640, 480, jpeg_segment(0xE1, b"Exif\0\0" + b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01")), "image/jpeg"),
        (b"\xff\xd8\xff\xff\xff" + jpeg(640, 480)[3:], "image/jpeg"),
    ],
)
def test_where_a_file_states_several_sizes_the_largest_counts(data: bytes, media_type: str) -> None:
    """A header that states a small size for a large picture would make its hold too small."""
    assert image_size(image(data, media_type)) == (640, 480)


@pytest.mark.parametrize(
    ("data", "media_type", "says"),
    [
        (b"", "image/png", "no PNG header"),
        (png(5, 5)[:23], "image/png", "no PNG header"),
        (png(0, 5), "image/png", "0 by 5 pixels"),
        (png(5, 2**31 - 1), "image/png", "5 by 2,147,483,647 pixels"),
        (jpeg(5, 5), "image/png", "no PNG header"),
        (png(5, 5), "image/jpeg", "no JPEG header"),
        (b"\xff\xd8", "image/jpeg", "no frame"),
        (b"\xff\xd8\xff\xda\0\2", "image/jpeg", "no size"),
        (b"\xff\xd8" + jpeg_frame(5, 5), "image/jpeg", "no frame"),
        (b"\xff\xd8\xff\xe0\0\0", "image/jpeg", "no frame"),
        (b"\xff\xd8\xff\xe0\0\1" * 5, "image/jpeg", "no frame"),
        (b"\xff\xd8" + b"\xff\xd0" * 1_000_000, "image/jpeg", "no frame"),
        (b"\xff\xd8" + b"\xff" * 1_000_000, "image/jpeg", "no frame"),
        (jpeg(5, 0), "image/jpeg", "5 by 0 pixels"),
        (b"GIF89a", "image/gif", "no GIF header"),
        (gif(5, 5)[:20], "image/gif", "no picture"),
        (gif(5, 5, (0, 0, 5, 5), (0, 0, 5, 5)), "image/gif", "animated"),
        (gif(60_000, 5, (60_000, 0, 60_000, 5)), "image/gif", "120,000 by 5"),
        (b"GIF89a" + b"\5\0\5\0\0\0\0" + b"!\0\0" * 200_000, "image/gif", "no picture"),
        (gif(5, 5)[:30] + b"!\xfe" + b"\1x" * 200_000, "image/gif", "too many blocks"),
        (webp(), "image/webp", "no size"),
        (webp(vp8x(5, 5, animated=True), vp8(5, 5)), "image/webp", "animated"),
        (webp(vp8(5, 5))[:25], "image/webp", "no size"),
        (webp(*[b"ALPH\0\0\0\0"] * 200_000), "image/webp", "no size"),
        (webp(b"VP8 \xff\xff\xff\xff"), "image/webp", "no size"),
        (b"<svg/>", "image/svg+xml", "media_type must be one of"),
        (png(5, 5), "IMAGE/PNG", "media_type must be one of"),
        (png(5, 5), None, "media_type must be one of"),
        (png(5, 5), ["image/png"], "media_type must be one of"),
        ("text", "image/png", "must be the bytes of its file, not a str"),
        (bytearray(png(5, 5)), "image/png", "not a bytearray"),
        (png(5, 5) + b"\0" * MAX_IMAGE_BYTES, "image/png", "at most 20,971,520"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_not_sent(data: object, media_type: object, says: str) -> None:
    assert says in refusal(image(data, media_type))


@pytest.mark.parametrize("media_type", [*MAKERS, "image/webp"])
def test_broken_headers_are_refused_or_have_a_size_and_nothing_else(media_type: str) -> None:
    whole = MAKERS[media_type](640, 480) if media_type in MAKERS else webp(vp8x(640, 480), vp8(640, 480))
    chance = random.Random(7)
    for _ in range(2_000):
        broken = bytearray(whole[: chance.randrange(len(whole) + 1)])
        for _ in range(chance.randrange(4)):
            if broken:
                broken[chance.randrange(len(broken))] = chance.randrange(256)
        with contextlib.suppress(ModelError):  # nothing else may come out
            assert 0 < worst_case_image_tokens(image(bytes(broken), media_type)) <= 2_833 + 8 * 5_667


# The guide's own examples and tables, each of which the bound must not be below.
PATCHES = [((1024, 1024), 1024), ((1800, 2400), 1452), ((4000, 1474), 1536), ((2048, 2048), 2500), ((32, 32), 1)]
TILES = [((1024, 1024), 4), ((2048, 4096), 6), ((4096, 1024), 8), ((10_000, 10), 8), ((512, 512), 1)]


@pytest.mark.parametrize(("size", "patches"), PATCHES)
@pytest.mark.parametrize(
    ("model", "hundredths"),
    [("gpt-5-mini", 162), ("gpt-5-nano", 246), ("o4-mini", 172), ("gpt-5.4", 100), ("gpt-5.2", 120), ("unknown", 246)],
)
def test_the_bound_holds_where_patches_are_billed(
    size: tuple[int, int], patches: int, model: str, hundredths: int
) -> None:
    assert worst_case_image_tokens(image(png(*size)), model) * 100 >= patches * hundredths


@pytest.mark.parametrize(("size", "tiles"), TILES)
@pytest.mark.parametrize(
    ("model", "base", "tile"),
    [("gpt-5", 70, 140), ("gpt-4o", 85, 170), ("o3", 75, 150), ("gpt-4o-mini", 2833, 5667), ("unknown", 2833, 5667)],
)
def test_the_bound_holds_where_tiles_are_billed(
    size: tuple[int, int], tiles: int, model: str, base: int, tile: int
) -> None:
    part = image(png(*size))
    assert worst_case_image_tokens(part, model) >= base + tiles * tile
    assert worst_case_image_tokens(at_low_detail(part), model) >= base


def test_the_bound_is_bounded_itself() -> None:
    largest = image(png(65_535, 20_000))
    assert worst_case_image_tokens(largest) == 2_833 + 8 * 5_667
    assert worst_case_image_tokens(largest, "gpt-5") == 24_600
    assert worst_case_image_tokens(at_low_detail(largest)) == 2_833
    assert worst_case_image_tokens(at_low_detail(largest), "gpt-5") == 630


@pytest.mark.parametrize(
    "name", ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "", "gpt-50", "my-gpt-5", "o30", "llama-3", "o2"]
)
def test_only_known_names_get_the_smaller_bound(name: str) -> None:
    part = image(png(1024, 1024))
    assert worst_case_image_tokens(part, name) == 2_833 + 4 * 5_667
    for known in ("gpt-5", "gpt-5.6-sol", "gpt-5-mini", "gpt-4.1", "gpt-4o-2024-08-06", "o3", "o4-mini"):
        assert worst_case_image_tokens(part, known) == 2_520


@pytest.mark.parametrize("detail", ["auto", "original", None, 7])
def test_a_detail_without_a_bound_is_refused(detail: object) -> None:
    assert "detail must be 'high' or 'low'" in refusal(image(png(5, 5), detail=detail))


def test_the_detail_is_high_unless_said() -> None:
    assert detail_of(image(png(5, 5))) == "high"
    assert detail_of(image(png(5, 5), detail="low")) == "low"


def test_a_data_url() -> None:
    assert data_url(image(b"GIF89a" + gif(1, 1)[6:], "image/gif")).startswith("data:image/gif;base64,R0lGODlhAQABAI")
    with pytest.raises(ModelError):
        data_url(image(b"GIF89a", "image/gif"))


def test_what_is_no_image_at_all() -> None:
    assert "must be a dict" in refusal("data:image/png;base64,")


def test_a_scripted_model_counts_images_as_their_bound() -> None:
    part = image(png(64, 64))
    asked = ModelRequest(
        messages=[{"role": "user", "content": [{"type": "text", "text": "a" * 8}, part]}], max_output_tokens=10
    )
    model = ScriptedModel("m", lambda asked: "ok")

    async def run(asked: ModelRequest) -> int:
        usage = (await model.complete(asked)).usage
        assert usage is not None
        return usage.input_tokens

    assert asyncio.run(run(asked)) == 2 + worst_case_image_tokens(part, "m")
    without = dataclasses.replace(asked, messages=[{"role": "user", "content": [{"type": "text", "text": "a" * 8}]}])
    assert asyncio.run(run(without)) == 2
