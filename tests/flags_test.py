"""What all commands share: how they begin, and how they end."""

import importlib
import json
import os

import keras
import pytest
from absl import app
from absl import flags as absl_flags

from prsr import flags
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams
from prsr.system.errors import UserError
from tests.conftest import ROOT, assert_one_line, call, run, succeed

VERBS = sorted(
    path.stem for path in (ROOT / "prsr").glob("*.py") if '"__main__"' in path.read_text()
)


def command(main, *arguments, define=lambda: None):
    """Runs a function as a command; returns its exit status."""
    with pytest.raises(SystemExit) as end:
        flags.run(main, define, ["command", *arguments], needs_tensorflow=False)
    return end.value.code


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_process_that_refuses_what_it_does_not_know(verb):
    """The only errors that all have in common; none waits for TensorFlow."""
    subcommand = ["prepare"] if verb == "study" else []
    assert_one_line(run(verb, *subcommand, "--no_such_flag"), "no_such_flag")


def test_importing_a_verb_defines_no_flag():
    app.define_help_flags()
    before = set(absl_flags.FLAGS)
    for verb in VERBS:
        importlib.reload(importlib.import_module(f"prsr.{verb}"))
    assert set(absl_flags.FLAGS) == before and not {"workdir", "tau"} & before


def test_two_verbs_in_one_process(baseline_runs, tmp_path):
    """Though both have flags of the same names, and the first is run again."""
    from prsr import prepare, sample

    def run_here(verb, *arguments):
        with pytest.raises(SystemExit) as end:
            flags.run(verb.main, verb.define, ["command", *arguments])
        assert not end.value.code

    for name in ("one", "two"):
        small = ["--dataset=drawn:20", "--image_size=8"]
        run_here(prepare, *small, f"--output={tmp_path / name}")
        workdir = f"--workdir={baseline_runs / 'regression'}"
        run_here(sample, workdir, f"--output={tmp_path / 'samples'}", "--num_images=1")
    records = [path.read_bytes() for path in sorted(tmp_path.glob("*/train-*"))]
    assert len(records) == 2 and records[0] == records[1]
    assert (tmp_path / "samples" / "grid.png").exists()


def test_a_user_s_mistake_is_one_line_and_debug_shows_where_it_was_found(tmp_path, capsys):
    arguments = [f"--workdir={tmp_path}", f"--output={tmp_path / 'out'}"]
    assert_one_line(call("sample", *arguments), "not a run directory")
    result = call("sample", *arguments, "--debug")
    assert result.returncode == 1 and "error:" not in result.stderr
    assert "Traceback" in result.stderr and "UserError: " in result.stderr

    def main():
        raise UserError("a line\nand another")

    assert command(main) == 1
    assert capsys.readouterr().err == "error: a line and another\n"
    with pytest.raises(UserError):
        flags.run(main, lambda: None, ["command", "--debug"], needs_tensorflow=False)


def test_a_mistake_of_the_program_is_never_hidden():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        flags.run(main, lambda: None, ["command"], needs_tensorflow=False)
    assert "debug" not in absl_flags.FLAGS


def test_a_place_that_may_not_be_looked_at_is_one_line(capsys):
    def main():
        raise PermissionError(13, "Permission denied", "/root/x")

    assert command(main) == 1
    assert "Permission denied: '/root/x'; check the paths" in capsys.readouterr().err


@pytest.mark.parametrize(("returned", "status"), [(None, None), (0, 0), (130, 130)])
def test_what_main_returns_is_the_status(returned, status):
    assert command(lambda: returned) == status


def test_help_is_of_this_command_alone():
    text = succeed(run("study", "--help")).stdout
    assert "prepare|serve|report|simulate" in text
    result = call("export", "--help")
    assert result.returncode == 0
    assert "jit_compile" in result.stdout and "train_steps" not in result.stdout


