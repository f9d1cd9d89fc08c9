"""How many examples Hypothesis tries of a property that is costly."""

from hypothesis import settings

DEFAULT = 100
"""What Hypothesis tries of every other property."""


def examples(usual: int) -> int:
    """Return `usual`, or as many times that as the profile (`make fuzz`) tries more than the default."""
    return usual * settings.default.max_examples // DEFAULT
