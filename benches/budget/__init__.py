"""Counts the instructions that Tidegate spends on a request.

One concern a file: `load` (what is asked for, of which configuration), `client` and `origin` (the two ends), `callgrind`
(serving and counting), `filters` (what each feature adds). Python's standard library only.
"""
