"""Flags that commands share, and how a command begins and ends.

A command has two functions: `define()` makes its flags, `main()` does its work and returns None or
an exit status. `run(main, define)` calls both, so that importing a command does nothing.
"""

import contextlib
import dataclasses
import gc
import math
import os
import pathlib
import signal
import sys

# Before TensorFlow is first imported: its remarks about the processor are no news here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Keras as it comes, whatever another project has set.
os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=os.devnull)

from absl import app, flags, logging  # noqa: E402

from prsr import backend, files, progress  # noqa: E402
from prsr.errors import UserError, cause  # noqa: E402
from prsr.hparams import (  # noqa: E402
    DataHparams,
    Hparams,
    ModelHparams,
    Sampling,
    Schedule,
    TrainingHparams,
)

backend.prepare()
FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # they are the command's that defines them: its --help lists them

_SECTIONS = {"model": ModelHparams, "data": DataHparams, "training": TrainingHparams}


def define_workdir():
    flags.DEFINE_string("workdir", None, "The run directory: settings, weights, logs.")
    flags.mark_flag_as_required("workdir")
    _refuse_empty("workdir")


def define_trained():
    """`--workdir` or `--model`: a trained model, which `trained` opens."""
    flags.DEFINE_string("workdir", None, "The run directory of a trained model.")
    flags.DEFINE_string("model", None, "Instead of it, a model of this package: faces.")
    _refuse_empty("workdir")
    flags.register_multi_flags_validator(
        ["workdir", "model"],
        lambda given: (given["workdir"] is None) != (given["model"] is None),
        "give --model=faces, or --workdir=RUN of a run of your own, and not both",
    )


def _refuse_empty(name):
    """An empty path would be the current folder."""
    flags.register_validator(name, lambda path: path != "", f"--{name} is empty; name a folder")


def trained():
    """The `prsr.trained.workdir.Workdir` that the flags of `define_trained` name.

    Raises:
        UserError: the package has no such model.
    """
    from prsr.trained import pretrained
    from prsr.trained.workdir import Workdir

    if FLAGS.model is None:
        return Workdir(FLAGS.workdir)
    return pretrained.workdir(FLAGS.model)


def output_folder(name):
    """The `pathlib.Path` of `--output`; left out, the folder `name` of the run directory.

    Raises:
        UserError: a model of the package has no place for it.
    """
    if FLAGS.output:
        return pathlib.Path(FLAGS.output)
    if FLAGS.model is not None:
        raise UserError(f"--model={FLAGS.model} needs --output, the folder to write to")
    return pathlib.Path(FLAGS.workdir) / name


def define_sampling(tau=1.1):
    """`--tau`, `--guidance` and `--match_input`: `sampling_from_flags`."""
    for field in dataclasses.fields(Sampling):
        _define(field, tau if field.name == "tau" else field.default)


def sampling_from_flags(hparams):
    """The `prsr.hparams.Sampling` that the flags describe, for a model of some `Hparams`.

    Raises:
        UserError: a number is out of bounds, or the model cannot be sampled so.
    """
    from prsr.sampling import samplers

    sampling = Sampling(**{f.name: FLAGS[f.name].value for f in dataclasses.fields(Sampling)})
    samplers.check(sampling, hparams)
    return sampling


def define_seed():
    flags.DEFINE_integer("seed", 1, "Of the samples.", 0)


def define_batch_size(default=16):
    flags.DEFINE_integer(
        "batch_size", default, "Samples that are drawn at once; changes no image.", 1
    )


def define_dataset():
    flags.DEFINE_string(
        "dataset", None, "Where the run's images lie now, if they were moved: KIND:WHERE."
    )


def define_address():
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 for all.")
    flags.DEFINE_integer("port", 8000, "Port to listen at; 0: any that is free.", 0, 65535)
    flags.DEFINE_list(
        "allow_framing_by",
        [],
        "Origins whose pages may show this one in a frame, such as https://example.org; others "
        "may not.",
    )


