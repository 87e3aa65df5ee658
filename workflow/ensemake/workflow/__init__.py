"""Snakemake's face: what the rules ask for."""
