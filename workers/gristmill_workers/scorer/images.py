"""Images for a no-code model: one file as one uint8 array (1, height, width, channels), or as its tensor wants it.

Values are 0 to 255 whatever the file holds; nothing is resized, cropped or turned:
- 16-bit grey keeps its high byte; 32-bit and floating-point pixels have no agreed scale and are refused;
- a palette, CMYK, YCbCr and the like become RGB; one-bit images become grey; of an animation the first frame counts;
- an EXIF orientation is left alone: training code that ignored it saw the same pixels;
- without a signature an image keeps its own channels (1 grey, 2 grey + alpha, 3 RGB, 4 RGBA); with one, they become
  as many as the tensor says (alpha is dropped, not blended).
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, Sequence

import numpy as np

from .failures import counted
from .signature import Signature, Tensor

#: The extensions that hold images.
EXTENSIONS = frozenset(["png", "jpg", "jpeg", "tif", "tiff", "bmp", "gif"])

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CHANNELS = {mode: channels for channels, mode in _MODES.items()}
_ALPHA = frozenset(["LA", "RGBA"])
_SIXTEEN_BITS = frozenset(["I;16", "I;16L", "I;16B", "I;16N"])


class DoesNotFit(ValueError):
    """An image has another size than the model's tensor."""


class _Plan:
    """How an image becomes a tensor's example."""

    def __init__(self, channels: int, order: tuple[int, ...], shape: tuple[int, ...]) -> None:
        self.channels = channels
        #: The axes of (height, width, channels) in the tensor's order.
        self.order = order
        #: What the turned array is reshaped to.
        self.shape = shape


def read_images(path: str, signature: Signature) -> Iterator[Any]:
    """Yield the file's one array (1, ...); a generator, as a table's reader is."""
    yield read_image(path, signature.tensor)


def group(images: Any) -> Any:
    """Return what images must have in common to be stacked."""
    return images.shape[1:], images.dtype.str


def join(pieces: list[Any]) -> Any:
    """Return images as one stack."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def read_image(path: str, tensor: Tensor | None) -> Any:
    """Return the file's image as an array whose first axis, the batch, is 1 long.

    Raises:
        ImportError: Pillow is not there.
        DoesNotFit: the tensor wants another size.
        Exception: whatever Pillow raises on a file that is no whole image.

    """
    with _pillow().open(path) as image:
        if tensor is None or not tensor.example:
            # A copy: Pillow's own memory is read-only, and a model may write into what it is given.
            return np.array(_plain(image, "")).reshape(_natural_shape(image))
        plan = _plan_for(image, tensor)
        array = np.array(_plain(image, _MODES[plan.channels]))
    array = array.reshape((image.height, image.width, plan.channels)).transpose(plan.order)
    return np.ascontiguousarray(array.reshape((1, *plan.shape)), dtype=tensor.dtype)


def _pillow() -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - only a job with images needs Pillow
    except ImportError as error:
        raise ImportError(
            f"reading images needs Pillow in the model's environment: add 'pillow' to its conda.yaml ({error})"
        ) from error
    return Image


def _natural_shape(image: Any) -> tuple[int, int, int, int]:
    return 1, image.height, image.width, _CHANNELS[_natural_mode(image)]


def _natural_mode(image: Any) -> str:
    """Which of the four plain modes an image has, or is nearest to."""
    mode = image.mode
    if mode in _CHANNELS:
        return str(mode)
    if mode in ("La", "RGBa", "PA"):
        return "RGBA"
    return "L" if mode == "1" or mode[0] == "I" else "RGB"


def _plain(image: Any, wanted: str) -> Any:
    """Return the first frame in a plain mode: the wanted one, or ("") the image's own."""
    natural = _natural_mode(image)
    wanted = wanted or natural
    if image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format == "PNG"):
        # Pillow's own conversion clips in some versions and scales in others.
        image = _pillow().fromarray((np.asarray(image).astype("uint16") >> 8).astype("uint8"))
    elif image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no agreed scale: give an image of 8 or 16 bits")
    elif image.mode not in _CHANNELS:
        # By way of a plain mode: not every pair can be converted at once, and a palette may hold transparency.
        image = image.convert("RGBA" if image.mode == "P" and wanted in _ALPHA else natural)
    return image if image.mode == wanted else image.convert(wanted)


def _plan_for(image: Any, tensor: Tensor) -> _Plan:
    natural = _CHANNELS[_natural_mode(image)]
    plan = _plan(tensor.example, image.height, image.width, natural)
    if plan is None:
        raise DoesNotFit(
            f"an image {image.height} high and {image.width} wide with {counted(natural, 'channel')} does not fit "
            f"the model's tensor {tensor}, and images are not resized"
        )
    return plan


def _plan(example: tuple[int, ...], height: int, width: int, natural: int) -> _Plan | None:
    """Find the reading of a tensor's example shape that the image fits; None: there is none."""
    planners: dict[int, Callable[[], _Plan | None]] = {
        1: lambda: _flat(example[0], height, width, natural),
        2: lambda: _grey(example, height, width),
        3: lambda: _layered(example, height, width, natural),
    }
    plan = planners[len(example)]() if len(example) in planners else None
    if plan is not None or 1 not in example:
        return plan
    squeezed = _plan(tuple(length for length in example if length != 1), height, width, natural)
    if squeezed is not None:
        lengths = iter(squeezed.shape)
        squeezed.shape = tuple(1 if length == 1 else next(lengths) for length in example)
    return squeezed


def _flat(length: int, height: int, width: int, natural: int) -> _Plan | None:
    """(values): every value in one row; alpha is not made up to fill it."""
    for channels in (natural, 1, 3):
        values = height * width * channels
        if length in (-1, values):
            return _Plan(channels, (0, 1, 2), (values,))
    return None


def _grey(example: Sequence[int], height: int, width: int) -> _Plan | None:
    """(height, width), or (pixels, channels)."""
    if _matches(example, (height, width)):
        return _Plan(1, (0, 1, 2), (height, width))
    if example[1] in _MODES and _matches(example[:1], (height * width,)):
        return _Plan(example[1], (0, 1, 2), (height * width, example[1]))
    return None


def _layered(example: Sequence[int], height: int, width: int, natural: int) -> _Plan | None:
    """(height, width, channels), or (channels, height, width); a stated number of channels counts before -1."""
    readings: list[tuple[int, Sequence[int], tuple[int, int, int]]] = [
        (example[2], example[:2], (0, 1, 2)),
        (example[0], example[1:], (2, 0, 1)),
    ]
    for stated in (True, False):
        for channels, plane, order in readings:
            fits = channels in _MODES if stated else channels == -1
            if fits and _matches(plane, (height, width)):
                count = channels if stated else natural
                lengths = (height, width, count)
                return _Plan(count, order, tuple(lengths[axis] for axis in order))
    return None


def _matches(wanted: Sequence[int], found: Sequence[int]) -> bool:
    return all(length in (-1, real) for length, real in zip(wanted, found))


def model_input(images: Any, signature: Signature) -> Any:
    """Return what predict is given for a stack of images: the array, or the named tensor's dict.

    Raises:
        ValueError: the model takes several tensors, and an image can be but one.

    """
    if len(signature.tensors) > 1:
        names = ", ".join(f"'{tensor.name}'" for tensor in signature.tensors)
        raise ValueError(f"the model takes {len(signature.tensors)} tensors ({names}); an image is one")
    tensor = signature.tensor
    return images if tensor is None or tensor.name is None else {tensor.name: images}
