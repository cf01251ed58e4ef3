"""The page in a browser, opened from a file: with and without script, filters, keys, links, chunks, accessibility."""

import csv
import io
import json
from pathlib import Path
from urllib.parse import quote

import pytest

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]

MANY = 2_000
OPEN = "document.querySelector('#detail article h3')?.innerText"
LISTED = "[...document.querySelectorAll('#rows .row-id')].map(e => e.innerText)"
ARTICLES = (
    "[...document.querySelectorAll('article')].filter(a => !a.hidden).map(a => a.querySelector('h3').textContent)"
)


def count(page):
    return page.inner_text("#count")


@pytest.fixture
def few(save, entry):
    return save([entry(n, failed=n in {4, 8, 9}) for n in range(12)])


@pytest.fixture
def many(save, entry):
    return save(entry(n, failed=n % 10 == 3) for n in range(MANY))


def test_few_records_read_without_script(visit, few, entry):
    page = visit(few, java_script_enabled=False)
    text = page.inner_text("body")
    for n in range(12):
        for words in (f"Step 0 of inv-{n}", f"Step 1 of inv-{n}"):
            assert words in text
    assert text.count("Because of rule 1") == 12
    assert text.count("Pending") >= 24
    assert "ledger did not answer inv-4 in 30 s" in text
    # Differences stand open: field, from, to.
    assert page.locator("table tr:has-text('total') >> visible=true").count() >= 24
    assert page.locator("#tools").is_hidden()


def test_few_records_stand_open_with_script_too(visit, few):
    page = visit(few)
    text = page.inner_text("#records")
    assert all(f"Step 1 of inv-{n}" in text for n in range(12))
    assert page.evaluate(ARTICLES)[:3] == ["inv-4", "inv-8", "inv-9"]
    assert count(page) == "Showing 12 of 12 records"


def test_pictures_are_drawn(visit, few, until):
    page = visit(few)
    assert page.evaluate("document.querySelector('.shot img').naturalWidth") == 1
    page.click(".shot")
    until(page, "document.querySelector('#shot[open] img')?.naturalWidth === 1")
    assert page.get_attribute("#shot-open", "href") == "images/scan-0.png"
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('#shot').open")


def test_search_filters_and_address(visit, few, until):
    page = visit(few)
    page.fill("#q", "ledger inv-8")
    until(page, "document.querySelector('#count').innerText.includes(' 1 of 12')")
    assert page.evaluate(ARTICLES) == ["inv-8"]
    assert page.evaluate("location.hash") == "#q=ledger%20inv-8"
    page.fill("#q", "")
    page.click(".card[data-status]:has-text('Failed')")
    assert page.evaluate(ARTICLES) == ["inv-4", "inv-8", "inv-9"]
    assert page.input_value("#status") == "Failed"
    page.select_option("#type", "Invoice")
    assert page.evaluate(ARTICLES) == ["inv-9"]
    assert page.evaluate("location.hash") == "#status=Failed&type=Invoice"
    page.click("#clear")
    assert count(page) == "Showing 12 of 12 records"
    page.click(".group")
    assert page.evaluate(ARTICLES) == ["inv-4", "inv-8", "inv-9"]
    page.click(".v-success")
    assert count(page) == "Showing 0 of 12 records"
    assert page.locator("#nothing").is_visible()
    page.click("#nothing-clear")
    page.select_option("#sort", "id")
    assert page.evaluate(ARTICLES)[-2:] == ["inv-10", "inv-11"]


def test_time_filter_counts_whole_minutes_in_utc(visit, few):
    page = visit(few, timezone_id="Asia/Kolkata")
    page.click("#when summary")
    page.fill("#from", "2026-11-21T07:33")
    page.fill("#to", "2026-11-21T07:34")
    page.select_option("#sort", "made")
    assert page.evaluate(ARTICLES) == ["inv-3", "inv-4"]
    assert "from=2026-11-21T07%3A33" in page.evaluate("location.hash")


def test_address_is_read_on_opening(visit, few):
    page = visit(few + "#outcome=failed&sort=id&record=inv-8")
    assert page.evaluate(ARTICLES) == ["inv-4", "inv-8", "inv-9"]
    assert page.evaluate("document.activeElement.querySelector('h3').innerText") == "inv-8"
    assert page.evaluate("document.querySelector('[aria-current]').innerText").startswith("inv-8")
    assert page.evaluate("document.querySelector('article[data-row=\"8\"]').getBoundingClientRect().top") < 400


def test_skipping_to_the_records_keeps_the_filters(visit, few):
    page = visit(few + "#outcome=failed")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("location.hash") == "#records"
    assert page.evaluate(ARTICLES) == ["inv-4", "inv-8", "inv-9"]


def test_no_status_is_filtered_by_dashes(visit, save, entry):
    page = visit(save([entry(1), {"record_id": "bare"}]))
    page.click(".card:has-text('---')")
    assert page.evaluate(ARTICLES) == ["bare"]


