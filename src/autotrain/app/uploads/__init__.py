"""Files that people drop: what they hold, by their content and never by their name, and data sets made of them."""

from autotrain.app.uploads.datasets import DataSet, Datasets
from autotrain.app.uploads.refused import Note, Refused

__all__ = ["DataSet", "Datasets", "Note", "Refused"]
