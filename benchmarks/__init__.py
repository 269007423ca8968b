"""Benchmarks: what each part costs, beside a reference, in the same run.

Run by ``make bench`` or ``python -m benchmarks``; described in ``docs/performance.md``.
No test depends on a time that is measured here.
"""