def test_help_is_by_group_and_as_wide_as_the_terminal(monkeypatch, capsys):
    def define():
        with flags.group("Numbers"):
            absl_flags.DEFINE_integer("count", 7, "How many there are of them, all in all")
            absl_flags.DEFINE_bool("odd", False, "Odd ones")
        with flags.group("Words"):
            absl_flags.DEFINE_enum("colour", "red", ["red", "blue"], "Colour: red or blue")
            absl_flags.DEFINE_list("names", [], "Names")
        absl_flags.DEFINE_bool("hidden", True, "Only in --helpfull")

    def main():
        """Counts.

        python -m count
        """

    monkeypatch.setenv("COLUMNS", "40")
    assert not command(main, "-h", define=define)
    assert capsys.readouterr().out.splitlines()[:-1] == [
        "Counts.",
        "",
        "python -m count",
        "",
        "Numbers:",
        "  --count=7     How many there are of",
        "                them, all in all",
        "  --odd         Odd ones",
        "Words:",
        "  --colour=red  Colour: red or blue",
        "  --names=...   Names",
    ]


def settings(*arguments, saved=None):
    """What `hparams_from_flags` makes of arguments."""
    found = []

    def define():
        flags.define_workdir()
        flags.define_hparams()

    main = lambda: found.append(flags.hparams_from_flags(saved))  # noqa: E731
    assert not command(main, "--workdir=w", *arguments, define=define)
    return found[0]


def test_flags_are_the_settings():
    assert settings() == Hparams()
    expected = Hparams(
        ModelHparams("regression"), DataHparams(mirror=True), TrainingHparams(momentum=0.5)
    )
    assert settings("--architecture=regression", "--mirror", "--momentum=0.5") == expected


def test_a_run_that_is_continued_keeps_what_is_not_given(capsys):
    saved = Hparams(ModelHparams(prior_width=8), training=TrainingHparams(train_steps=7))
    assert settings(saved=saved) == saved
    assert settings("--train_steps=9", saved=saved).training.train_steps == 9
    define = lambda: (flags.define_workdir(), flags.define_hparams())  # noqa: E731
    main = lambda: flags.hparams_from_flags(saved)  # noqa: E731
    assert command(main, "--workdir=w", "--prior_width=9", define=define) == 1
    assert "--workdir=w was started with --prior_width=8, not 9" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1,x", "", "0", "-1", "nan"])
def test_lists_of_numbers(text, capsys):
    define = lambda: absl_flags.DEFINE_list("tau", [], "")  # noqa: E731
    assert command(lambda: flags.numbers("tau"), f"--tau={text}", define=define) == 1
    assert f"--tau expects positive numbers or inf, separated by commas: '{text}'" in (
        capsys.readouterr().err
    )
    found = []
    command(lambda: found.extend(flags.numbers("tau")), "--tau=1,2.5,inf", define=define)
    assert found == [1, 2.5, float("inf")]


@pytest.fixture
def another_s_keras(tmp_path):
    """The environment of somebody who has another project, too."""
    settings = {"backend": "torch", "image_data_format": "channels_first", "floatx": "float16"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    return {**os.environ, "HOME": str(tmp_path), "KERAS_BACKEND": "torch"}


def test_another_project_s_keras_json_changes_no_image(baseline_runs, tmp_path, another_s_keras):
    workdir = f"--workdir={baseline_runs / 'cross_entropy'}"
    options = ["--num_images=1", "--num_samples=1"]
    for name, environment in (("one", None), ("two", another_s_keras)):
        options = [*options[:2], f"--output={tmp_path / name}"]
        succeed(run("sample", workdir, *options, env=environment))
    one, two = (sorted((tmp_path / name).glob("*_1.png")) for name in ("one", "two"))
    assert one[0].read_bytes() == two[0].read_bytes()


def test_keras_as_this_process_has_set_it_does_not_matter(baseline_runs, tmp_path):
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    try:
        workdir = f"--workdir={baseline_runs / 'cross_entropy'}"
        succeed(call("sample", workdir, f"--output={tmp_path}", "--num_images=1"))
    finally:
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")


def test_a_gpu_is_shared():
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
