"""Options, schema and reference page equal the fields."""

from pathlib import Path

import pytest

from autotrain.cli.llm import add_arguments
from autotrain.cli.parser import Parser
from autotrain.config.surface import GROUPS, json_schema, knobs, reference_page
from autotrain.trainers.clm.params import LLMTrainingParams

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "parameters.md"
FIELDS = LLMTrainingParams.model_fields


def parser() -> Parser:
    built = Parser(prog="autotrain llm")
    add_arguments(built)
    return built


def test_the_reference_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "run: autotrain schema --markdown > docs/reference/parameters.md"
    )


def test_the_reference_page_has_each_field_with_its_default():
    for knob in knobs():
        assert f"| `{knob.name}` | `{knob.default_text}` |" in reference_page()


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_is_an_option_in_both_spellings(name: str):
    options = parser().options()
    assert f"--{name}" in options and f"--{name.replace('_', '-')}" in options


def test_there_is_no_option_without_a_field():
    known = {option for knob in knobs() for option in (*knob.options, *knob.off_options)}
    launch = {"--dry-run", "--dry_run", "--resume", "--overwrite", "--detach", "--yes"}
    others = {"-h", "--help", "--train", "--deploy", "--inference", "--backend"}
    assert set(parser().options()) == known | launch | others


def test_options_that_are_not_given_leave_no_trace():
    args = vars(parser().parse_args(["--train"]))
    assert not set(args) & set(FIELDS)


@pytest.mark.parametrize("name", [knob.name for knob in knobs() if knob.kind == "switch"])
@pytest.mark.parametrize("hyphens", [True, False])
def test_each_switch_can_be_turned_on_and_off(name: str, hyphens: bool):
    on, off = f"--{name}", f"--no_{name}"
    if hyphens:
        on, off = on.replace("_", "-"), off.replace("_", "-")
    assert getattr(parser().parse_args([on]), name) is True
    assert getattr(parser().parse_args([off]), name) is False


def test_the_schema_has_each_field_with_its_help():
    properties = json_schema()["properties"]
    assert set(properties) == set(FIELDS)
    assert all(properties[knob.name]["description"] == knob.help for knob in knobs())


def test_every_group_has_a_title():
    assert {knob.group for knob in knobs()} == set(GROUPS)


def test_each_field_explains_itself():
    assert all(knob.help.endswith(".") and len(knob.help) > 10 for knob in knobs())


def test_kinds_and_limits_are_read_from_the_types():
    by_name = {knob.name: knob for knob in knobs()}
    assert by_name["peft"].kind == "switch"
    assert (by_name["lr"].kind, by_name["lr"].limits) == ("number", "≥ 0")
    assert (by_name["eval_steps"].kind, by_name["eval_steps"].limits) == ("whole number", "> 0")
    assert by_name["quantization"].choices == ("int4", "int8", "none")
    assert by_name["loss_type"].trainers == ("dpo",)
