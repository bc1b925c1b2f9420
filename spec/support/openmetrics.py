"""Parses pages from standard input with the reference parser, and prints the families of each as a line of JSON.

The argument says which parser: openmetrics or prometheus. A byte 255, which no page has, stands between two pages.
"""
import json
import sys

if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families
else:
    from prometheus_client.parser import text_string_to_metric_families


def exemplar_of(sample):
    found = getattr(sample, "exemplar", None)
    return found and [found.labels, found.value, found.timestamp and float(found.timestamp)]


for page in sys.stdin.buffer.read().split(b"\xff"):
    families = [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "unit": family.unit,
            "samples": [
                [sample.name, sample.labels, sample.value, exemplar_of(sample)] for sample in family.samples
            ],
        }
        for family in text_string_to_metric_families(page.decode("utf-8"))
    ]
    json.dump(families, sys.stdout)
    print()
