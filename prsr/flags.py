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
import warnings

from absl import flags, logging

from prsr.hparams import DataHparams, Hparams, ModelHparams, Sampling, Schedule, TrainingHparams
from prsr.system import backend, files, progress
from prsr.system.errors import UserError, cause

FLAGS = flags.FLAGS

_SECTIONS = {"data": DataHparams, "model": ModelHparams, "training": TrainingHparams}


@contextlib.contextmanager
def group(title):
    """Lists the flags that are defined within it under a title in `--help`; others are hidden."""
    before = set(FLAGS)
    yield
    for name in FLAGS:
        if name not in before:
            FLAGS[name].group = title


class _PathFlag(flags.ArgumentParser):
    """Expands `~`, `~name` and `$NAME`, which a shell leaves alone in a flagfile or after `=`."""

    def parse(self, argument):
        return re.sub(
            r"(?:^|(?<=[:,=]))~[^/:,=]*",
            lambda home: os.path.expanduser(home[0]),
            os.path.expandvars(argument),
        )


class _PathsFlag(flags.ListParser):
    def parse(self, argument):
        return argument if isinstance(argument, list) else files.split(_PathFlag().parse(argument))


def define_path(name, default, help, required=False):
    """Like `absl.flags.DEFINE_string`, for a path or KIND:PATH, which may be required."""
    flags.DEFINE(_PathFlag(), name, default, help, serializer=flags.ArgumentSerializer())
    if required:
        flags.register_validator(name, bool, f"--{name} is missing")


def define_paths(name, default, help):
    """Like `absl.flags.DEFINE_list`, for paths, words or NAME=PATH."""
    flags.DEFINE(_PathsFlag(), name, default, help, serializer=flags.CsvListSerializer(","))


def define_workdir():
    define_path("workdir", None, "Run directory: settings, weights, logs (required)", required=True)


def define_trained(required=True):
    """`--workdir` or `--model`: a trained model, which `trained` opens."""
    with group("Model"):
        flags.DEFINE_string("model", None, "A bundled model: faces or bedrooms")
        define_path("workdir", None, "Or your own: the run directory of a trained model")
    flags.register_multi_flags_validator(
        ["workdir", "model"],
        lambda given: sum(map(bool, given.values())) in ((1,) if required else (0, 1)),
        "give either --model=faces or --workdir=RUN, a run of your own",
    )


def define_sampling(tau=1.1):
    """`--tau`, `--guidance` and `--match_input`: `sampling_from_flags`."""
    _define_fields("Sampling", dataclasses.fields(Sampling), tau=tau)


def define_seed():
    flags.DEFINE_integer("seed", 1, "Seed of the samples", 0)


def define_batch_size(default=16):
    flags.DEFINE_integer(
        "batch_size", default, "Samples to draw at once; does not change the images", 1
    )


def define_dataset():
    define_path("dataset", None, "The images as KIND:WHERE; by default where training found them")
    flags.DEFINE_bool(
        "all_images", False, "With --model: all images, not only those its card names"
    )


def define_replicas():
    flags.DEFINE_integer(
        "num_replicas", 0, "Devices that share each batch; 0: all GPUs, or one CPU", 0
    )


def define_address():
    with group("Server"):
        flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: all interfaces")
        flags.DEFINE_integer("port", 8000, "Port to listen on; 0: any free port", 0, 65535)
        flags.DEFINE_list(
            "allow_framing_by", [], "Origins that may frame the page, such as https://example.org"
        )


def define_hparams(but=()):
    """One flag for each field of `prsr.hparams.Hparams` but these, a group for each section."""
    for title, section in _SECTIONS.items():
        fields = [field for field in dataclasses.fields(section) if field.name not in but]
        _define_fields(title.capitalize(), fields)


def define_images():
    """The flags of `define_hparams` that say which images to read and how to crop them."""
    fields = (*dataclasses.fields(DataHparams), *dataclasses.fields(ModelHparams))
    names = ("channels", "dataset", "image_size", "crop", "split")
    _define_fields("Images", [field for field in fields if field.name in names])


def define_schedule():
    """One flag for each field of `prsr.hparams.Schedule`."""
    _define_fields("Schedule", dataclasses.fields(Schedule))


def _define_fields(title, fields, **defaults):
    """A group of flags for fields that `prsr.hparams.setting` made."""
    kinds = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}
    with group(title):
        for field in fields:
            name, help = field.name, field.metadata["help"]
            default = defaults.get(name, field.default)
            if field.metadata["choices"]:
                flags.DEFINE_enum(name, default, field.metadata["choices"], help)
            elif field.metadata["is_path"]:
                define_path(name, default, help)
            else:
                kinds[field.type](name, default, help)


def trained():
    """The `prsr.workdir.directory.Workdir` that `--model` or `--workdir` names."""
    from prsr.workdir import pretrained
    from prsr.workdir.directory import Workdir

    return pretrained.workdir(FLAGS.model) if FLAGS.model else Workdir(FLAGS.workdir)


