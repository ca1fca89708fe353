"""The examples in the modules' own documentation."""

import doctest

from compare import charts, cpu, metrics, parse, results


def load_tests(_, tests, __):
    for module in (charts, cpu, metrics, parse, results):
        tests.addTests(doctest.DocTestSuite(module))
    return tests
