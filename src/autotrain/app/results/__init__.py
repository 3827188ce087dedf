"""What is done with a run's result: looked at, downloaded, merged, pushed to the hub."""

from autotrain.app.results.archive import archive, check_inside
from autotrain.app.results.errand import DONE, FAILED, MERGE, PUSH, RUNNING, Errand
from autotrain.app.results.results import Result, Results

__all__ = ["DONE", "FAILED", "MERGE", "PUSH", "RUNNING", "Errand", "Result", "Results", "archive", "check_inside"]
