"""Names of data files are told without the readers, and are the readers' names."""

from autotrain.config.data_files import SUFFIXES
from autotrain.data.read import READERS


def test_names_that_are_looked_for_are_those_that_can_be_read_in_the_same_order():
    assert tuple(READERS) == SUFFIXES
