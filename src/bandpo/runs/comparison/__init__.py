"""Comparison of methods over seeds: many runs, some at a time, then a table and curves of all of them."""

from bandpo.runs.comparison.report import write_report
from bandpo.runs.comparison.scheduler import run_all, train_arguments
from bandpo.runs.comparison.specs import Spec, parse_seeds, parse_specs, run_folder
from bandpo.runs.comparison.summary import summarise

__all__ = [
    "Spec",
    "parse_seeds",
    "parse_specs",
    "run_all",
    "run_folder",
    "summarise",
    "train_arguments",
    "write_report",
]
