"""The page as bytes: its policy, hostile and odd values, pictures, cuts, memory."""

import base64
import gzip
import hashlib
import io
import json
import re
import tracemalloc
from datetime import datetime
from html.parser import HTMLParser

import orjson
import pytest

from prefect_trackrecord.pages._records_colors import NAMED, hex_color
from prefect_trackrecord.pages._records_images import ORIGINAL
from prefect_trackrecord.pages._records_text import MAX_VALUE, clean, duration, moment_ms
from prefect_trackrecord.pages.records import CHUNK, PLAIN

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "]]>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "line\u2028and\u2029line",
    "turned \u202egnp.exe and \u2066back\u2069",
    "nul\x00 bell\x07 esc\x1b[31m",
    "lone \ud800 surrogate \udfff",
    "{{ 7 * 7 }}{% raw %}",
    "</style><style>*{display:none}",
    "__proto__",
]


class Reader(HTMLParser):
    """Tags with their attributes, and the texts of script and style elements."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.raw, self.text, self._in = [], [], "", None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in = (tag, dict(attrs)) if tag in {"script", "style"} else None
        if self._in:
            self.raw.append([*self._in, ""])

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in:
            self.raw[-1][2] += data
        else:
            self.text += data


def policy(page):
    (content,) = [a["content"] for t, a in Reader(page).tags if t == "meta" and "http-equiv" in a]
    return dict(part.strip().split(" ", 1) for part in content.split(";"))


def unpack(page, name):
    """The JSON of a block of compressed data."""
    text = re.search(rf'<script type="application/octet-stream" id="{name}"[^>]*>([^<]*)</script>', page)[1]
    return orjson.loads(gzip.decompress(base64.b64decode(text)))


@pytest.mark.parametrize("count", [0, 3, PLAIN, PLAIN + 1])
def test_policy_lets_only_this_page_s_own_script_and_styles_in(render, entry, count):
    page = render([entry(n, failed=n % 3 == 0) for n in range(count)])
    rules = policy(page)
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        live = [text for t, attrs, text in Reader(page).raw if t == tag and "type" not in attrs]
        if tag == "script":
            live.append(unpack(page, "code")[1])  # which the one that stands in the page brings in
        hashes = ["'sha256-" + base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() + "'" for t in live]
        assert sorted(rules[rule].split()) == sorted(hashes)
        assert live


def hostile(text):
    update = {"old_status": text, "new_status": text, "new_status_color": text, "timestamp": text}
    trace = dict.fromkeys(("action", "reason", "image", "image_src_uri", "traceback", "timestamp", "caller_name"), text)
    trace["dict_updates"] = {text: {"from": text, "to": [text]}}
    entry = dict.fromkeys(("record_id", "record_type", "status", "status_color", "category"), text)
    return entry | {
        "record": json.dumps({text: text}),
        "error": dict.fromkeys(("kind", "code", "type", "message"), text),
        "status_updates": [update],
        "traces": [trace],
        "time_in_status": {text: 3},
        "steps": [{"name": text, "outcome": text}],
        "attempts": [{"status": text}] * 2,
        "cut": {text: text},
    }


@pytest.mark.parametrize("count", [1, PLAIN + 1])
def test_hostile_values_stay_text_everywhere(render, entry, count):
    entries = []
    for n in range(count):
        text = HOSTILE[n % len(HOSTILE)] if count > 1 else " ".join(HOSTILE)
        entries.append(hostile(text))
    page = render(entries, title=HOSTILE[0], subtitle=HOSTILE[3], run_url="javascript:alert(1)")
    seen = Reader(page)
    assert not [a for _, a in seen.tags for name in a if name.startswith("on") or name == "style"]
    assert not [t for t, a in seen.tags if t == "img" and not (a.get("src") or "").startswith("data:image/")]
    assert not [a for t, a in seen.tags if t == "a" and not a.get("href", "#").startswith(("#", "images/"))]
    scripts = [text for tag, attrs, text in seen.raw if tag == "script" and "type" not in attrs]
    assert len(scripts) == 1
    assert "alert(1)" not in scripts[0]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", page)
    if count == 1:
        for text in HOSTILE:
            assert clean(text) in seen.text


def test_odd_entries_are_shown_as_far_as_they_go(render, entry):
    odd = [
        None, 3, "text", [], {}, {"record_id": None}, {"record_id": 7, "status": ["a"], "status_color": 5},
        {"record_id": "a", "traces": "none", "status_updates": {"x": 1}, "record": "{broken"},
        {"record_id": "b", "traces": [None, 1, {"dict_updates": [1]}, {"dict_updates": {"x": 5}, "timestamp": 1e30}]},
        {"record_id": "c", "status_updates": [{}], "error": "just words", "attempts": 3, "steps": [1, {}]},
        {"record_id": "d", "time_in_status": {"A": float("nan"), "B": -1, "C": "x"}, "record": "[1, 2]"},
        {"record_id": "e", "record": json.dumps({"big": 10**40, "nan": float("nan")})},
        {"record_id": "f", "traces": [{"action": object(), "reason": {1, 2}, "timestamp": datetime(2026, 1, 1)}]},
    ]  # fmt: skip
    page = render([*odd, entry(1)])
    assert page.count("<article") == len(odd) + 1
    assert "just words" in page
    assert "an entry must be an object" in page
    assert page.endswith("</html>\n")
    many = render([*odd, *(entry(n) for n in range(PLAIN))])
    assert [v["id"] for v in unpack(many, "c0")][: len(odd)][7] == "a"
    assert many.endswith("</html>\n")


def test_failed_come_first_and_in_order_of_creation(render, entry):
    page = render([entry(n, failed=n in {2, 4}) for n in range(6)])
    order = re.findall(r'<article class="k\d( bad)?" id=r-(\d)', page)
    assert order == [(" bad", "2"), (" bad", "4"), ("", "0"), ("", "1"), ("", "3"), ("", "5")]


def test_equal_errors_are_one_group(render, entry):
    page = render([entry(n, failed=True) for n in range(7)] + [entry(9)])
    (count,) = re.findall(r'<span class="group-n">(\d+)', page)
    assert count == "7"


def test_card_for_each_status_and_dashes_for_none(render, entry):
    text = Reader(render([entry(1), entry(2, failed=True), {"record_id": "x"}])).text
    for line in ("3All records", "1Failed", "1Completed", "1---"):
        assert line in re.sub(r"\n", "", text)


def test_small_pictures_are_in_the_page_byte_for_byte(render, entry):
    exact = b"\x89PNG\r\n\x1a\n" + bytes(ORIGINAL - 8)
    page = render([entry(0)], images=lambda name: exact if name == "images/scan-0.png" else None)
    (source,) = [a["src"] for t, a in Reader(page).tags if t == "img" and a.get("src")]
    assert source == "data:image/png;base64," + base64.b64encode(exact).decode()


def test_large_pictures_become_thumbnails(render, entry):
    image = pytest.importorskip("PIL.Image", reason="Pillow makes the thumbnails")
    out = io.BytesIO()
    image.effect_noise((900, 700), 90).save(out, "PNG")
    assert len(out.getvalue()) > ORIGINAL
    page = render([entry(0)], images=lambda _: out.getvalue())
    (source,) = [a["src"] for t, a in Reader(page).tags if t == "img" and a.get("src")]
    small = image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert max(small.size) == 640
    assert 'href="images/scan-0.png"' in page


def test_pictures_that_can_t_be_shown_are_named(render, entry):
    def fail(_):
        raise OSError("gone")

    for reader, words in (
        (lambda _: None, "not found"), (lambda _: b"", "empty file"), (lambda _: b"MZ\x90" * 99, "not a picture"),
        (fail, "could not be read: OSError"),
        (lambda _: b"\x89PNG\r\n\x1a\n" + bytes(ORIGINAL), "kept beside this page"),
    ):  # fmt: skip
        text = Reader(render([entry(0)], images=reader)).text
        assert words in text
        assert "Showing 0 of 1 pictures" in text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x\\..\\passwd", "/etc/passwd", "images/../passwd", "http://e.x/passwd"]
)
def test_names_of_pictures_stay_inside_their_folder(render, entry, name):
    asked = []
    one = entry(0)
    one["traces"][0]["image"] = name
    page = render([one], images=asked.append)
    assert asked == ["images/passwd"]
    assert 'href="images/passwd"' in page


def test_data_uri_of_older_histories_is_shown_but_nothing_else(render, entry):
    one = entry(0)
    pixel = base64.b64encode(b"\x89PNG\r\n\x1a\nx").decode()
    one["traces"][0]["image_src_uri"] = f"data:image/png;base64,{pixel}"
    assert f"data:image/png;base64,{pixel}" in render([one], images=None)
    one["traces"][0]["image_src_uri"] = "data:text/html;base64,PHNjcmlwdD4="
    assert "text/html" not in render([one], images=None)


def test_long_values_say_what_is_cut(render, entry):
    one = entry(1)
    one["traces"][0]["dict_updates"] = {"long": {"from": None, "to": "x" * (MAX_VALUE + 5)}}
    assert f"Showing {MAX_VALUE:,} of {MAX_VALUE + 5:,} characters" in render([one])


def test_many_events_say_what_is_cut(render, entry):
    page = render([entry(n, events=6000 if n == 0 else 3) for n in range(PLAIN + 1)])
    first = unpack(page, "c0")[0]
    assert (len(first["ev"]), first["evn"]) == (5000, 6000)
    # Neither the beginning nor the end is lost.
    assert first["ev"][0]["a"] == "Step 0 of inv-0"
    assert first["ev"][-1]["n"][0] == "Completed"


def test_chunks_hold_every_record_whole(render, entry):
    count = 2 * CHUNK + 30
    page = render(entry(n) for n in range(count))
    views = [view for n in range(3) for view in unpack(page, f"c{n}")]
    assert [v["id"] for v in views] == [f"inv-{n}" for n in range(count)]
    assert [e["a"] for e in views[300]["ev"] if e["k"] == "t"] == ["Step 0 of inv-300", "Step 1 of inv-300"]
    assert unpack(page, "index")["id"] == [v["id"] for v in views]


def test_without_script_a_chunked_page_names_its_latest_failures(render, entry):
    page = render(entry(n, failed=n % 3 == 0) for n in range(600))
    inside = page.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "Below are 50 of 200 failed records" in inside
    assert "ledger did not answer inv-597" in inside


def test_memory_stays_bounded():
    """Of each record one row stays until the page is whole: no entry, no view, no picture."""
    from prefect_trackrecord.pages.records import render_records_page

    def size(count):
        source = ({"record_id": str(n), "record": "x" * 8_000} for n in range(count))
        return sum(len(part) for part in render_records_page(source, title="x", generated_at=datetime(2026, 1, 1)))

    def peak(count):
        tracemalloc.start()
        assert size(count) > 0
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    size(CHUNK)  # what is imported and compiled once
    assert peak(3 * CHUNK) - peak(CHUNK) < 2 * CHUNK * 4_000, "half of what came"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("limegreen", "#32cd32"), (" LimeGreen ", "#32cd32"), ("#abc", "#aabbcc"), ("#AABBCCDD", "#aabbcc"),
        ("rgb(300, 2, 3)", "#ff0203"), ("hsl(120, 100%, 25%)", "#008000"), ("transparent", None), ("", None),
        ("red;background:url(//x)", None), ("url(x)", None), ("var(--x)", None), ("#12345", None),
        ("rgb(1,2,3)}x{", None),
    ],
)  # fmt: skip
def test_colours_are_known_or_nothing(given, wanted):
    assert hex_color(given) == wanted
    assert len(NAMED) == 148


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"), (420, "420 ms"), (12_340, "12.3 s"), (60_000, "1 min"), (252_000, "4 min 12 s"),
        (11_100_000, "3 h 5 min"), (187_200_000, "2 d 4 h"),
    ],
)  # fmt: skip
def test_durations_read_well(ms, text):
    assert duration(ms) == text


def test_moments_of_any_shape():
    assert moment_ms("1970-01-01T00:00:01") == 1000
    assert moment_ms("1970-01-01T00:00:01Z") == 1000
    assert moment_ms("1970-01-01T02:00:01+02:00") == 1000
    assert [moment_ms(x) for x in ("soon", None, True, 1e300, [])] == [None] * 5
