"""Job files for schedulers, made from a config: one module a target, each with its options and `job_file(work, options)`.

What runs in such a job is `autotrain --config`; who is which machine, and where they meet, the scheduler says.
"""
