"""The version of this package, which runs, records and benchmarks are stamped with."""

__version__ = "0.2.0"
