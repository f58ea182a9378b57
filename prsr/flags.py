"""The flags that commands share, and how a command starts, shows its help and ends.

A command has two functions: `define()` defines its flags; `main()` does the work and returns None
or an exit status. `run(main, define)` calls both, so importing a command does nothing.
"""

import contextlib
import dataclasses
import gc
import inspect
import os
import pathlib
import re
import shutil
import signal
import sys

from absl import flags, logging

from prsr.hparams import (
    DataHparams,
    Hparams,
    ModelHparams,
    Sampling,
    Schedule,
    TrainingHparams,
)
from prsr.system import backend, files, progress
from prsr.system.errors import UserError, cause

FLAGS = flags.FLAGS

_SECTIONS = {"data": DataHparams, "model": ModelHparams, "training": TrainingHparams}


# Flags that several commands define


@contextlib.contextmanager
def group(title):
    """Lists the flags that are defined within it under a title in `--help`; others are hidden."""
    before = set(FLAGS)
    yield
    for name in FLAGS:
        if name not in before:
            FLAGS[name].group = title


class _Path(flags.ArgumentParser):
    """Expands `~` and `$NAME`, which a shell leaves alone in a flagfile or after `=`."""

    def parse(self, argument):
        return files.expanded(argument)


class _Paths(flags.ListParser):
    def parse(self, argument):
        return [files.expanded(path) for path in super().parse(argument)]


def define_path(name, default, help, required=False):
    """A flag whose value is a path, or KIND:PATH.

    Args:
        name, default, help: as for `absl.flags.DEFINE_string`.
        required: whether the flag must be given, and not empty.
    """
    flags.DEFINE(_Path(), name, default, help, serializer=flags.ArgumentSerializer())
    if required:
        flags.register_validator(name, bool, f"--{name} is missing")


def define_paths(name, default, help):
    """A flag whose value is a list of paths, of words, or of NAME=PATH."""
    flags.DEFINE(_Paths(), name, default, help, serializer=flags.CsvListSerializer(","))


def define_workdir():
    define_path("workdir", None, "Run directory: settings, weights, logs (required)", required=True)


def define_trained():
    """`--workdir` or `--model`: a trained model, which `trained` opens."""
    with group("Model"):
        flags.DEFINE_string("model", None, "A bundled model: faces or bedrooms")
        define_path("workdir", None, "Or your own: the run directory of a trained model")
    flags.register_multi_flags_validator(
        ["workdir", "model"],
        lambda given: bool(given["workdir"]) != bool(given["model"]),
        "give either --model=faces or --workdir=RUN, a run of your own",
    )


def define_sampling(tau=1.1):
    """`--tau`, `--guidance` and `--match_input`: `sampling_from_flags`."""
    with group("Sampling"):
        for field in dataclasses.fields(Sampling):
            _define(field, tau if field.name == "tau" else field.default)


def define_seed():
    flags.DEFINE_integer("seed", 1, "Seed of the samples", 0)


def define_batch_size(default=16):
    flags.DEFINE_integer(
        "batch_size", default, "Samples to draw at once; does not change the images", 1
    )


def define_dataset():
    define_path("dataset", None, "The images as KIND:WHERE; by default where training found them")


def define_replicas():
    flags.DEFINE_integer(
        "num_replicas", 0, "Devices that share each batch; 0: all GPUs, or one CPU", 0
    )


def define_address():
    with group("Server"):
        flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: all interfaces")
        flags.DEFINE_integer("port", 8000, "Port to listen on; 0: any free port", 0, 65535)
        flags.DEFINE_list(
            "allow_framing_by",
            [],
            "Origins that may show the page in a frame, such as https://example.org",
        )


def define_hparams(but=()):
    """One flag for each field of `prsr.hparams.Hparams`, a group for each section.

    Args:
        but: names of fields to leave out.
    """
    for title, section in _SECTIONS.items():
        with group(title.capitalize()):
            for field in dataclasses.fields(section):
                if field.name not in but:
                    _define(field, field.default)


def define_images():
    """The flags of `define_hparams` that say which images to read and how to cut them."""
    with group("Images"):
        for field in (*dataclasses.fields(DataHparams), *dataclasses.fields(ModelHparams)):
            if field.name in ("channels", "dataset", "image_size", "crop", "split"):
                _define(field, field.default)


def define_schedule():
    """One flag for each field of `prsr.hparams.Schedule`."""
    with group("Schedule"):
        for field in dataclasses.fields(Schedule):
            _define(field, field.default)


def _define(field, default):
    """A flag for a field that `prsr.hparams.setting` made."""
    help = field.metadata["help"]
    if field.metadata["choices"]:
        flags.DEFINE_enum(field.name, default, field.metadata["choices"], help)
    elif field.metadata["is_path"]:
        define_path(field.name, default, help)
    else:
        kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}
        kinds[field.type](field.name, default, help)


