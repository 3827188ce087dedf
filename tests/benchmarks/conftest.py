"""The benchmarks are modules beside the package: `benchmarks.speed` is found from the repository's folder."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
