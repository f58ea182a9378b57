from prsr.system import errors


def test_the_cause_is_the_last_part_of_tensorflow_s_message():
    error = ValueError("{{node read}} in block 3: corrupted record at 12\n\t [[more]]")
    assert errors.cause(error) == "corrupted record at 12"


def test_an_error_is_its_first_line_or_its_type():
    assert errors.first_line(OSError("\nfull\nand more")) == "full"
    assert errors.first_line(ValueError(" ")) == "ValueError"
