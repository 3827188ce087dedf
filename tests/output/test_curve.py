"""The picture of the loss: right, readable on any ground, and the same for the same rows."""

import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from autotrain.output import curve
from autotrain.output.curve import draw, loss_lines, write_curve

SVG = "{http://www.w3.org/2000/svg}"
ROWS: list[dict[str, Any]] = [
    {"step": 0, "eval_loss": 2.5},
    *({"step": step, "loss": 2.4 - 0.01 * step, "learning_rate": 1e-4} for step in range(5, 101, 5)),
    {"step": 50, "eval_loss": 1.9},
    {"step": 100, "eval_loss": 1.5},
]


def drawn(rows: list[dict[str, Any]]) -> ElementTree.Element:
    return ElementTree.fromstring(draw(loss_lines(rows)))


def texts(picture: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def places(picture: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """Pixels of the points of each curve."""
    paths = [path.get("d", "") for path in picture.iter(f"{SVG}path") if path.get("stroke-linejoin")]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)] for path in paths]


def test_both_losses_are_drawn_with_axes_and_names():
    picture = drawn(ROWS)
    assert {"training loss", "validation loss", "optimizer step", "loss", "0", "100"} <= set(texts(picture))
    training, validation = places(picture)
    assert (len(training), len(validation)) == (20, 3)
    assert len(list(picture.iter(f"{SVG}circle"))) == 3 + 1  # the validations, and their mark in the legend


def test_a_lower_loss_lies_lower_and_a_later_step_further_right():
    for line in places(drawn(ROWS)):
        for (x, y), (next_x, next_y) in itertools.pairwise(line):
            assert next_x > x and next_y > y  # pixels are counted from above


@pytest.mark.parametrize("scale", [1e-4, 1.0, 3e5])
def test_all_points_lie_inside_the_axes_and_few_ticks_name_them(scale: float):
    rows = [{name: value * scale if "loss" in name else value for name, value in row.items()} for row in ROWS]
    picture = drawn(rows)
    for x, y in itertools.chain(*places(picture)):
        assert 70 <= x <= 696 and 48 <= y <= 326
    up = [element for element in picture.iter(f"{SVG}text") if element.get("text-anchor") == "end"]
    assert 3 <= len(up) <= 11
    assert len({element.text for element in up}) == len(up)


def test_ticks_are_round_numbers_at_their_places():
    axis = curve._axis(1.43, 2.38, 326, 48)
    assert [axis.label(tick) for tick in axis.ticks] == ["1.4", "1.6", "1.8", "2.0", "2.2", "2.4"]
    assert (axis.place(1.4), axis.place(2.4)) == pytest.approx((326, 48))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path):
    paths = [write_curve(tmp_path / name, ROWS) for name in ("a", "b") if (tmp_path / name).mkdir() is None]
    assert paths[0] and paths[1] and paths[0].read_bytes() == paths[1].read_bytes()


def test_without_a_validation_there_is_one_line():
    picture = drawn([row for row in ROWS if "loss" in row])
    assert len(places(picture)) == 1
    assert "validation loss" not in texts(picture)


def test_without_a_loss_there_is_no_picture_and_none_of_an_earlier_run(tmp_path: Path):
    assert write_curve(tmp_path, ROWS) == tmp_path / "loss_curve.svg"
    assert write_curve(tmp_path, [{"step": 1, "loss": None}]) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", [[{"step": 1, "loss": 2.0}], [{"step": step, "loss": 0.0} for step in (1, 2)]])
def test_a_single_point_and_a_flat_line_are_drawn(rows: list[dict[str, Any]]):
    for x, y in places(drawn(rows))[0]:
        assert 70 <= x <= 696 and 48 < y < 326


def test_many_rows_become_few_points_by_their_mean():
    rows = [{"step": step, "loss": 1.0 if step % 2 else 3.0} for step in range(800)]
    (line,) = loss_lines(rows)
    assert len(line.points) == 400
    assert {loss for _, loss in line.points} == {2.0}  # (3 + 1) / 2
    assert "training loss (mean of 2 logged steps)" in texts(drawn(rows))


def brightness(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((brightness(one), brightness(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_it_is_readable_whatever_the_pages_theme():
    ground = drawn(ROWS).find(f"{SVG}rect")
    assert ground is not None and (ground.get("width"), ground.get("height")) == ("720", "380")  # nothing shines through
    assert contrast(curve._INK, curve._GROUND) > 7
    for line in (curve._TRAINING, curve._VALIDATION):
        assert contrast(line, curve._GROUND) > 3


def test_it_can_be_read_aloud():
    picture = drawn(ROWS)
    assert picture.get("role") == "img"
    assert "validation loss: 2.5 at step 0, 1.5 at step 100" in (picture.findtext(f"{SVG}desc") or "")
