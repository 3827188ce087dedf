"""What is put side by side when runs are compared."""

from autotrain.app.pages.compare.answers import latest_answers
from autotrain.app.pages.compare.parameters import differing, written


def test_only_parameters_that_differ_are_named():
    runs = [{"lr": 1e-4, "epochs": 3, "peft": True}, {"lr": 2e-4, "epochs": 3, "peft": True}]
    assert differing(runs) == ["lr"]


def test_a_parameter_that_one_run_lacks_differs():
    assert differing([{"lr": 1.0, "new": 5}, {"lr": 1.0}]) == ["new"]


def test_a_run_whose_parameters_are_unknown_makes_no_difference():
    assert differing([{"lr": 1.0}, {}, {"lr": 1.0}]) == []


def test_values_are_written_as_a_reader_writes_them():
    assert [written(None), written([1, 2]), written(0.0002), written(True)] == ["–", "1, 2", "0.0002", "True"]


def test_the_latest_answer_of_each_run_stands_beside_the_others():
    rows = {
        1: [{"prompt": "a", "step": 0, "answer": "x"}, {"prompt": "a", "step": 9, "answer": "y"}],
        2: [{"prompt": "b", "step": 0, "answer": "p"}, {"prompt": "a", "step": 3, "answer": "z"}],
    }
    found = latest_answers(rows)
    assert list(found) == ["a", "b"]  # what most runs were asked comes first
    assert {run: row["answer"] for run, row in found["a"].items()} == {1: "y", 2: "z"}
