"""Runs the human study of section 5.3.

python -m prsr.study prepare|serve|report|simulate --study=DIR

prepare   prepares a study from evaluations
serve     serves the study to workers
report    reports "% fooled", Table 1 and Figure 7
simulate  sends simulated workers through a copy of the study

python -m prsr.study COMMAND --help lists the flags of a command.
"""

import pathlib
import sys

from absl.flags import DEFINE_bool, DEFINE_enum, DEFINE_float, DEFINE_integer, DEFINE_list

from prsr import flags
from prsr.flags import FLAGS


def _define_study():
    flags.define_path("study", "study", "Study directory: images, settings, answers")


def _define_evaluations():
    help = "Folders that prsr.evaluate wrote, one per data set; NAME=DIR names a data set"
    flags.define_paths("evaluations", [], help)
    help = "Methods to compare with the original; default regression, tau_1, tau_1.1, tau_1.2"
    DEFINE_list("methods", [], help)
    DEFINE_integer("num_images", 200, "Test images per data set, at random; 0: all", 0)
    help = "How the page enlarges images: nearest (repeated pixels) or smooth"
    DEFINE_enum("enlarge", "nearest", ["nearest", "smooth"], help)
    DEFINE_integer("workers", 40, "Workers to keep for each method", 1)
    DEFINE_integer("seed", 1, "Seed of the choice of images", 0)


def _define_prepare():
    with flags.group("Study"):
        _define_study()
        _define_evaluations()


def _define_serve():
    with flags.group("Study"):
        _define_study()
    with flags.group("Workers"):
        DEFINE_bool("require_worker_id", False, "Admit only links that name a worker: /?worker=ID")
        DEFINE_float(
            "abandoned_after", 30, "Minutes of inactivity before a place goes to another worker", 0
        )
    flags.define_address()
    with flags.group("To prepare the study if there is none yet"):
        _define_evaluations()


def _define_report():
    with flags.group("Report"):
        _define_study()
        flags.define_path("output", None, "Folder to write to; default STUDY/report")
        DEFINE_integer("figure_images", 8, "Best and worst images of each method to show", 1)
        DEFINE_integer("seed", 1, "Seed of the bootstrap", 0)


def _define_simulate():
    with flags.group("Study"):
        _define_study()
        help = "Folder for the simulated study and its report (required)"
        flags.define_path("output", None, help, required=True)
    with flags.group("Workers"):
        DEFINE_list("fooled", [], "METHOD=PERCENT: how often it fools workers; default the paper's")
        help = "Standard deviation of workers' fooling rates, in percentage points"
        DEFINE_float("spread", 5.0, help, 0, 50)
        DEFINE_float("inattention", 1.0, "Golden pairs that workers miss, in percent", 0, 99)
        DEFINE_integer("seed", 1, "Seed of the workers", 0)


def prepare():
    """Prepares a study from evaluations.

    python -m prsr.study prepare --study=DIR --evaluations=RUN/evaluation
    """
    from prsr.pages.study import preparation

    study = preparation.prepare(
        pathlib.Path(FLAGS.study),
        FLAGS.evaluations,
        FLAGS.methods,
        FLAGS.num_images,
        FLAGS.enlarge,
        FLAGS.workers,
        FLAGS.seed,
    )
    print(
        f"{study.path}: {len(study.algorithms)} algorithms, {FLAGS.workers} workers for each; read "
        f"consent.txt there, then: python -m prsr.study serve --study={study.path}"
    )


def serve():
    """Serves the study to workers.

    python -m prsr.study serve --study=DIR --host=0.0.0.0 --require_worker_id
    """
    from prsr.pages import web
    from prsr.pages.study import server
    from prsr.pages.study.directory import Study
    from prsr.pages.study.store import Store

    path = pathlib.Path(FLAGS.study)
    if FLAGS.evaluations and not (path / "study.json").exists():
        flags.quiet_tensorflow()
        prepare()
    elif FLAGS.evaluations:
        print(f"serving the study already prepared in {path}; --evaluations is not used")
    study = Study.open(path)
    store = Store(study, 60 * FLAGS.abandoned_after)
    app = server.create_app(study, store, FLAGS.require_worker_id, FLAGS.allow_framing_by)
    with web.listening(app, FLAGS.host, FLAGS.port) as (address, serve_forever):
        print(f"the study: {address}")
        print(f"its progress: {address}admin#{study.admin_token()}", flush=True)
        serve_forever()
    store.close()
    print("stopped; every answer is saved; run the same command to continue", file=sys.stderr)


def report():
    """Reports "% fooled", Table 1 and Figure 7.

    python -m prsr.study report --study=DIR
    """
    from prsr.pages.study import report
    from prsr.pages.study.directory import Study

    study = Study.open(pathlib.Path(FLAGS.study))
    output = pathlib.Path(FLAGS.output) if FLAGS.output else study.path / "report"
    print(report.write(study, output, FLAGS.figure_images, FLAGS.seed))
    print(f"wrote tables, figures and every answer to {output}")


def simulate():
    """Sends simulated workers through a copy of the study.

    python -m prsr.study simulate --study=DIR --output=SIMULATED
    """
    from prsr.pages.study import report, simulation
    from prsr.pages.study.directory import Study
    from prsr.system.progress import Progress

    original, output = Study.open(pathlib.Path(FLAGS.study)), pathlib.Path(FLAGS.output)
    spread = FLAGS.spread / 100
    shares = simulation.fooled_shares(original.algorithms, FLAGS.fooled, spread)
    ability = simulation.Ability(shares, spread, FLAGS.inattention / 100)
    study = original.simulated_copy(output)
    needed = study.protocol.workers * study.protocol.images * len(study.algorithms)
    bar = Progress("answers (and some to replace excluded workers)", needed)
    workers, answers = simulation.run(study, ability, FLAGS.seed, bar.update)
    print(report.write(study, output / "report", 8, FLAGS.seed))
    known = [f"{a.title}: {100 * ability.fooled[a.key]:g}%" for a in study.algorithms]
    print(f"The workers were simulated to be fooled this often: {', '.join(known)}.\n")
    print(f"{workers} workers gave {answers:,} answers; see {output}")


COMMANDS = {
    "prepare": (_define_prepare, prepare),
    "serve": (_define_serve, serve),
    "report": (_define_report, report),
    "simulate": (_define_simulate, simulate),
}


def main():
    name, *arguments = sys.argv[1:] or [""]
    if name in ("--help", "-h"):
        print(__doc__)
    elif name not in COMMANDS:
        flags.fail(f"expected one of {', '.join(COMMANDS)} after prsr.study; got '{name}'")
    else:
        define, command = COMMANDS[name]
        argv = [f"{sys.argv[0]} {name}", *arguments]
        flags.run(command, define, argv, needs_tensorflow=name != "serve")


if __name__ == "__main__":
    main()
