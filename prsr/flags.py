"""Flags that commands share, and how a command begins and ends."""

import dataclasses
import math
import os
import pathlib
import signal
import sys

# Before TensorFlow is first imported: its remarks about the processor are no news here.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags, logging  # noqa: E402

from prsr import progress  # noqa: E402
from prsr.errors import UserError, cause  # noqa: E402
from prsr.hparams import DataHparams, Hparams, ModelHparams, TrainingHparams  # noqa: E402

FLAGS = flags.FLAGS
flags.disclaim_key_flags()  # they are the command's that defines them: its --help lists them

_SECTIONS = {"model": ModelHparams, "data": DataHparams, "training": TrainingHparams}


def define_workdir():
    flags.DEFINE_string("workdir", None, "The run directory: settings, weights, logs.")
    flags.mark_flag_as_required("workdir")


def define_trained():
    """`--workdir` or `--model`: a trained model, which `trained` opens."""
    flags.DEFINE_string("workdir", None, "The run directory of a trained model.")
    flags.DEFINE_string("model", None, "Instead of it, a model of this package: faces.")
    flags.register_multi_flags_validator(
        ["workdir", "model"],
        lambda given: (given["workdir"] is None) != (given["model"] is None),
        "give --model=faces, or --workdir=RUN of a run of your own, and not both",
    )


def trained():
    """The `prsr.workdirs.Workdir` that the flags of `define_trained` name.

    Raises:
        UserError: the package has no such model.
    """
    from prsr import pretrained, workdirs

    if FLAGS.model is None:
        return workdirs.Workdir(FLAGS.workdir)
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


def define_tau(default=1.1):
    flags.DEFINE_float(
        "tau",
        default,
        "Multiplies the logits: larger is calmer, inf is greedy. The inverse of the usual "
        "temperature (footnote 1 of the paper, which found 1.1 to 1.3 to look best).",
    )
    flags.register_validator("tau", lambda tau: tau > 0, "--tau must be a positive number or inf")


def define_dataset():
    flags.DEFINE_string(
        "dataset", None, "Where the run's images lie now, if they were moved: KIND:WHERE."
    )


def define_address():
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0 for all.")
    flags.DEFINE_integer("port", 8000, "Port to listen at; 0: any that is free.", 0, 65535)


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


def define_hparams():
    """One flag for each field of `prsr.hparams.Hparams`."""
    for section in _SECTIONS.values():
        for field in dataclasses.fields(section):
            _define(field)


def define_images():
    """The flags of `define_hparams` that say where images come from and what they become."""
    for field in (*dataclasses.fields(ModelHparams), *dataclasses.fields(DataHparams)):
        if field.name in ("channels", "dataset", "image_size", "crop", "split"):
            _define(field)


def _define(field):
    help, choices = field.metadata["help"], field.metadata["choices"]
    if choices:
        flags.DEFINE_enum(field.name, field.default, choices, help)
    elif field.type is bool:
        flags.DEFINE_bool(field.name, field.default, help)
    elif field.type is int:
        flags.DEFINE_integer(field.name, field.default, help)
    elif field.type is float:
        flags.DEFINE_float(field.name, field.default, help)
    else:
        flags.DEFINE_string(field.name, field.default, help)


def define_schedule():
    """How often training does what: `schedule_from_flags`, and `--eval_images`."""
    define_tau()
    flags.DEFINE_integer("log_every", 100, "Steps between two lines of training scores.", 1)
    flags.DEFINE_integer("eval_every", 1000, "Steps between two validations.", 1)
    flags.DEFINE_integer("eval_images", 512, "Validation images to score.", 1)
    flags.DEFINE_integer("checkpoint_every", 1000, "Steps between two checkpoints.", 1)
    flags.DEFINE_integer("sample_every", 0, "Steps between two grids; 0: at the end only.", 0)
    flags.DEFINE_integer("sample_images", 4, "Rows of a grid; 0 draws none.", 0)
    flags.DEFINE_integer("num_samples", 3, "Samples a row.", 1)
    flags.DEFINE_enum(
        "on_nan",
        "stop",
        ["stop", "restore"],
        "If the loss is no number: stop, or go back to the newest checkpoint and go on from "
        "there with half the learning rate.",
    )
    flags.DEFINE_integer(
        "num_replicas",
        0,
        "Devices of this machine that share each batch; 0: all GPUs, or one CPU. Without GPUs "
        "so many logical devices on the CPU, to try it. TF_CONFIG adds other machines.",
        0,
    )


def schedule_from_flags():
    """The `prsr.training.Schedule` that the flags describe."""
    from prsr import training

    return training.Schedule(
        log_every=FLAGS.log_every,
        eval_every=FLAGS.eval_every,
        sample_every=FLAGS.sample_every,
        checkpoint_every=FLAGS.checkpoint_every,
        sample_images=FLAGS.sample_images,
        samples_per_image=FLAGS.num_samples,
        tau=FLAGS.tau,
        on_nan=FLAGS.on_nan,
    )


def hparams_from_flags(saved=None):
    """The settings that the flags describe.

    Args:
        saved: the `Hparams` of a run that is continued; flags that are not given take
            their values from it.

    Returns:
        `Hparams`.

    Raises:
        UserError: a flag contradicts what the run was started with.
    """
    sections = {}
    for name, section in _SECTIONS.items():
        values = {}
        for field in dataclasses.fields(section):
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


def run(main, argv=None, needs_tensorflow=True):
    """Parses flags and calls `main()`; what the user got wrong ends in one line.

    Args:
        main: function without arguments; returns None or an exit status.
        argv: the command line, if it is not the program's own.
        needs_tensorflow: False for a command that starts sooner without it.
    """

    def guarded(argv):
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1:
            fail(f"unexpected argument '{argv[1]}'; flags look like --name=value")
        damaged = ()
        try:
            if needs_tensorflow:
                damaged = quiet_tensorflow().errors.DataLossError  # records check themselves
            return main()
        except UserError as error:
            fail(error)
        except damaged as error:
            fail(
                f"the images are damaged: {cause(error)}; records are mended by running the same "
                f"prsr.prepare again"
            )
        except OSError as error:  # a place that may not even be looked at
            fail(f"{error}; check the paths that were given")
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks twice gets no more
            print("interrupted", file=sys.stderr)
            return 130

    app.run(guarded, argv, flags_parser=_parse)


def quiet_tensorflow():
    """TensorFlow, imported without the remarks that come before its log level is read."""
    with progress.silenced():
        import tensorflow
    return tensorflow


def fail(message):
    """Ends the program with one line on standard error."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(1)


def _parse(argv):
    try:
        return FLAGS(argv)
    except (flags.Error, OSError, ValueError) as error:
        # absl begins some of its messages with a word of its own.
        text = str(error).removeprefix("ERROR:: ")
        text = text.replace(" must have a value other than None.", " is missing")
        fail(f"{text} (--help lists the flags)")