def moved(hparams):
    """The settings of a run, with its images where `--dataset` says that they lie now.

    Raises:
        UserError: a model of the package, which brings no images, and no `--dataset`.
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
        UserError: an entry is no positive number.
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
    """One flag for each field of `prsr.hparams.Hparams`, but for some names."""
    for section in _SECTIONS.values():
        for field in dataclasses.fields(section):
            if field.name not in but and field.metadata["has_flag"]:
                _define(field)


def define_images():
    """The flags of `define_hparams` that say where images come from and what they become."""
    for field in (*dataclasses.fields(ModelHparams), *dataclasses.fields(DataHparams)):
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
    for field in dataclasses.fields(Schedule):
        _define(field)


def define_replicas():
    flags.DEFINE_integer(
        "num_replicas",
        0,
        "Devices of this machine that share each batch; 0: all GPUs, or one CPU. Without GPUs, "
        "logical devices on the CPU, to try it.",
        0,
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
        saved: the `Hparams` of a run that is continued; flags that are not given take
            their values from it.
        **given: values of settings that the command has no flags for.

    Returns:
        `Hparams`.

    Raises:
        UserError: a flag contradicts what the run was started with, what the records of
            `--dataset` were made with, or the model of `--initial_weights`.
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
            if not field.metadata["has_flag"]:
                values[field.name] = getattr(getattr(saved or Hparams(), name), field.name)
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
                        f"--{field.name}={before}, not {flag.value}; leave the flag as it was, "
                        f"or choose another --workdir"
                    )
        sections[name] = section(**values)
    return Hparams(**sections)


def _made_with():
    """The settings that come with the records of `--dataset`."""
    kind, _, folder = FLAGS.dataset.partition(":")
    if kind != "records":
        return {}
    from prsr.data import records

    settings = records.made_with(folder)
    _check_same(
        settings,
        f"the records in '{folder}' were made",
        "leave the flag out, or make others with prsr.prepare",
    )
    return settings


def _initial_model():
    """The settings of the model that `--initial_weights` names; none of a bare file."""
    where = FLAGS.initial_weights if "initial_weights" in FLAGS else ""
    if not where:
        return {}
    from prsr.trained import initial

    settings = initial.model_settings(where)
    _check_same(settings, f"--initial_weights={where} is a model", "leave the flag out")
    return settings


def _check_same(settings, what, advice):
    """Refuses flags that contradict settings that are given already."""
    for name, value in settings.items():
        if FLAGS[name].present and FLAGS[name].value != value:
            raise UserError(f"{what} with --{name}={value}, not {FLAGS[name].value}; {advice}")


def run(main, define, argv=None, needs_tensorflow=True):
    """Parses flags and calls `main()`; what the user got wrong ends in one line.

    Args:
        main: function without arguments; returns None or an exit status.
        define: function that makes the command's flags, which are gone when it has ended.
        argv: the command line, if it is not the program's own.
        needs_tensorflow: False for a command that starts sooner without it.

    Raises:
        SystemExit: always.
    """

    def guarded(argv):
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1:
            fail(f"unexpected argument '{argv[1]}'; flags look like --name=value")
        progress.begin()
        with contextlib.suppress(AttributeError):  # a file's name may be more than a terminal knows
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
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks twice gets no more
            print("interrupted", file=sys.stderr)
            return 130

    app.define_help_flags()
    before = set(FLAGS)
    try:
        define()
        flags.DEFINE_bool("debug", False, "Show where an error came from, not one line.")
        app.run(guarded, argv, flags_parser=_parse)
    finally:
        for name in set(FLAGS) - before:
            delattr(FLAGS, name)


def _in_a_line(error):
    """What to tell the user of an error; None of a mistake of this program."""
    if isinstance(error, UserError):
        return error
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(
        error, tensorflow.errors.DataLossError
    ):  # records check themselves
        return (
            f"the images are damaged: {cause(error)}; records are mended by running the same "
            f"prsr.prepare again"
        )
    if isinstance(error, OSError):  # a place that may not even be looked at
        return f"{error}; check the paths that were given"
    return None


def quiet_tensorflow():
    """TensorFlow, imported without the remarks that come before its log level is read.

    Its million objects stay: the garbage collector would take seconds to look through them again
    and again, while they are made and afterwards.
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
    """Puts Ctrl-C off: met within the import of an extension, it comes out as an ImportError."""
    before, met = signal.getsignal(signal.SIGINT), []
    if before is not signal.default_int_handler:  # ignored, or somebody else's
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
    """Ends the program with one line on standard error."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


# Flags with a path, with several of them, and with one behind KIND:.
_PATHS = ("workdir", "input", "given", "output", "study", "regression", "initial_weights")
_LISTS = ("baselines", "evaluations")


def _expand_paths():
    """Writes `~` and `$NAME` out in paths, which no shell has seen in a flagfile or behind `=`."""
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
        # absl begins some of its messages with a word of its own.
        text = str(error).removeprefix("ERROR:: ")
        text = text.replace(" must have a value other than None.", " is missing")
        fail(f"{text} (--help lists the flags)")