# What flags mean


def trained():
    """The `prsr.workdir.directory.Workdir` that `--model` or `--workdir` names.

    Raises:
        UserError: there is no bundled model of that name.
    """
    from prsr.workdir import pretrained
    from prsr.workdir.directory import Workdir

    return pretrained.workdir(FLAGS.model) if FLAGS.model else Workdir(FLAGS.workdir)


def output_folder(name):
    """`--output` as a `pathlib.Path`; by default the folder `name` in the run directory.

    Raises:
        UserError: `--model` without `--output`: a bundled model has no run directory.
    """
    if FLAGS.output:
        return pathlib.Path(FLAGS.output)
    if FLAGS.model:
        raise UserError(f"--model={FLAGS.model} needs --output, the folder to write to")
    return pathlib.Path(FLAGS.workdir) / name


def with_dataset(hparams):
    """The settings of a run, with `--dataset` in place of the run's data set if it is given.

    Raises:
        UserError: `--model` without `--dataset`: a bundled model comes without its images.
    """
    if FLAGS.dataset:
        data = dataclasses.replace(hparams.data, dataset=FLAGS.dataset)
        return dataclasses.replace(hparams, data=data)
    if FLAGS.model:
        raise UserError(f"--model={FLAGS.model} needs --dataset, the images to use it on")
    return hparams


def numbers(name):
    """The floats of a list flag.

    Raises:
        UserError: an entry is not a positive number.
    """
    try:
        values = [float(value) for value in FLAGS[name].value]
    except ValueError:
        values = []
    if not values or not all(value > 0 for value in values):
        got = ",".join(FLAGS[name].value)
        raise UserError(f"--{name} expects positive numbers or inf, separated by commas: '{got}'")
    return values


def sampling_from_flags(hparams):
    """The `prsr.hparams.Sampling` that the flags describe.

    Args:
        hparams: the `Hparams` of the model to sample.

    Raises:
        UserError: a number is out of bounds, or this model cannot be sampled so.
    """
    from prsr.sampling import samplers

    sampling = _from_flags(Sampling)
    samplers.check(sampling, hparams)
    return sampling


def schedule_from_flags():
    """The `prsr.hparams.Schedule` that the flags describe.

    Raises:
        UserError: a number is out of bounds.
    """
    schedule = _from_flags(Schedule)
    schedule.check()
    return schedule


def hparams_from_flags(saved=None, **given):
    """The settings that the flags describe.

    Args:
        saved: the `Hparams` of a run to resume, or None; the defaults of all flags.
        **given: values of settings, with or without flags, that the command itself chooses.

    Returns:
        `Hparams`.

    Raises:
        UserError: a flag contradicts a setting that the run, the records of `--dataset` or the
            model of `--initial_weights` were made with.
    """
    if saved is None:
        given = {**_of_records(), **_of_initial_model(), **given}
    else:
        before = {
            field.name: getattr(getattr(saved, name), field.name)
            for name, section in _SECTIONS.items()
            for field in dataclasses.fields(section)
            if field.name not in given
            and (field.metadata["fixed"] or not FLAGS[field.name].present)
        }
        _check_same(
            before,
            f"the run in --workdir={FLAGS.workdir} was started",
            "leave the flag out, or choose another --workdir",
        )
        given = {**before, **given}
    return Hparams(**{name: _from_flags(one, given) for name, one in _SECTIONS.items()})


def _from_flags(section, given=None):
    """A dataclass of settings, from `given` where it has them and from flags otherwise."""
    given = given or {}
    names = [field.name for field in dataclasses.fields(section)]
    return section(**{n: given[n] if n in given else FLAGS[n].value for n in names})


def _of_records():
    """The settings that the records of `--dataset` were made with; empty for other kinds."""
    kind, _, folder = FLAGS.dataset.partition(":")
    if kind != "records":
        return {}
    from prsr.data import records

    settings = records.made_with(folder)
    advice = "leave the flag out, or make new records with prsr.prepare"
    _check_same(settings, f"the records in '{folder}' were made", advice)
    return settings


def _of_initial_model():
    """What `--initial_weights` sets, unless a flag does: the model's sizes, and its start."""
    where = FLAGS.initial_weights if "initial_weights" in FLAGS else ""
    if not where:
        return {}
    from prsr.workdir import initial

    settings = {**initial.model_settings(where), "rms_start": initial.RMS_START}
    return {name: value for name, value in settings.items() if not FLAGS[name].present}


def _check_same(settings, what, advice):
    """Refuses flags that contradict settings that are given already."""
    for name, value in settings.items():
        if FLAGS[name].present and FLAGS[name].value != value:
            raise UserError(f"{what} with --{name}={value}, not {FLAGS[name].value}; {advice}")


