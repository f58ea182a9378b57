import pytest

from prsr.system import errors


def test_the_cause_is_what_tensorflow_says_last():
    error = ValueError("{{node read}} in block 3: corrupted record at 12\n\t [[more]]")
    assert errors.cause(error) == "corrupted record at 12"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("\nfull\nand more"), "full"),
        (KeyError(), "KeyError"),
        (ValueError(" "), "ValueError"),
    ],
)
def test_the_first_line_or_the_kind_of_an_error_that_says_nothing(error, expected):
    assert errors.first_line(error) == expected
