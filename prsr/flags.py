"""The flags that commands share, and how a command starts, shows its help and ends.

A command has two functions: `define()` defines its flags; `main()` does the work and returns None
or an exit status. `run(main, define)` calls both, so importing a command does nothing.
"""

import contextlib
import dataclasses
import gc
import inspect
import math
import os
import pathlib
import re
import shutil
import signal
import sys
import textwrap

# Before TensorFlow is first imported: silences its remarks about the processor.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Ignore the Keras settings of other projects.
os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=os.devnull)

from absl import app, flags, logging  # noqa: E402

from prsr.hparams import (  # noqa: E402
    DataHparams,
    Hparams,
    ModelHparams,
    Sampling,
    Schedule,
    TrainingHparams,
)
from prsr.system import backend, files, progress  # noqa: E402
from prsr.system.errors import UserError, cause  # noqa: E402

backend.prepare()
FLAGS = flags.FLAGS

_SECTIONS = {"data": DataHparams, "model": ModelHparams, "training": TrainingHparams}


@contextlib.contextmanager
def group(title):
    """Lists the flags that are defined within it under a title in `--help`.

    A flag of no group is only in `--helpfull`.
    """
    before = set(FLAGS)
    yield
    for name in FLAGS:
        if name not in before:
            FLAGS[name].group = title


def listing():
    """The flags that are defined now, for `--help` and docs/commands.md.

    Returns:
        A dict of groups in the order of their definition, title to dict: a flag as it is typed,
        with its default, such as `"--tau=1.1"`, to its help.
    """
    groups = {}
    for name in FLAGS:
        flag = FLAGS[name]
        if not hasattr(flag, "group"):
            continue
        default = (flag.default_as_str or "").strip("'")
        typed = f"--{name}" if default == "false" else f"--{name}={default or '...'}"
        text = re.sub("^<.*?>: ", "", flag.help)  # the choices, which absl puts before it
        groups.setdefault(flag.group, {})[typed] = " ".join(text.split())
    return groups


def _help(description):
    """The text of `--help`, a line for each flag where the terminal is wide enough."""
    width = min(shutil.get_terminal_size((100, 50)).columns, 100)
    groups = listing()
    column = 4 + max((len(typed) for rows in groups.values() for typed in rows), default=0)
    column = min(column, 34)
    lines = [inspect.cleandoc(description or ""), ""]
    for title, rows in groups.items():
        lines.append(f"{title}:")
        for typed, text in rows.items():
            start = f"  {typed}".ljust(column)
            if len(start) > column:
                lines.append(start)
                start = " " * column
            lines += textwrap.wrap(
                text, width, initial_indent=start, subsequent_indent=" " * column
            )
    lines.append(
        "Also: --flagfile=FILE (flags from a file), --debug (tracebacks), --helpfull (all flags)"
    )
    return "\n".join(lines)


def define_workdir():
    flags.DEFINE_string("workdir", None, "Run directory: settings, weights, logs (required)")
    flags.mark_flag_as_required("workdir")
    _refuse_empty("workdir")


def define_trained():
    """`--workdir` or `--model`: a trained model, which `trained` opens."""
    with group("Model"):
        flags.DEFINE_string("model", None, "A bundled model: faces")
        flags.DEFINE_string("workdir", None, "Or your own: the run directory of a trained model")
    _refuse_empty("workdir")
    flags.register_multi_flags_validator(
        ["workdir", "model"],
        lambda given: (given["workdir"] is None) != (given["model"] is None),
        "give either --model=faces or --workdir=RUN, a run of your own",
    )


def _refuse_empty(name):
    """Rejects an empty path, which would mean the current folder."""
    flags.register_validator(name, lambda path: path != "", f"--{name} is empty; name a folder")


def trained():
    """The `prsr.workdir.directory.Workdir` that `--model` or `--workdir` names.

    Raises:
        UserError: there is no bundled model of that name.
    """
    from prsr.workdir import pretrained
    from prsr.workdir.directory import Workdir

    if FLAGS.model is None:
        return Workdir(FLAGS.workdir)
    return pretrained.workdir(FLAGS.model)


def output_folder(name):
    """`--output` as a `pathlib.Path`; by default the folder `name` in the run directory.

    Raises:
        UserError: `--model` without `--output`: a bundled model has no run directory.
    """
    if FLAGS.output:
        return pathlib.Path(FLAGS.output)
    if FLAGS.model is not None:
        raise UserError(f"--model={FLAGS.model} needs --output, the folder to write to")
    return pathlib.Path(FLAGS.workdir) / name


