"""The pages say what is so: their configs parse, their links and paths lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from autotrain.config import surface
from autotrain.config.document import Document
from autotrain.config.load import interpret

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Paths inside this repository, as prose and commands write them.
NAMED_PATH = re.compile(r"(?<![\w/.-])(?:examples|docs|tests|\.ci)/[\w./-]*\w")
SOURCE_PATH = re.compile(r"`((?:cli|backends|config|trainers|data|models|objectives|training|output)/[\w/.]*)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def configs() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "yaml" and "task:" in text:
                found.append((f"{name_of(page)}#{len(found)}", text))
    return found


@pytest.mark.parametrize(("where", "text"), configs(), ids=[where for where, _ in configs()])
def test_a_config_on_a_page_parses(where: str, text: str) -> None:
    config = interpret(Document(where, yaml.safe_load(text)), dry_run=True, environment={})
    assert config.params.project_name == "my-model"


def test_pages_show_configs() -> None:
    assert len(configs()) >= 3


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith("http"):
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in anchors(other), f"{name_of(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on GitHub."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in NAMED_PATH.findall(text):
        assert (ROOT / path).exists(), f"{name_of(page)} names {path}"


def test_architecture_names_folders_and_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = SOURCE_PATH.findall(text)
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / "src" / "autotrain" / path).exists(), path


def test_both_readmes_have_the_same_outline() -> None:
    assert outline(ROOT / "README.md") == outline(ROOT / "README.zh-CN.md")


def outline(page: Path) -> list[tuple[str, int]]:
    """Level of each heading, and the number of code blocks, table rows and points below it."""
    parts = re.split(r"^(#+) .*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = zip(parts[1::2], parts[2::2], strict=True)
    return [(level, len(re.findall(r"^(?:```\w|\||- )", body, re.MULTILINE))) for level, body in sections]


def test_both_readmes_show_the_same_config() -> None:
    english, chinese = (
        [
            yaml.safe_load(text)
            for language, text in BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))
            if language == "yaml"
        ]
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_parameters_in_configs_and_tables_are_known(page: Path) -> None:
    """`name: value` in backticks is a parameter, or a key of the config."""
    known = {knob.name for knob in surface.knobs()} | {"task", "base_model", "backend"}
    for name in re.findall(r"`(\w+): [^`]*`", prose(page)):
        assert name in known, f"{name_of(page)} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:home|root|work|tmp|opt|mnt|Users)/", text)


def test_the_reference_page_is_what_the_fields_say() -> None:
    page = ROOT / "docs" / "reference" / "parameters.md"
    assert page.read_text(encoding="utf-8") == surface.reference_page(), "run `make docs`"


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text and "[yyyy] [name of copyright owner]" in text