def output_folder(name):
    """`--output` as a `pathlib.Path`; by default the folder `name` in the run directory.

    A bundled model has no run directory, so `--model` without `--output` is a `UserError`.
    """
    if FLAGS.output:
        return pathlib.Path(FLAGS.output)
    if FLAGS.model:
        raise UserError(f"--model={FLAGS.model} needs --output, the folder to write to")
    return pathlib.Path(FLAGS.workdir) / name


def with_dataset(hparams):
    """The settings of a run, with `--dataset` in place of the run's data set if it is given.

    A bundled model comes without its images, so `--model` without `--dataset` is a `UserError`.
    """
    if FLAGS.dataset:
        data = dataclasses.replace(hparams.data, dataset=FLAGS.dataset)
        return dataclasses.replace(hparams, data=data)
    if FLAGS.model:
        raise UserError(f"--model={FLAGS.model} needs --dataset, the images to use it on")
    return hparams


def numbers(name):
    """The floats of a list flag; raises `UserError` unless all are positive."""
    try:
        values = [float(value) for value in FLAGS[name].value]
    except ValueError:
        values = []
    if not values or not all(value > 0 for value in values):
        got = ",".join(FLAGS[name].value)
        raise UserError(f"--{name} expects positive numbers or inf, separated by commas: '{got}'")
    return values


def sampling_from_flags(hparams, recommended=()):
    """The `prsr.hparams.Sampling` that the flags describe, for a model with these settings.

    Args:
        recommended: a dict of values in place of the flags' defaults.

    Raises:
        UserError: a number is out of bounds, or this model cannot be sampled so.
    """
    from prsr.sampling import samplers

    given = {name: x for name, x in dict(recommended).items() if not FLAGS[name].present}
    sampling = _from_flags(Sampling, given)
    samplers.check(sampling, hparams)
    return sampling


def schedule_from_flags():
    """The `prsr.hparams.Schedule` that the flags describe; `UserError` outside its bounds."""
    schedule = _from_flags(Schedule)
    schedule.check()
    return schedule


def hparams_from_flags(saved=None, **given):
    """The settings that the flags describe.

    Args:
        saved: the `Hparams` of a run to resume, or None.
        **given: values of settings that the command itself chooses.

    Raises:
        UserError: a flag contradicts a setting that the run, the records of `--dataset` or the
            model of `--initial_weights` were made with.
    """
    if saved is None:
        given = {**_flags_of_records(), **_flags_of_initial_model(), **given}
    else:
        before = {
            field.name: getattr(getattr(saved, name), field.name)
            for name, section in _SECTIONS.items()
            for field in dataclasses.fields(section)
            if field.name not in given
            and (field.metadata["fixed"] or not FLAGS[field.name].present)
        }
        _check_flags(
            before,
            f"the run in --workdir={FLAGS.workdir} was started",
            "leave the flag out, or choose another --workdir",
        )
        given = {**before, **given}
    return Hparams(**{name: _from_flags(one, given) for name, one in _SECTIONS.items()})


def _from_flags(section, given=()):
    """A dataclass of settings, from `given` where it has them and from flags otherwise."""
    names = [field.name for field in dataclasses.fields(section)]
    return section(**{n: given[n] if n in given else FLAGS[n].value for n in names})


def _flags_of_records():
    """The settings that the records of `--dataset` were made with; empty for other kinds."""
    kind, _, folder = FLAGS.dataset.partition(":")
    if kind != "records":
        return {}
    from prsr.data import records

    settings = records.made_with(folder)
    advice = "leave the flag out, or make new records with prsr.prepare"
    _check_flags(settings, f"the records in '{folder}' were made", advice)
    return settings


def _flags_of_initial_model():
    """What `--initial_weights` sets, unless a flag does: the model's sizes, and its start."""
    where = FLAGS.initial_weights if "initial_weights" in FLAGS else ""
    if not where:
        return {}
    from prsr.workdir import initial

    settings = {**initial.model_settings(where), "rms_start": initial.RMS_START}
    return {name: value for name, value in settings.items() if not FLAGS[name].present}


def _check_flags(settings, what, advice):
    """Refuses flags that contradict settings that are given already."""
    for name, value in settings.items():
        if FLAGS[name].present and FLAGS[name].value != value:
            raise UserError(f"{what} with --{name}={value}, not {FLAGS[name].value}; {advice}")


def run(main, define, argv=None, needs_tensorflow=True):
    """Parses flags, calls `main()`, and exits; reports a mistake of the user in one line.

    `--help` prints the docstring of `main`, or else of its module, and the flags by group.

    `argv` is by default the program's; a command without TensorFlow starts faster.
    """
    if argv is None and os.name == "posix" and sys.getfilesystemencoding() != "utf-8":
        # In UTF-8 mode, which Python chooses in the locale POSIX, too, unless told not to.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    _leave_process_1()
    argv = [_dashed_flag(argument) for argument in (sys.argv if argv is None else argv)]
    with progress.unread(), defined(define):
        if {"-h", "--help"} & set(argv[1:]):
            print(_flags_help(main.__doc__ or main.__globals__["__doc__"]))
            sys.exit()
        parse(argv)
        sys.exit(_call_command(main, needs_tensorflow))


