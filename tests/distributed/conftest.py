"""Runs of several processes beside the same runs of one, on a model of two layers."""

from rank_fixtures import rows_folder, run_alone  # noqa: F401  (fixtures)
