"""Snakemake executors for workload managers: all that is not the manager's own."""