def test_search_in_ids_only_and_in_quotes(visit, few, until):
    page = visit(few + "#q=" + quote('"rule 1"'))
    assert count(page) == "Showing 12 of 12 records"
    page.fill("#q", "inv-1")
    until(page, "document.querySelector('#count').innerText.includes(' 3 of 12')")
    page.fill("#q", "rule")
    page.check("#ids")
    assert count(page) == "Showing 0 of 12 records"
    assert "in=id" in page.evaluate("location.hash")


def test_keys(visit, few, until):
    page = visit(few)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("inv-11")
    until(page, "document.querySelector('#count').innerText.includes(' 1 of 12')")
    page.keyboard.press("Escape")
    assert count(page) == "Showing 12 of 12 records"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    first = page.evaluate("document.querySelector('[aria-current]').innerText")
    page.keyboard.press("k")
    assert page.evaluate("document.querySelector('[aria-current]').innerText") != first
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.focus("#rows a[tabindex='0']")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.innerText").startswith("inv-11")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.innerText").startswith("inv-10")


def test_csv_holds_what_is_filtered_and_no_formula(visit, save, entry):
    entries = [entry(1), entry(2, failed=True)]
    entries[1]["record_id"] = '=HYPERLINK("http://x")'
    entries[1]["error"]["message"] = "+1+cmd|' /C calc'!A0"
    entries.append({**entry(3, failed=True), "record_id": 'plain "quoted", with comma'})
    page = visit(save(entries) + "#status=Failed")
    with page.expect_download() as got:
        page.click("#csv")
    text = Path(got.value.path()).read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == ['\'=HYPERLINK("http://x")', 'plain "quoted", with comma']
    assert rows[0]["error_message"].startswith("'+1")
    assert rows[0]["outcome"] == "failed"
    assert rows[0]["duration_s"] == "3"


def test_hostile_values_run_nothing(visit, save, entry, until):
    text = "</script><script>document.title='bad'</script><img src=x onerror=\"document.title='bad'\">"
    one = {**entry(1), "record_id": text, "status": text, "status_color": "red;}*{display:none}", "record_type": text}
    one["traces"][0] |= {"action": text, "reason": text, "dict_updates": {text: {"from": text, "to": [text]}}}
    for entries in ([one], [one, *(entry(n) for n in range(150))]):
        page = visit(save(entries) + "#record=" + quote(text, safe=""))
        assert page.title() == "Invoices"
        until(page, f"[...document.querySelectorAll('article h3')].some(h => h.innerText === {json.dumps(text)})")


def test_colours_of_statuses_are_set_both_ways(visit, save, entry, until):
    for fill in (0, 150):
        page = visit(save([entry(n) for n in range(fill)] + [entry(500, failed=True)]) + "#record=inv-500")
        until(page, "document.querySelector('article')")
        shown = page.evaluate(
            "getComputedStyle(document.querySelector('article.bad > b')).getPropertyValue('--c').trim()"
        )
        assert shown == "#b22222"
        shares = page.evaluate("[...document.querySelectorAll('.share rect')].map(r => getComputedStyle(r).fill)")
        assert "rgb(178, 34, 34)" in shares


def test_both_renderings_say_the_same(visit, save, entry, until):
    rich = entry(7, failed=True, events=9)
    rich |= {
        "attempts": [
            {"status": "failed", "error_type": "E", "error_message": "m"},
            {"status": "failed", "started_at": "2026-11-21T09:00:00Z", "ended_at": "2026-11-21T09:01:05Z"},
        ],
        "steps": [
            {"name": "validate", "outcome": "ok", "seconds": 0.5},
            {"name": "book", "error": {"type": "T", "message": "x"}},
        ],
        "cut": {"traces": 3},
        "unstorable": ["lock"],
    }
    rich["traces"][1] |= {
        "dict_updates": {
            "a": {"from": 1, "to": True}, "b": {"from": "", "to": {"__repr__": "<lock>", "__type__": "x.Lock"}},
            "c": {"from": [1, 2], "to": None}, "d": {"from": "same", "to": "same"},
            "e": {"from": None, "to": "y" * 20_010},
            "f": {"from": None, "to": {"k" * 50: "v" * 50}},
        },
        "dict_updates_kinds": {"d": {"kind": "moved", "from": 3, "to": 0}},
        "image": "images/none.png",
        "timestamp": "later",
        "unstorable": 2,
    }  # fmt: skip
    rich["traces"][2]["timestamp"] = "2026-11-23T01:02:03"
    reader = {"images": lambda _: None}
    plain = visit(save([rich], **reader))
    opened = "document.querySelectorAll('details').forEach(d => d.open = true)"
    expression = f"({opened}, document.querySelector('article').innerText)"
    wanted = plain.evaluate(expression)
    chunked = visit(save([rich, *(entry(n) for n in range(100, 250))], **reader) + "#record=inv-7")
    until(chunked, OPEN)
    assert chunked.evaluate(expression) == wanted
    assert "3 → 0" in wanted
    assert "Showing 20,000 of 20,010 characters" in wanted