def define_sampling(tau=1.1):
    """`--tau`, `--guidance` and `--match_input`: `sampling_from_flags`."""
    with group("Sampling"):
        for field in dataclasses.fields(Sampling):
            _define(field, tau if field.name == "tau" else field.default)


def sampling_from_flags(hparams):
    """The `prsr.hparams.Sampling` that the flags describe.

    Args:
        hparams: the `Hparams` of the model to sample.

    Raises:
        UserError: a number is out of bounds, or this model cannot be sampled so.
    """
    from prsr.sampling import samplers

    sampling = Sampling(**{f.name: FLAGS[f.name].value for f in dataclasses.fields(Sampling)})
    samplers.check(sampling, hparams)
    return sampling


def define_seed():
    flags.DEFINE_integer("seed", 1, "Seed of the samples", 0)


def define_batch_size(default=16):
    flags.DEFINE_integer(
        "batch_size", default, "Samples to draw at once; does not change the images", 1
    )


def define_dataset():
    flags.DEFINE_string(
        "dataset", None, "The images as KIND:WHERE; by default where training found them"
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


def moved(hparams):
    """The settings of a run, with `--dataset` in place of its own if it is given.

    Raises:
        UserError: `--model` without `--dataset`: a bundled model comes without its images.
    """
    if not FLAGS.dataset:
        if FLAGS.model is not None:
            raise UserError(f"--model={FLAGS.model} needs --dataset, the images to use it on")
        return hparams
    data = dataclasses.replace(hparams.data, dataset=FLAGS.dataset)
    return dataclasses.replace(hparams, data=data)


def numbers(name):
    """The floats of a list flag.

    Raises:
        UserError: an entry is not a positive number.
    """
    try:
        values = [float(value) for value in FLAGS[name].value]
    except ValueError:
        values = [math.nan]
    if not values or not all(value > 0 for value in values):
        got = ",".join(FLAGS[name].value)
        raise UserError(f"--{name} expects positive numbers or inf, separated by commas: '{got}'")
    return values


def define_hparams(but=()):
    """One flag for each field of `prsr.hparams.Hparams`, a group for each section.

    Args:
        but: names of fields to leave out.
    """
    for title, section in _SECTIONS.items():
        with group(title.capitalize()):
            for field in dataclasses.fields(section):
                if field.name not in but:
                    _define(field)


def define_images():
    """The flags of `define_hparams` that say which images to read and how to cut them."""
    with group("Images"):
        for field in (*dataclasses.fields(DataHparams), *dataclasses.fields(ModelHparams)):
            if field.name in ("channels", "dataset", "image_size", "crop", "split"):
                _define(field)


def _define(field, default=None):
    default = field.default if default is None else default
    help, choices = field.metadata["help"], field.metadata["choices"]
    if choices:
        flags.DEFINE_enum(field.name, default, choices, help)
    elif field.type is bool:
        flags.DEFINE_bool(field.name, default, help)
    elif field.type is int:
        flags.DEFINE_integer(field.name, default, help)
    elif field.type is float:
        flags.DEFINE_float(field.name, default, help)
    else:
        flags.DEFINE_string(field.name, default, help)


def define_schedule():
    """One flag for each field of `prsr.hparams.Schedule`."""
    with group("Schedule"):
        for field in dataclasses.fields(Schedule):
            _define(field)


def define_replicas():
    flags.DEFINE_integer(
        "num_replicas", 0, "Devices that share each batch; 0: all GPUs, or one CPU", 0
    )


def schedule_from_flags():
    """The `prsr.hparams.Schedule` that the flags describe.

    Raises:
        UserError: a number is out of bounds.
    """
    names = [field.name for field in dataclasses.fields(Schedule)]
    schedule = Schedule(**{name: FLAGS[name].value for name in names})
    schedule.check()
    return schedule


def hparams_from_flags(saved=None, **given):
    """The settings that the flags describe.

    Args:
        saved: the `Hparams` of a run to resume, or None; the defaults of all flags.
        **given: values of settings for which the command has no flags.

    Returns:
        `Hparams`.

    Raises:
        UserError: a flag contradicts a setting that the run, the records of `--dataset` or the
            model of `--initial_weights` were made with.
    """
    if saved is None:
        given = {**_made_with(), **_initial_model(), **given}
    sections = {}
    for name, section in _SECTIONS.items():
        values = {}
        for field in dataclasses.fields(section):
            if field.name in given:
                values[field.name] = given[field.name]
                continue
            flag = FLAGS[field.name]
            values[field.name] = flag.value
            if saved is not None:
                before = getattr(getattr(saved, name), field.name)
                if not flag.present:
                    values[field.name] = before
                elif field.metadata["fixed"] and flag.value != before:
                    raise UserError(
                        f"the run in --workdir={FLAGS.workdir} was started with "
                        f"--{field.name}={before}, not {flag.value}; leave the flag out, or "
                        f"choose another --workdir"
                    )
        sections[name] = section(**values)
    return Hparams(**sections)


def _made_with():
    """The settings that the records of `--dataset` were made with; empty for other kinds."""
    kind, _, folder = FLAGS.dataset.partition(":")
    if kind != "records":
        return {}
    from prsr.data import records

    settings = records.made_with(folder)
    _check_same(
        settings,
        f"the records in '{folder}' were made",
        "leave the flag out, or make new records with prsr.prepare",
    )
    return settings


def _initial_model():
    """The settings that `--initial_weights` brings: a model's (none of a file), and its start."""
    where = FLAGS.initial_weights if "initial_weights" in FLAGS else ""
    if not where:
        return {}
    from prsr.workdir import initial

    settings = initial.model_settings(where)
    _check_same(settings, f"--initial_weights={where} is a model", "leave the flag out")
    if not FLAGS["rms_start"].present:
        settings = {**settings, "rms_start": initial.RMS_START}
    return settings


def _check_same(settings, what, advice):
    """Refuses flags that contradict settings that are given already."""
    for name, value in settings.items():
        if FLAGS[name].present and FLAGS[name].value != value:
            raise UserError(f"{what} with --{name}={value}, not {FLAGS[name].value}; {advice}")


@contextlib.contextmanager
def defined(define):
    """Defines a command's flags, and removes them at the end of the context."""
    app.define_help_flags()
    before = set(FLAGS)
    try:
        define()
        flags.DEFINE_bool("debug", False, "Show a traceback for an error, not one line.")
        yield
    finally:
        for name in set(FLAGS) - before:
            delattr(FLAGS, name)


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

    def guarded(argv):
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1:
            fail(f"unexpected argument '{argv[1]}'; flags look like --name=value")
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

    def parse(argv):
        if {"-h", "--help"} & set(argv[1:]):
            print(_help(main.__doc__ or main.__globals__["__doc__"]))
            sys.exit()
        return _parse(argv)

    with defined(define):
        app.run(guarded, argv, flags_parser=parse)


def _in_a_line(error):
    """What to tell the user about an error; None for a bug in this program."""
    if isinstance(error, UserError):
        return error
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(
        error, tensorflow.errors.DataLossError
    ):  # records check themselves
        return (
            f"the images are damaged: {cause(error)}; to repair records, run the same "
            f"prsr.prepare again"
        )
    if isinstance(error, OSError):  # such as a folder without permission to read it
        return f"{error}; check the paths that you gave"
    return None


def quiet_tensorflow():
    """Imports TensorFlow without the remarks that it prints before it reads its log level.

    The garbage collector ignores its million objects; scanning them again and again, during the
    import and afterwards, would take seconds.
    """
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
    before, met = signal.getsignal(signal.SIGINT), []
    if before is not signal.default_int_handler:  # ignored, or another handler
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: met.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if met:
        raise KeyboardInterrupt


def fail(message):
    """Prints one line on standard error and exits with status 1."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


# Flags whose value is a path, and flags with a list of paths.
_PATHS = ("workdir", "input", "given", "output", "study", "regression", "initial_weights")
_LISTS = ("baselines", "evaluations")


def _expand_paths():
    """Expands `~` and `$NAME` in paths; a shell does not, in a flagfile or after `=`."""
    for name in FLAGS:
        value = FLAGS[name].value
        if name in _PATHS and isinstance(value, str):
            FLAGS[name].value = files.expanded(value)
        elif name in _LISTS and value:
            # An evaluation may be NAME=DIR.
            FLAGS[name].value = ["=".join(map(files.expanded, one.split("="))) for one in value]
        elif name == "dataset" and value and ":" in value:
            kind, where = value.split(":", 1)
            paths = map(files.expanded, where.split(",") if kind == "zip" else [where])
            FLAGS[name].value = f"{kind}:{','.join(paths)}"


def _parse(argv):
    try:
        rest = FLAGS(argv)
        _expand_paths()
        return rest
    except (flags.Error, OSError, ValueError) as error:
        # absl starts some of its messages with a prefix.
        text = str(error).removeprefix("ERROR:: ")
        text = text.replace(" must have a value other than None.", " is missing")
        text = re.sub(r"^flags? (\S+=None(, )?)+: (Flag )?", "", text)
        fail(f"{text} (--help lists the flags)")
