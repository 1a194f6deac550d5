"""Files that are not what they say, scored by models without code: each is a failed item by itself, with its reason."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

CHANCE = random.Random(3)


def encoded(form: str, size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, 7 if mode == "L" else None).save(stream, form)
    return stream.getvalue()


def flipped(data: bytes, *places: int) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PNG, JPEG, GIF, BMP, TIFF = (encoded(form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF"))

IMAGES: dict[str, bytes] = {
    "empty.png": b"",
    "one-byte.png": b"\x89",
    "signature-only.png": PNG[:8],
    "half.png": PNG[: len(PNG) // 2],
    "without-data.png": PNG[:33] + chunk(b"IEND", b""),
    "flipped-head.png": flipped(PNG, 18),
    "flipped-data.png": flipped(PNG, 45, 46, 47),
    "no-pixels.png": png(0, 0, zlib.compress(b"")),
    "too-wide.png": png(2**31 - 1, 1, zlib.compress(b"\0")),
    "bomb.png": png(60_000, 60_000, zlib.compress(b"\0" * 100_000)),
    "claims-more.png": png(4000, 4000, zlib.compress(b"\0" * 100)),
    "no-zlib.png": png(8, 8, b"this is not compressed"),
    "other-size.png": encoded("PNG", (9, 7)),
    "text.png": b"I am a picture, honestly\n",
    "html.png": b"<!DOCTYPE html><title>404</title>",
    "zeros.png": bytes(5000),
    "noise.png": CHANCE.randbytes(5000),
    "elf.png": b"\x7fELF" + bytes(200),
    "zip.png": b"PK\x03\x04" + bytes(200),
    "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "half.jpg": JPEG[: len(JPEG) // 2],
    "head.jpg": JPEG[:4],
    "flipped.jpg": flipped(JPEG, 3, 4, 5, 20),
    "noise-after-head.jpg": JPEG[:20] + CHANCE.randbytes(500),
    "empty.jpeg": b"",
    "half.gif": GIF[:14],
    "noise.gif": GIF[:10] + CHANCE.randbytes(100),
    "half.bmp": BMP[: len(BMP) // 2],
    "offset.bmp": BMP[:10] + struct.pack("<I", 2**31) + BMP[14:],
    "head.bmp": BMP[:2],
    "half.tif": TIFF[: len(TIFF) // 2],
    "loop.tiff": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    "tags.tiff": b"II*\0\x08\0\0\0\xff\xff" + CHANCE.randbytes(300),
    "float.tiff": encoded("TIFF", mode="F"),
    "integer.tiff": encoded("TIFF", mode="I"),
}


def parquet(frame: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream)
    return stream.getvalue()


PARQUET = parquet(pd.DataFrame({"x": range(100)}))

TABLES: dict[str, bytes] = {
    "empty.csv": b"",
    "newlines.csv": b"\n\n\n",
    "other-column.csv": b"y\n1\n2\n",
    "words.csv": b"x\none\ntwo\n",
    "one-word.csv": b"x\n1\n2\nthree\n",
    "fractions.csv": b"x\n1.5\n",
    "beyond-long.csv": b"x\n99999999999999999999999\n",
    "missing.csv": b"x,y\n1,2\n,3\n",
    "ragged.csv": b"x\n1\n2,3\n4,5,6\n",
    "open-quote.csv": b'x\n"1\n2\n3\n',
    "nul.csv": b"x\n1\0\n",
    "utf16.csv": "x\n1\n".encode("utf-16"),
    "latin1-head.csv": b"\xe9x\n1\n",
    "no-utf8.csv": b"x\n\xff\xfe\n",
    "noise.csv": CHANCE.randbytes(3000),
    "gzip.csv": b"\x1f\x8b\x08\0" + CHANCE.randbytes(100),
    "formula.csv": b"x\n=cmd|' /C calc'!A0\n",
    "wide.csv": b",".join(b"c%d" % n for n in range(5000)) + b"\n" + b",".join([b"1"] * 5000) + b"\n",
    "long-field.csv": b"x\n" + b"9" * 2_000_000 + b"\n",
    "dates.csv": b"x\n2024-01-01\n",
    "semicolons.csv": b"x;y\n1;2\n",
    "empty.parquet": b"",
    "magic.parquet": b"PAR1",
    "two-magics.parquet": b"PAR1PAR1",
    "half.parquet": PARQUET[: len(PARQUET) // 2],
    "headless.parquet": b"XXXX" + PARQUET[4:-4] + b"XXXX",
    "footer-length.parquet": PARQUET[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1",
    "flipped-footer.parquet": flipped(PARQUET, *range(len(PARQUET) - 200, len(PARQUET) - 180)),
    "flipped-data.parquet": flipped(PARQUET, *range(4, 40)),
    "noise.parquet": CHANCE.randbytes(3000),
    "csv.parquet": b"x\n1\n2\n",
    "other-column.parquet": parquet(pd.DataFrame({"y": [1]})),
    "words.parquet": parquet(pd.DataFrame({"x": ["one"]})),
    "lists.parquet": parquet(pd.DataFrame({"x": [[1, 2]]})),
    "nothing.parquet": parquet(pd.DataFrame({"x": [None, None]})),
    "dates.parquet": parquet(pd.DataFrame({"x": pd.to_datetime(["2024-01-01"])})),
}

#: One line each: to any reader of CSV a table of columns and no rows.
HEADS: dict[str, bytes] = {
    "zip.csv": b"PK\x03\x04" + bytes(100),
    "html.csv": b"<html><body>x</body></html>",
    "json.csv": b'{"x": [1, 2]}',
    "head.csv": b"x\n",
}


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def check(ran, bad: dict[str, bytes], good: int) -> None:
    """Each bad file is one failed item with a reason of its own, and nothing else is lost."""
    assert [error["file"] for error in ran.errors] == sorted(bad)
    for error in ran.errors:
        assert error["message"].strip(), error
        assert error["category"] in ("unreadable", "unsupported", "exception", "encoding", "return_type"), error
        assert len(error["message"]) < 2000, error["file"]
    assert ran.summary["items"] == {"total": len(bad) + good, "succeeded": good, "failed": len(bad)}


def test_every_bad_image_is_a_failed_item_and_the_good_ones_are_scored(project, succeed, use, brightness) -> None:
    put(project.input, IMAGES)
    for n in range(12):
        Image.fromarray(np.full((8, 8), n, np.uint8), "L").save(project.input / f"x{n:02d}.png")
    use(brightness, mini_batch_size=7, max_concurrency_per_instance=2)

    ran = succeed()

    assert ran.rows.decode().splitlines() == [f"0,{n}.0,1,x{n:02d}.png" for n in range(12)]
    check(ran, IMAGES, 12)


def test_every_bad_table_is_a_failed_item_and_the_good_ones_are_scored(project, succeed, use, doubler) -> None:
    put(project.input, TABLES | HEADS)
    for n in range(12):
        (project.input / f"z{n:02d}.csv").write_text(f"x\n{n}\n")
    use(doubler, mini_batch_size=7, max_concurrency_per_instance=2)

    ran = succeed()

    assert ran.rows.decode().splitlines() == [f"0,{2 * n},1,z{n:02d}.csv" for n in range(12)]
    check(ran, TABLES, 12 + len(HEADS))
