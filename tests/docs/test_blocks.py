"""What stands in README and docs is true: commands parse, configurations load, links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import sys

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from docs_blocks import DOCS, ROOT, Block, blocks, blocks_of, pages

SHELL = ("bash", "sh", "console", "")
MARKS = re.compile(r"[|;&>#]")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:|mailto:)(?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]+))?\)")
IMAGE = re.compile(r"!\[[^\]]*\]\((?!https?:)(?P<target>[^)\s]+)\)")


def commands(block: Block) -> list[list[str]]:
    """The `trackrecord` commands of a shell block, as typed, without what a shell does with their output."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.strip().removeprefix("$ "), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words[:1] == ["trackrecord"]:
            stop = next((n for n, word in enumerate(words) if re.fullmatch(r"[|;&>].*|2>.*", word)), len(words))
            found.append(words[1:stop])
    return found


def test_there_are_blocks():
    assert len(blocks("python")) > 5
    assert sum(len(commands(b)) for b in blocks(*SHELL)) > 10


@pytest.mark.parametrize("block", [b for b in blocks(*SHELL) if commands(b)], ids=str)
def test_commands_can_be_typed_so(block):
    from prefect_trackrecord.cli.app import app

    for words in commands(block):
        app.parse_args(words, exit_on_error=False, print_error=False)


def test_extras_and_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for block in blocks(*SHELL):
        for target in re.findall(r"^make (\w[\w-]*)", block.text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{block}: make {target}"
        for extra in re.findall(r"prefect-trackrecord\[(\w+)\]", block.text):
            assert extra in project["optional-dependencies"], f"{block}: [{extra}]"


@pytest.mark.parametrize("block", [b for b in blocks("yaml", "json", "toml") if b.run], ids=str)
def test_data_can_be_read(block):
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    else:
        list(yaml.safe_load_all(block.text))


def test_configurations_are_right():
    from prefect_trackrecord.delivery import ReportConfig, parse_config

    known = set(ReportConfig.model_fields)
    tried = 0
    for block in blocks("yaml"):
        data = yaml.safe_load(block.text) if block.run else None
        if isinstance(data, dict) and set(data) & known and not set(data) & {"deployments", "services", "trigger"}:
            parse_config({"title": "x", **data}, str(block))
            tried += 1
    assert tried > 3


def test_what_is_not_run_says_why():
    for page in pages():
        for block in blocks_of(page):
            assert block.run or block.reason, f"{block} is left out without a reason"


def slug(heading: str) -> str:
    """The anchor that the site, and a forge, give a heading."""
    text = re.sub(r"[^\w\s-]", "", heading.replace("`", "").strip().lower())
    return re.sub(r"[\s]+", "-", text)


def anchors(text: str) -> set[str]:
    return {slug(h) for h in re.findall(r"^#+ (.+?)(?: \{.*\})?$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_links_inside_lead_somewhere(page):
    text = re.sub(r"```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]+`", "", text) if "](" not in text else text
    for link in LINK.finditer(text):
        target = (page.parent / link["target"]).resolve() if link["target"] else page
        if target in {DOCS / "CHANGELOG.md", DOCS / "explanation" / "modules.md"}:  # made when the site is built
            continue
        assert target.exists(), f"{page.name}: {link[0]}"
        if link["anchor"] and target.suffix == ".md" and ":::" not in (there := target.read_text(encoding="utf-8")):
            assert link["anchor"] in anchors(there), f"{page.name}: {link[0]}"
    for image in IMAGE.finditer(text):
        assert (page.parent / image["target"]).exists(), f"{page.name}: {image[0]}"


def test_automations_render_ids_so_that_prefect_can():
    """A bare template is turned into JSON by the server, which can't do that with an id: the action fails there."""
    from prefect.events.schemas.automations import AutomationCore

    tried = 0
    for block in blocks("yaml"):
        data = yaml.safe_load(block.text) if block.run else None
        found = data.get("automations", [data]) if isinstance(data, dict) else []
        for one in (one for one in found if "trigger" in one):
            text = json.dumps(one).replace("DEPLOYMENT_ID", "00000000-0000-0000-0000-000000000000")
            AutomationCore.model_validate_json(text)
            for action in one["actions"]:
                given = action.get("parameters", {}).get("flow_run_id", {})
                assert given["__prefect_kind"] == "jinja", str(block)
            tried += 1
    assert tried >= 2


def test_the_reference_of_events_names_all_that_is_sent():
    source = (ROOT / "src" / "prefect_trackrecord" / "_prefect" / "events_out.py").read_text()
    page = (DOCS / "reference" / "events.md").read_text()
    kinds = set(re.findall(r'"(trackrecord\.[a-z]+\.[a-z-]+)"', source))
    assert len(kinds) >= 4
    ends = re.findall(r'RunStatus\.\w+: "(\w+)"', source)
    assert len(ends) == 4
    keys = set(re.findall(r'^ +"([a-z_]+)":', source, re.MULTILINE))
    assert {"retry_of", "file_path", "old_status"} <= keys
    for word in (*kinds, *keys):
        assert f"`{word}`" in page, word
    assert all(f".{end}`" in page for end in ends)


def test_what_a_store_has_is_named_in_full():
    """Whoever writes one finds out here, and not by an AttributeError."""
    from prefect_trackrecord.store import Store

    members = {name for name in vars(Store) if name[0] != "_"}
    (section,) = re.findall(r"## Add a store\n(.*?)\n## ", (DOCS / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert members == members & set(re.findall(r"`(\w+)`", section))
    assert {"check_key", "check_prefix"} <= set(re.findall(r"`(\w+)`", section))


def test_what_a_new_event_needs_is_named():
    """Where one of these is forgotten a line with a wrong value passes, or the event is folded into nothing."""
    text = (DOCS / "CONTRIBUTING.md").read_text()
    (section,) = re.findall(r"## Add an event\n(.*?)\n## ", text, re.DOTALL)
    assert {"_TYPES", "_SHAPES", "_takers"} <= set(re.findall(r"`(\w+)`", section))


def test_a_file_over_300_lines_says_why():
    """About 300 lines is a room; a tenth more is no reason for a word."""
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 330:
            assert "Over 300 lines: " in text.split('"""')[1], f"{path}: split it, or say in its docstring why not"
