"""Pictures: whatever is given, the trace is kept, and a copy where there can be one."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from prefect_trackrecord.record import ThoughtfulRecord, configure_records_tracing, load_records
from prefect_trackrecord.record.images import suffix_of


class Doc(ThoughtfulRecord):
    pass


@pytest.fixture
def traced(folder, run):
    configure_records_tracing(folder)
    record = Doc(id="1")

    def trace(image):
        record.log_trace("picture", image=image)
        (entry,) = load_records(folder)
        last = entry.traces[-1]
        assert last.action == "picture"
        if last.image:
            assert (run / last.image).is_file()
            assert last.image == f"images/{os.path.basename(last.image)}"
        return last

    return trace


def copy_of(run, trace):
    return (run / trace.image).read_bytes()


def test_a_path_bytes_and_objects(traced, run, tmp_path, png):
    path = tmp_path / "a picture.JPG"
    path.write_bytes(png)

    class Figure:
        def savefig(self, target, **options):
            target.write(png + options["format"].encode())

    class Image:
        def save(self, target, **options):
            target.write(png + options["format"].encode())

    by_path, by_text, by_bytes = traced(path), traced(str(path)), traced(png)
    assert by_path.image == by_text.image == by_bytes.image
    assert by_path.image.endswith(".png")  # by its bytes, not by its name
    assert copy_of(run, by_path) == png
    assert hashlib.sha256(png).hexdigest().startswith(os.path.basename(by_path.image)[:-4])
    assert copy_of(run, traced(Figure())) == png + b"png"
    assert copy_of(run, traced(Image())) == png + b"PNG"
    assert copy_of(run, traced(bytearray(png))) == png
    path.write_bytes(png + b"changed later")
    assert copy_of(run, by_path) == png
    assert copy_of(run, traced(path)) == png + b"changed later"
    assert len(list((run / "images").iterdir())) == 4


def test_what_png_cannot_hold_and_what_knows_no_format(traced, run, tmp_path, png):
    from PIL import Image

    class ToAPath:
        def save(self, path):
            Path(path).write_bytes(png)

    class Figure:
        savefig = ToAPath.save

    assert copy_of(run, traced(ToAPath())) == copy_of(run, traced(Figure())) == png
    for mode, suffix in {"CMYK": "png", "HSV": "png", "LAB": "png", "F": "tiff", "I;16": "png", "P": "png"}.items():
        trace = traced(Image.new(mode, (3, 2)))
        assert trace.image.endswith(suffix), (mode, trace.unstorable)
        assert Image.open(run / trace.image).size == (3, 2)
    buffer = io.BytesIO()
    buffer.write(png)  # as a figure that was just drawn into it, and nobody went back to the beginning
    assert copy_of(run, traced(buffer)) == png
    (tmp_path / "open").write_bytes(png)
    with open(tmp_path / "open", "rb") as file:
        file.read(5)
        assert copy_of(run, traced(file)) == png
        assert file.tell() == 5
    read, write = os.pipe()
    with open(read, "rb") as pipe, open(write, "wb"):
        assert traced(pipe).image == "", "it would never end"


def test_what_is_wrong_is_said(traced, tmp_path):
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    class Array:  # as numpy's: comparing it gives no truth value
        def __ne__(self, other):
            return self

        def __bool__(self):
            raise ValueError("ambiguous")

        __eq__, __hash__ = __ne__, None

    class Broken:
        def save(self, target, **options):
            raise RuntimeError("no screen")

    for image, words in [
        ("no/such.png", "no such file"), (tmp_path, "no file"), (pipe, "no file"), (empty, "empty"),
        (b"", "empty"), (Broken(), "no screen"), (object(), "must be a path"), (42, "must be a path"),
        (Array(), "must be a path"),
        ("nul\x00.png", "null"), ("\ud800.png", "surrogates"), ("x" * 5000, "too long"),
    ]:  # fmt: skip
        trace = traced(image)
        assert trace.image == ""
        assert words in trace.unstorable["image"].lower(), trace.unstorable


def test_no_picture_and_odd_names(traced, run, tmp_path, png):
    for name in ("..png", "a;rm -rf.png", "<script>.png", "ünïcode\u202e.png", "a\nb.png", " "):
        path = tmp_path / name
        path.write_bytes(png + name.encode())
        assert copy_of(run, traced(path)) == png + name.encode()
    before = set((run / "images").iterdir())
    path.write_bytes(b"root:x:0:0:root:/root:/bin/bash")
    for image in (path, path.read_bytes(), "/proc/self/environ"):
        if image != "/proc/self/environ" or os.path.exists(image):
            trace = traced(image)
            assert trace.image == "", "a path may come from data, and the folder is passed around"
            assert "no picture type" in trace.unstorable["image"]
    assert set((run / "images").iterdir()) == before
    for stored in (run / "images").iterdir():
        assert stored.stem.isalnum()


def test_a_huge_one_is_copied_in_bounded_memory(traced, run, tmp_path, png):
    path = tmp_path / "huge.png"
    with open(path, "wb") as file:
        file.write(png)
        file.truncate(80_000_000)
    import tracemalloc

    tracemalloc.start()
    trace = traced(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (run / trace.image).stat().st_size == 80_000_000
    assert peak < 20_000_000


def test_one_that_came_before_configure(folder, run, tmp_path, png):
    record = Doc(id="1")
    record.log_trace("early", image=png)
    path = tmp_path / "x.png"
    path.write_bytes(png + b"2")
    record.log_trace("early too", image=path)
    configure_records_tracing(folder)
    (entry,) = load_records(folder)
    assert copy_of(run, entry.traces[1]) == png
    assert copy_of(run, entry.traces[2]) == png + b"2"


PLAIN = """<?xml version="1.0"?><!-- by matplotlib --><svg xmlns="http://www.w3.org/2000/svg"
 xmlns:xlink="http://www.w3.org/1999/xlink"><metadata><rdf:RDF><dc:type rdf:resource="http://purl.org/dc"/></rdf:RDF></metadata>
 <style type="text/css">*{stroke-linejoin: round}</style><defs><path id="m" d="M 0 0"/></defs><use xlink:href="#m"/>
 <g clip-path="url(#p1)"><image href="data:image/png;base64,AAAA"/></g><text font="bold">on = 3</text></svg>"""


@pytest.mark.parametrize(
    "part",
    [
        "<script>alert(1)</script>",
        "<svg:script/>",
        "<g onload='x()'/>",
        "<a href='javascript:x()'/>",
        "<foreignObject/>",
    ]
    + ["<a xlink:href='&#106;avascript:x()'/>", "<use href='http.svg#x'/>", "<style>@import 'x'</style>"]
    + ["<animate attributeName='href' to='x'/>", "<g style='fill:url(other.svg)'/>"],
)
def test_an_svg_that_does_something_is_not_kept(traced, run, tmp_path, part):
    path = tmp_path / "x.svg"
    path.write_text(PLAIN)
    assert traced(path).image.endswith(".svg")
    path.write_text(PLAIN.replace("</svg>", f"{part}</svg>"))
    for image in (path, path.read_bytes()):
        trace = traced(image)
        assert trace.image == ""
        assert "SVG" in trace.unstorable["image"]
    assert len(list((run / "images").iterdir())) == 1


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpg"), (b"GIF89a..", "gif"), (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"\0\0\0 ftypavif", "avif"), (b"\0\0\0 ftypheic", "heic"), (b"<svg xmlns='x'>", "svg"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg>", "svg"), (b"<?xml version='1.0'?><html>", ""),
        (b"%PDF-1.7", "pdf"), (b"<html>", ""), (b"", ""), (b"II*\0", "tiff"),
    ],
)  # fmt: skip
def test_types_come_from_bytes(head, suffix):
    assert suffix_of(head) == suffix
