"""AutoTrain: fine-tune large language models from a CSV or JSONL file.

Importing this package imports nothing else; the front doors never import torch.
"""

__version__ = "0.1.0"
