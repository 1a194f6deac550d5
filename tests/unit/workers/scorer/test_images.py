"""Real image files become the arrays that a model's tensor asks for."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from mlflow.types.schema import ColSpec, TensorSpec
from PIL import Image

from gristmill_workers.scorer import images
from gristmill_workers.scorer.signature import Tensor

GREY = np.arange(28 * 20, dtype="uint8").reshape(28, 20)
COLOUR = np.random.default_rng(7).integers(0, 256, (6, 5, 3), dtype="uint8")


def described(model, data):
    return [f"{data.dtype} {data.shape}"] * len(data)


def tensor(*shape: int, dtype: str = "uint8", name: str | None = None) -> Tensor:
    return Tensor(name, shape, np.dtype(dtype))


@pytest.fixture
def read(tmp_path):
    def read_(image, wanted=None, name="x.png", **options):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return images.read_image(str(tmp_path / name), wanted)

    return read_


@pytest.mark.parametrize("name", ["x.png", "x.TIFF", "x.tif", "x.bmp", "x.gif"])
def test_a_lossless_grey_image_comes_as_it_is(read, name):
    np.testing.assert_array_equal(read(GREY, name=name)[0, :, :, 0], GREY)


@pytest.mark.parametrize("name", ["x.png", "x.tiff", "x.bmp"])
def test_a_lossless_colour_image_comes_as_it_is(read, name):
    found = read(COLOUR, name=name)
    assert (found.shape, found.dtype) == ((1, 6, 5, 3), np.uint8)
    np.testing.assert_array_equal(found[0], COLOUR)


@pytest.mark.parametrize("name", ["x.jpg", "x.jpeg"])
def test_a_jpeg_comes_as_its_decoder_sees_it(read, tmp_path, name):
    flat = np.full((8, 8, 3), (200, 100, 50), "uint8")
    assert np.abs(read(flat, name=name, quality=95)[0].astype(int) - flat).max() <= 4


@pytest.mark.parametrize("name", ["1.PNG", "2.Jpg", "3.jpeg", "4.tiff", "5.tif", "6.bmp", "7.gif"])
def test_every_extension_in_any_case_reaches_the_model_as_uint8(bench, name):
    b = bench(described)
    colour = b.score(b.image(name, COLOUR)).frame
    assert colour["prediction"].tolist() == ["uint8 (1, 6, 5, 3)"]
    assert colour["row"].tolist() == [0]


@pytest.mark.parametrize(
    ("image", "shape", "expected"),
    [
        (GREY, (-1, 560), (1, 560)),
        (GREY, (-1, -1), (1, 560)),
        (GREY, (-1, 28, 20), (1, 28, 20)),
        (GREY, (-1, 28, 20, 1), (1, 28, 20, 1)),
        (GREY, (-1, 1, 28, 20), (1, 1, 28, 20)),
        (GREY, (1, 28, 20, 1), (1, 28, 20, 1)),
        (GREY, (-1, 560, 1), (1, 560, 1)),
        (GREY, (-1, 1, 560), (1, 1, 560)),
        (GREY, (-1, 1, 28, 20, 1), (1, 1, 28, 20, 1)),
        (GREY, (-1, -1, -1, -1), (1, 28, 20, 1)),
        (GREY, (-1, -1, -1, 3), (1, 28, 20, 3)),
        (GREY, (-1, 3, -1, -1), (1, 3, 28, 20)),
        (GREY, (-1, -1, 28, 20), (1, 1, 28, 20)),
        (COLOUR, (-1, 90), (1, 90)),
        (COLOUR, (-1, 30), (1, 30)),
        (COLOUR, (-1, 6, 5), (1, 6, 5)),
        (COLOUR, (-1, 6, 5, 1), (1, 6, 5, 1)),
        (COLOUR, (-1, 6, 5, 2), (1, 6, 5, 2)),
        (COLOUR, (-1, 6, 5, 4), (1, 6, 5, 4)),
        (COLOUR, (-1, 3, 6, 5), (1, 3, 6, 5)),
        (COLOUR, (-1, 30, 3), (1, 30, 3)),
        (COLOUR, (-1, -1, -1, -1), (1, 6, 5, 3)),
        (COLOUR, (-1,), (1, 6, 5, 3)),
    ],
)
def test_an_image_takes_the_tensors_shape(read, image, shape, expected):
    assert read(image, tensor(*shape)).shape == expected


def test_a_flat_tensor_keeps_the_order_of_rows(read):
    np.testing.assert_array_equal(read(GREY, tensor(-1, 560))[0], GREY.ravel())


def test_channels_first_is_turned_not_reshaped(read):
    np.testing.assert_array_equal(read(COLOUR, tensor(-1, 3, 6, 5))[0], COLOUR.transpose(2, 0, 1))


def test_a_square_of_three_channels_counts_as_channels_last(read):
    square = np.random.default_rng(1).integers(0, 256, (3, 3, 3), dtype="uint8")
    np.testing.assert_array_equal(read(square, tensor(-1, 3, 3, 3))[0], square)


@pytest.mark.parametrize(
    "shape", [(-1, 28, 28, 1), (-1, 20, 28, 1), (-1, 784), (-1, 1, 28, 28), (-1, 2, 2, 2, 2, 35), (-1, 2240)]
)
def test_an_image_of_another_size_is_refused_not_resized(read, shape):
    with pytest.raises(images.DoesNotFit, match=r"an image 28 high and 20 wide .* not resized") as caught:
        read(GREY, tensor(*shape))
    assert f"uint8 {shape}" in str(caught.value)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_values_stay_0_to_255_in_the_tensors_type(read, dtype):
    found = read(GREY, tensor(-1, 28, 20, 1, dtype=dtype))
    assert found.dtype == dtype
    assert (found.min(), found.max()) == (0, 255)


def test_the_array_is_the_models_own_to_write_into(read):
    for wanted in (None, tensor(-1, 3, 6, 5), tensor(-1, 6, 5, 3)):
        found = read(COLOUR, wanted)
        found[0, 0, 0, 0] = 1
        assert found.flags["C_CONTIGUOUS"]


# -- modes ----------------------------------------------------------------------------------------------------------


def test_sixteen_bits_keep_their_high_byte(read):
    deep = np.array([[0, 255, 256], [0x1234, 0xABCD, 65535]], dtype="uint16")
    for name in ("x.png", "x.tiff"):
        assert read(deep, name=name)[0, :, :, 0].tolist() == [[0, 0, 1], [0x12, 0xAB, 255]]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_an_agreed_scale_are_refused(read, mode):
    with pytest.raises(ValueError, match=f"pixels of mode {mode} have no agreed scale"):
        read(Image.new(mode, (2, 2)), name="x.tiff")


def test_a_palette_becomes_colours(read):
    image = Image.fromarray(np.array([[0, 1]], dtype="uint8"), mode=None).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60] + [0] * 762)
    assert read(image)[0].tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_a_palettes_transparency_counts_where_alpha_is_wanted(read):
    image = Image.fromarray(np.array([[0, 1]], dtype="uint8")).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60] + [0] * 762)
    found = read(image, tensor(-1, 1, 2, 4), transparency=1)
    assert found[0].tolist() == [[[10, 20, 30, 255], [40, 50, 60, 0]]]


def test_one_bit_becomes_grey(read):
    assert read(Image.fromarray(np.array([[True, False]])))[0, :, :, 0].tolist() == [[255, 0]]


def test_cmyk_becomes_rgb(read):
    assert read(Image.new("CMYK", (2, 2), (0, 255, 255, 0)), name="x.tiff")[0, 0, 0].tolist() == [255, 0, 0]


def test_alpha_stays_without_a_signature_and_is_dropped_for_three_channels(read):
    clear = Image.new("RGBA", (1, 1), (9, 8, 7, 0))
    assert read(clear)[0, 0, 0].tolist() == [9, 8, 7, 0]
    assert read(clear, tensor(-1, 1, 1, 3))[0, 0, 0].tolist() == [9, 8, 7]
    assert read(Image.new("LA", (1, 1), (9, 0)))[0, 0, 0].tolist() == [9, 0]


def test_premultiplied_alpha_is_undone(tmp_path):
    from gristmill_workers.scorer.images import _plain

    image = Image.new("RGBA", (1, 1), (200, 100, 50, 128)).convert("RGBa")
    assert np.abs(np.array(_plain(image, ""))[0, 0].astype(int) - [200, 100, 50, 128]).max() <= 2


def test_an_animations_first_frame_counts(read):
    first, second = (Image.new("L", (2, 2), value) for value in (10, 200))
    assert read(first, name="x.gif", save_all=True, append_images=[second])[0, 0, 0].tolist() == [10] * 3


def test_an_exif_orientation_is_left_alone(read):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(Image.new("L", (3, 2)), name="x.jpg", exif=exif).shape == (1, 2, 3, 1)


# -- failures -------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_image_is_unreadable(bench):
    b = bench(described)
    (error,) = b.score(b.file("x.png", b"not an image")).errors
    assert (error["category"], error["final"]) == ("unreadable", True)
    assert "cannot identify image file" in error["message"]


def test_half_an_image_is_unreadable(bench):
    b = bench(described)
    b.image("x.bmp", COLOUR)
    (error,) = b.score(b.file("x.bmp", (b.root / "x.bmp").read_bytes()[:-20])).errors
    assert (error["category"], error["final"]) == ("unreadable", True)


def test_a_python_without_pillow_is_told_what_to_add(bench, monkeypatch):
    b = bench(described)
    name = b.image("x.png", GREY)
    monkeypatch.setitem(sys.modules, "PIL", None)
    (error,) = b.score(name).errors
    assert "add 'pillow' to its conda.yaml" in error["message"]


def test_a_named_tensor_is_a_dict(bench):
    b = bench(
        lambda model, data: [f"{key} {value.shape}" for key, value in data.items()],
        [TensorSpec(np.dtype("uint8"), (-1, 28, 20, 1), "pixels")],
    )
    assert b.score(b.image("x.png", GREY)).frame["prediction"].tolist() == ["pixels (1, 28, 20, 1)"]


def test_a_model_of_several_tensors_takes_no_image(bench):
    specs = [TensorSpec(np.dtype("uint8"), (-1, 2), "left"), TensorSpec(np.dtype("uint8"), (-1, 2), "right")]
    b = bench(described, specs)
    assert (
        b.score(b.image("x.png", GREY))
        .messages[0]
        .endswith("the model takes 2 tensors ('left', 'right'); an image is one")
    )


def test_an_image_for_a_model_of_columns_is_refused_by_mlflow(bench):
    b = bench(described, [ColSpec("long", "a")])
    (error,) = b.score(b.image("x.png", GREY)).errors
    assert (error["category"], error["final"]) == ("unreadable", True)


def test_ten_images_are_scored_as_their_pixels_say(bench):
    b = bench(lambda model, data: data.reshape(len(data), -1).sum(axis=1), [TensorSpec(np.dtype("float32"), (-1, 64))])
    names = [b.image(f"{n}.png", np.full((8, 8), n, "uint8")) for n in range(10)]
    assert b.score(*names).frame["prediction"].tolist() == [64.0 * n for n in range(10)]
