"""How fast training is, beside TRL: `make bench`, or `python -m benchmarks.speed --help`.

Three kinds of processes: this one, which starts the others and never loads torch; ours, the command line that users run; and
theirs (theirs.py, llama_factory.py), in an environment that has TRL or LLaMA-Factory.
"""
