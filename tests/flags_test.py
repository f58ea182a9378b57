"""What all commands share: how they start, read their flags, show their help and end."""

import importlib
import json
import os
import signal
import sys

import pytest
from absl import flags as absl_flags

from prsr import flags
from prsr.__main__ import COMMANDS
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams
from prsr.system.errors import UserError
from tests.conftest import call, other_keras_settings, run, start, succeed


def command(main, *arguments, define=lambda: None):
    """Runs a function as a command; returns its exit status."""
    with pytest.raises(SystemExit) as end:
        flags.run(main, define, ["command", *arguments], needs_tensorflow=False)
    return end.value.code


def test_importing_commands_defines_no_flag_and_changes_no_environment(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    before = set(absl_flags.FLAGS), dict(os.environ)
    for name in ("flags", *COMMANDS):
        importlib.reload(importlib.import_module(f"prsr.{name}"))
    assert (set(absl_flags.FLAGS), dict(os.environ)) == before
    assert not {"workdir", "tau"} & before[0]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("a line\nand another"), "error: a line and another\n"),
        (PermissionError(13, "Permission denied", "/root/x"), "'/root/x'; check the paths"),
    ],
)
def test_an_error_of_the_user_is_one_line_and_with_debug_a_traceback(capsys, error, words):
    def main():
        raise error

    assert command(main) == 1
    assert words in capsys.readouterr().err
    with pytest.raises(type(error)):
        flags.run(main, lambda: None, ["command", "--debug"], needs_tensorflow=False)


def test_an_error_of_the_program_is_raised():
    def main():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        flags.run(main, lambda: None, ["command"], needs_tensorflow=False)
    assert "debug" not in absl_flags.FLAGS


def test_nobody_reading_is_no_reason_to_stop(monkeypatch):
    """A command whose output is a closed pipe does all of its work, and ends with status 0."""
    reader, writer = os.pipe()
    os.close(reader)
    done = []

    def main():
        for stream in (sys.stdout, sys.stderr):
            print("nobody reads this", file=stream, flush=True)
            print("nor this", file=stream)
        done.append(True)

    with open(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr(sys, "stderr", closed)
        assert not command(main) and done


PROCESS_1 = """
import os, time
from prsr import flags
def main():
    print("ready", flush=True)
    time.sleep(600)
os.getpid = lambda: 1
flags.run(main, lambda: None, ["command"], needs_tensorflow=False)
"""


def test_process_1_of_a_container_ends_at_once():
    """It has a child that does the work; both end, with a shell's status for the signal."""
    process = start("", program=["-c", PROCESS_1])
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def define_all():
    flags.define_workdir()
    flags.define_hparams()
    flags.define_paths("baselines", [], "")


def value_of(make, *arguments, define=define_all):
    """What a function of flags returns for these arguments."""
    found = []
    assert not command(lambda: found.append(make()), "--workdir=w", *arguments, define=define)
    return found[0]


def test_flags_become_the_settings():
    assert value_of(flags.hparams_from_flags) == Hparams()
    arguments = ["--architecture=regression", "--mirror", "--momentum=0.5"]
    assert value_of(flags.hparams_from_flags, *arguments) == Hparams(
        ModelHparams("regression"), DataHparams(mirror=True), TrainingHparams(momentum=0.5)
    )


def test_a_resumed_run_keeps_its_settings_unless_they_may_change(capsys):
    saved = Hparams(ModelHparams(prior_width=8), training=TrainingHparams(train_steps=7))

    def resumed():
        return flags.hparams_from_flags(saved)

    assert value_of(resumed) == value_of(resumed, "--prior_width=8") == saved
    assert value_of(resumed, "--train_steps=9").training.train_steps == 9
    assert command(resumed, "--workdir=w", "--prior_width=9", define=define_all) == 1
    assert "--workdir=w was started with --prior_width=8, not 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("~", "/home/me"),
        ("folder:~/x", "folder:/home/me/x"),
        ("zip:~/a,~/b", "zip:/home/me/a,/home/me/b"),
        ("${DATA}/~", "/data/~"),
        ("a~b", "a~b"),
        ("$NOT_SET_HERE", "$NOT_SET_HERE"),
    ],
)
def test_home_and_variables_are_expanded_as_by_a_shell(monkeypatch, typed, path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    assert value_of(lambda: flags.FLAGS.dataset, f"--dataset={typed}") == path
    listed = value_of(lambda: flags.FLAGS.baselines, "--baselines=nn,A=~/run")
    assert listed == ["nn", "A=/home/me/run"]


def test_flagfiles_are_read_as_they_were_meant(tmp_path):
    """Byte-order marks, comments after values, quotes, spaces, dashes, and another flagfile."""
    (tmp_path / "other.flags").write_text("--seed=7")
    lines = [
        "# a comment",
        "--train_steps=5  # some",
        "--workdir='runs/#1 # a'\t# quoted",
        "\u2014dataset = folder:a#b\u2028c ü",
        '--crop="celeba"',
        "--mirror # a switch",
        "--image_size 16",
        f"  --flagfile={tmp_path}/other.flags",
    ]
    path = tmp_path / "my.flags"
    path.write_text("\r\n".join(lines), "utf-8-sig")

    def make():
        return flags.FLAGS.workdir, flags.FLAGS.seed, flags.hparams_from_flags()

    workdir, seed, hparams = value_of(make, f"\u2013flagfile={path}", "--seed=8")
    assert (workdir, seed, hparams.training.train_steps) == ("runs/#1 # a", 8, 5)
    expected = DataHparams("folder:a#b\u2028c ü", image_size=16, crop="celeba", mirror=True)
    assert hparams.data == expected


@pytest.mark.parametrize("line", ["workdir=x", "--flagfile=FILE", "\xff\xfe-\0"])
def test_a_flagfile_that_is_none_is_named(tmp_path, line, capsys):
    """A line without dashes, a file that contains itself, UTF-16: one line names the file."""
    path = tmp_path / "my.flags"
    path.write_bytes(line.replace("FILE", str(path)).encode("latin-1"))
    assert command(lambda: None, f"--flagfile={path}", define=define_all) == 1
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1,x", "", "0", "-1", "nan"])
def test_lists_of_numbers_are_positive(text, capsys):
    define = lambda: absl_flags.DEFINE_list("tau", [], "")  # noqa: E731
    assert command(lambda: flags.numbers("tau"), f"--tau={text}", define=define) == 1
    assert "--tau expects positive numbers" in capsys.readouterr().err


def test_keras_settings_of_other_projects_change_no_image(baseline_runs, tmp_path):
    """Settings in keras.json, in the environment and in this process change no image."""
    settings = {"backend": "torch", "image_data_format": "channels_first", "floatx": "float16"}
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    environment = {**os.environ, "HOME": str(tmp_path), "KERAS_BACKEND": "torch"}
    del environment["KERAS_HOME"]
    options = [f"--workdir={baseline_runs / 'cross_entropy'}", "--num_images=1", "--num_samples=1"]
    succeed(run("sample", *options, f"--output={tmp_path / 'one'}", env=environment))
    succeed(call("sample", *options, f"--output={tmp_path / 'two'}"))
    with other_keras_settings():
        succeed(call("sample", *options, f"--output={tmp_path / 'three'}"))
    images = [path.read_bytes() for path in sorted(tmp_path.glob("*/*_1.png"))]
    assert len(images) == 3 and len(set(images)) == 1


def test_tensorflow_takes_gpu_memory_as_it_needs_it():
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