def _leave_process_1():
    """Where this is process 1, as in a container, a child goes on, and gets its signals.

    Linux ignores signals to process 1 that it has no handler for: `docker stop` would wait.
    """
    if os.getpid() == 1 and (child := os.fork()):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda number, _: os.kill(child, number))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(status if status >= 0 else 128 - status)


@contextlib.contextmanager
def defined(define):
    """Defines a command's flags, and removes them at the end of the context."""
    before = set(FLAGS)
    try:
        define()
        flags.DEFINE_bool("debug", False, "Show a traceback for an error")
        yield
    finally:
        for name in set(FLAGS) - before:
            delattr(FLAGS, name)


def listing():
    """The flags that are defined now, by group, such as `{"Sampling": {"--tau=1.1": help}}`."""
    groups = {}
    for name in FLAGS:
        flag = FLAGS[name]
        if hasattr(flag, "group"):
            default = (flag.default_as_str or "").strip("'")
            typed = f"--{name}" if default == "false" else f"--{name}={default or '...'}"
            text = re.sub("^<.*?>: ", "", flag.help)  # the choices, which absl puts before it
            groups.setdefault(flag.group, {})[typed] = " ".join(text.split())
    return groups


def _flags_help(description):
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


def _dashed_flag(argument):
    """An argument with the hyphens that a text processor made a dash."""
    return re.sub(r"^-*[\u2010-\u2015\u2212]-*(?=[a-z])", "--", argument)


_LINE = re.compile(
    r"""(--?[\w-]+)(?:\s*(=)\s*|\s+|$)(?:(["'])(.*?)\3|(.*?))\s*(?:(?<=\s)#.*)?"""
)  # a name, a value that may be quoted, and a comment


def _with_flagfiles(argv, parents=()):
    """Yields the arguments of a command line, with those in a flagfile in place of its name."""
    rest = iter(argv)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in ("--flagfile", "-flagfile"):
            path = _PathFlag().parse(value if equals else next(rest, ""))
            if path in parents:
                raise ValueError(f"--flagfile={path} contains itself")
            yield from _with_flagfiles(_flagfile_lines(path), (*parents, path))
        else:
            yield argument


def _flagfile_lines(path):
    """Yields the arguments in a flagfile, one a line; raises ValueError where it is none."""
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, line in enumerate(map(str.strip, file), 1):
            if match := _LINE.fullmatch(_dashed_flag(line)):
                name, equals, _, quoted, plain = match.groups(default="")
                yield f"{name}={quoted or plain}" if equals or quoted or plain else name
            elif line and not line.startswith(("#", "//")):
                raise ValueError(f"--flagfile={path}, line {number}: {line!r} is no --name=value")


def parse(argv):
    """Sets the flags from a command line; a mistake ends the process in one line."""
    try:
        rest = FLAGS(list(_with_flagfiles(argv)))
    except (flags.Error, OSError, ValueError) as error:
        # What absl puts before some of its messages, where it says nothing.
        text = re.sub(r"^flags? (\S+=(None)?(, )?)+: ", "", str(error))
        fail(f"{text} (--help lists the flags)")
    if len(rest) > 1:
        fail(f"unexpected argument '{rest[1]}'; flags look like --name=value")


def _call_command(main, needs_tensorflow):
    """Calls `main`; returns its status, and reports errors that the user can fix."""
    logging.use_absl_handler()
    logging.set_verbosity(logging.ERROR)
    progress.say_once.cache_clear()
    warnings.filterwarnings("ignore", module="PIL")  # damaged images are named, but once
    with contextlib.suppress(AttributeError):  # a terminal may not know all of a file's name
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if needs_tensorflow:
            quiet_tensorflow()
            backend.require_tensorflow("this command")
        return main()
    except Exception as error:
        tensorflow = sys.modules.get("tensorflow")
        if FLAGS.debug:
            raise
        if tensorflow and isinstance(error, tensorflow.errors.DataLossError):
            advice = "to repair records, run the same prsr.prepare again"
            fail(f"the images are damaged: {cause(error)}; {advice}")
        if isinstance(error, OSError):  # such as a folder without permission to read it
            fail(f"{error}; check the paths that you gave")
        if isinstance(error, UserError):
            fail(error)
        raise  # a bug in this program
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C changes nothing
        print("interrupted", file=sys.stderr)
        return 130


def fail(message):
    """Prints one line on standard error and exits with status 1."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


def quiet_tensorflow():
    """Imports TensorFlow, with Keras on it, without the remarks that it prints.

    The garbage collector ignores its million objects, whose scanning would take seconds.
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
