"""Measures Tidegate beside its peers, and writes the report.

One concern a file: `needs` (what must be installed and built), `proxies` (how each is configured), `process` (starting
and ending), `cpu` (what /proc says), `load` and `parse` (the generators), `scenarios` (the table of what is measured),
`measure` (how), `results` (figures on disk), `targets` (what was promised), `report_*` and `charts` (the pages).
Python's standard library only.
"""
