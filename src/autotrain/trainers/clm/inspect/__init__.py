"""Worker entry `inspect`: what will be trained on, without loading a weight, printed or as data."""
