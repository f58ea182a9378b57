from prsr.system import errors


def test_the_cause_is_what_tensorflow_says_last():
    error = ValueError("{{node read}} in block 3: corrupted record at 12\n\t [[more]]")
    assert errors.cause(error) == "corrupted record at 12"


def test_the_first_line_or_the_type_of_an_error_without_a_message():
    assert errors.first_line(OSError("\nfull\nand more")) == "full"
    assert errors.first_line(ValueError(" ")) == "ValueError"
