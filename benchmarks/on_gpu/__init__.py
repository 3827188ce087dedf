"""Parts of benchmarks/gpu.py: works, rows, models, the two sides, parity, report."""