# From the command line to the exit status


def run(main, define, argv=None, needs_tensorflow=True):
    """Parses flags and calls `main()`; reports a mistake of the user in one line.

    `--help` prints the docstring of `main`, or else of its module, and the flags by group.

    Args:
        main: function without arguments; returns None or an exit status.
        define: function that defines the command's flags; they are removed at the end.
        argv: the command line; None: the program's own.
        needs_tensorflow: False for a command that starts faster without it.

    Raises:
        SystemExit: always.
    """
    argv = sys.argv if argv is None else argv
    with defined(define):
        if {"-h", "--help"} & set(argv[1:]):
            print(_help(main.__doc__ or main.__globals__["__doc__"]))
            sys.exit()
        parse(argv)
        sys.exit(_call(main, needs_tensorflow))


@contextlib.contextmanager
def defined(define):
    """Defines a command's flags, and removes them at the end of the context."""
    before = set(FLAGS)
    try:
        define()
        flags.DEFINE_bool("debug", False, "Show a traceback for an error, not one line.")
        yield
    finally:
        for name in set(FLAGS) - before:
            delattr(FLAGS, name)


def listing():
    """The flags that are defined now, for `--help` and docs/commands.md.

    Returns:
        A dict of groups in the order of their definition, title to dict: a flag as it is typed,
        with its default, such as `"--tau=1.1"`, to its help.
    """
    groups = {}
    for name in FLAGS:
        flag = FLAGS[name]
        if hasattr(flag, "group"):
            default = (flag.default_as_str or "").strip("'")
            typed = f"--{name}" if default == "false" else f"--{name}={default or '...'}"
            text = re.sub("^<.*?>: ", "", flag.help)  # the choices, which absl puts before it
            groups.setdefault(flag.group, {})[typed] = " ".join(text.split())
    return groups


def _help(description):
    """The text of `--help`; argparse only lays it out."""
    import argparse

    width = min(shutil.get_terminal_size((100, 50)).columns, 100)
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,
        description=inspect.cleandoc(description or ""),
        epilog="Also: --flagfile=FILE (flags from a file), --debug (tracebacks)",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, 2, 34, width),
        add_help=False,
    )
    for title, rows in listing().items():
        section = parser.add_argument_group(title)
        for typed, text in rows.items():
            section.add_argument(typed, help=text.replace("%", "%%"), action="store_true")
    return parser.format_help().strip()


def parse(argv):
    """Sets the flags from a command line; a mistake ends the process in one line."""
    try:
        rest = FLAGS(argv)
    except (flags.Error, OSError, ValueError) as error:
        # What absl puts before some of its messages, where it says nothing.
        text = re.sub(r"^ERROR:: |flags? (\S+=(None)?(, )?)+: ", "", str(error))
        fail(f"{text} (--help lists the flags)")
    if len(rest) > 1:
        fail(f"unexpected argument '{rest[1]}'; flags look like --name=value")


def _call(main, needs_tensorflow):
    """Calls `main`; returns its status, and reports errors that the user can fix."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.ERROR)
    progress.begin()
    with contextlib.suppress(AttributeError):  # a terminal may not know all of a file's name
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if needs_tensorflow:
            quiet_tensorflow()
            backend.require_tensorflow("this command")
        return main()
    except Exception as error:
        message = _in_a_line(error)
        if FLAGS.debug or message is None:
            raise
        fail(message)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C changes nothing
        print("interrupted", file=sys.stderr)
        return 130


def _in_a_line(error):
    """What to tell the user about an error; None for a bug in this program."""
    if isinstance(error, UserError):
        return error
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(error, tensorflow.errors.DataLossError):
        advice = "to repair records, run the same prsr.prepare again"
        return f"the images are damaged: {cause(error)}; {advice}"
    if isinstance(error, OSError):  # such as a folder without permission to read it
        return f"{error}; check the paths that you gave"
    return None


def fail(message):
    """Prints one line on standard error and exits with status 1."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


def quiet_tensorflow():
    """Imports TensorFlow, with Keras on it, without the remarks that it prints.

    The garbage collector ignores its million objects; scanning them again and again, during the
    import and afterwards, would take seconds.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Ignore the Keras settings of other projects.
    os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=os.devnull)
    backend.prepare()
    with progress.silenced(), _ctrl_c_afterwards():
        gc.disable()
        try:
            import tensorflow
        finally:
            gc.freeze()
            gc.enable()
    return tensorflow


@contextlib.contextmanager
def _ctrl_c_afterwards():
    """Delays Ctrl-C: during the import of an extension it would become an ImportError."""
    before, got = signal.getsignal(signal.SIGINT), []
    if before is not signal.default_int_handler:  # ignored, or another handler
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: got.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if got:
        raise KeyboardInterrupt
