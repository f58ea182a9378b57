"""How often hypothesis tries a property: a tenth of what is said by default, all with `-m slow`.

The examples are drawn without chance: they are the same every time.
"""

from hypothesis import HealthCheck, settings

_share = 1.0


def set_share(share):
    """What part of the examples is tried; `conftest.py` says it before tests are imported."""
    global _share
    _share = share


def tried(examples):
    """Settings for a property that deserves so many examples."""
    return settings(
        max_examples=round(examples * _share),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
