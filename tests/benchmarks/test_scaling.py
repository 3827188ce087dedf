"""The benchmark of scaling runs on a small model and draws what it measured."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks import scaling


def test_it_measures_every_length_and_number_of_rows(tiny_model, capsys: pytest.CaptureFixture[str]):
    scaling.main(["--model", str(tiny_model), "--lengths", "16", "64", "--rows", "20", "--repeat", "1"])
    measured = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert measured["by_length"].keys() == {"16", "64"} and measured["by_rows"].keys() == {"20"}
    assert all(value > 0 for part in measured.values() for value in part.values())


def test_the_picture_shows_each_figure_beside_the_largest():
    picture = scaling.draw({128: 1000.0, 256: 500.0}, {10: 800.0})
    texts = [element.text for element in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    assert {"1.00", "0.50", "128", "256"} <= set(texts)
