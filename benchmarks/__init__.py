"""Benchmarks: every number in the documentation is printed by one of these commands.

Each runs ours and its peers in turn in one process run on the same data and prints medians and their ratio; the
machines they run on are noisy, so only ratios of one run are compared.
"""