def test_no_other_script_is_let_in(visit, few):
    page = visit(few)
    tries = {
        "a policy of its own": "trustedTypes.createPolicy('mine', {createScript: text => text})",
        "the page's policy again": "trustedTypes.createPolicy('trackrecord', {createScript: text => text})",
        "a text as a script": "document.createElement('script').text = 'window.bad = 1'",
        "markup": "document.body.innerHTML = '<img src=x onerror=\"window.bad = 1\">'",
    }
    for name, code in tries.items():
        refused = page.evaluate(f"(() => {{ try {{ {code}; return ''; }} catch (e) {{ return e.name; }} }})()")
        assert refused == "TypeError", name
    assert page.evaluate("window.bad === undefined")
    visit.trouble.clear()  # the browser tells each of them


def test_differences_fold(visit, few):
    page = visit(few)
    table = page.locator("article li table").first
    assert table.locator("td").first.is_visible()
    table.locator("button").click()
    assert not table.locator("td").first.is_visible()
    assert table.locator("button").get_attribute("aria-expanded") == "false"
    page.keyboard.press("Enter")
    assert table.locator("td").first.is_visible()


def test_many_records_open_filter_and_search_through_everything(visit, many, until):
    page = visit(many)
    until(page, f"{OPEN} === 'inv-3'")
    assert count(page) == "Showing 2,000 of 2,000 records"
    assert page.evaluate("document.querySelectorAll('#rows li').length") < 60
    page.fill("#q", '"step 1 of inv-1234"')
    until(page, "document.querySelector('#count').innerText === 'Showing 1 of 2,000 records'")
    assert page.evaluate(LISTED) == ["inv-1234"]
    page.click("#rows a")
    until(page, f"{OPEN} === 'inv-1234'")
    assert "Step 1 of inv-1234" in page.inner_text("#detail")
    assert page.evaluate("location.hash").endswith("record=inv-1234")
    page.click("#clear")
    # What the filter took away is no longer shown.
    page.select_option("#outcome", "failed")
    assert count(page) == "Showing 200 of 2,000 records"
    until(page, f"{OPEN} === 'inv-3'")
    with page.expect_download() as got:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(Path(got.value.path()).read_bytes().decode("utf-8-sig"))))
    assert len(rows) == 200
    assert rows[5]["error_type"] == "TimeoutError"


def test_many_records_deep_link_keys_and_pictures(visit, many, until):
    page = visit(many + "#record=inv-1990")
    until(page, f"{OPEN} === 'inv-1990'")
    until(page, "document.querySelector('#detail .shot img')?.naturalWidth === 1")
    page.keyboard.press("k")
    until(page, f"{OPEN} === 'inv-1989'")
    page.goto(many + "#record=inv-5")
    until(page, f"{OPEN} === 'inv-5'")
    assert page.get_attribute("#detail .perma", "href") == "#record=inv-5"
    page.goto(many + "#record=nowhere")
    until(page, "document.querySelector('#count').innerText === 'There is no record nowhere in this page'")


def test_an_address_gone_to_meanwhile_is_not_overwritten(visit, many, until):
    page = visit(many + "#record=inv-1990")
    until(page, f"{OPEN} === 'inv-1990'")
    # The page's own address was about to follow when the browser went to another.
    for n in (5, 15, 25, 35, 45):
        page.evaluate(
            f"""() => {{
              document.body.dispatchEvent(new KeyboardEvent("keydown", {{ key: "k", bubbles: true }}));
              location.hash = "#record=inv-{n}";
            }}"""
        )
        until(page, f"{OPEN} === 'inv-{n}' && location.hash === '#record=inv-{n}'")
    page.evaluate("() => { location.hash = '#records'; }")
    page.keyboard.press("k")
    until(page, "location.hash === '#record=inv-44'")


def test_many_records_on_a_narrow_screen(visit, many, until):
    page = visit(many, viewport={"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.click("#rows li:first-child a")
    until(page, f"{OPEN} === 'inv-3'")
    assert page.locator("#list").is_hidden()
    page.click("#back")
    assert page.locator("#list").is_visible()


def test_theme_follows_the_system_and_the_button(visit, few):
    page = visit(few, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != dark
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.click("#theme")
    assert page.evaluate(ground) == dark


def test_print_shows_records_and_no_tools(visit, few):
    page = visit(few)
    page.emulate_media(media="print")
    assert page.locator("#tools").is_hidden()
    assert page.locator("article").first.is_visible()


@pytest.mark.parametrize(
    ("size", "scheme", "width"),
    [("few", "light", 1300), ("few", "dark", 375), ("many", "dark", 1300), ("many", "light", 375)],
)
def test_nothing_serious_for_axe(visit, axe, request, until, size, scheme, width):
    page = visit(
        request.getfixturevalue(size), color_scheme=scheme, viewport={"width": width, "height": 800}, bypass_csp=True
    )
    if size == "many" and width > 1000:
        until(page, OPEN)
    assert axe(page) == []
