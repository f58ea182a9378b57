"""The human study of section 5.3: python -m prsr.study prepare|serve|report|simulate --study=DIR"""

import pathlib
import sys

from absl import flags

from prsr.flags import FLAGS, define_address, fail, quiet_tensorflow, run


def _define_study():
    flags.DEFINE_string("study", "study", "The study directory: images, settings, answers.")


def _define_evaluations():
    flags.DEFINE_list(
        "evaluations",
        [],
        "What python -m prsr.evaluate wrote, such as RUN/evaluation; several, each a data set of "
        "its own, with commas. NAME=DIR names one.",
    )
    flags.DEFINE_list(
        "methods",
        [],
        "What people compare with the truth: methods of the evaluations. Left out: regression, "
        "tau_1, tau_1.1 and tau_1.2, as in the paper, where they are there.",
    )
    flags.DEFINE_integer(
        "num_images", 200, "So many test images of each data set, by lot; 0: all.", 0
    )
    flags.DEFINE_enum(
        "enlarge",
        "nearest",
        ["nearest", "smooth"],
        "How the page enlarges all images: by repeating pixels, or smoothly.",
    )
    flags.DEFINE_integer("workers", 40, "Workers to keep for each algorithm.", 1)
    flags.DEFINE_integer("seed", 1, "Of the choice of images.", 0)


def _define_prepare():
    _define_study()
    _define_evaluations()


def _define_serve():
    _define_study()
    _define_evaluations()
    define_address()
    flags.DEFINE_bool(
        "require_worker_id", False, "Admit only links that name a worker, as in /?worker=ID."
    )
    flags.DEFINE_float(
        "abandoned_after", 30, "Minutes of silence after which a place is given to another.", 0
    )


def _define_report():
    _define_study()
    flags.DEFINE_string("output", None, "Where to write; --study's report/ if left out.")
    flags.DEFINE_integer("figure_images", 8, "Best and worst images of each algorithm.", 1)
    flags.DEFINE_integer("seed", 1, "Of the bootstrap.", 0)


def _define_simulate():
    _define_study()
    flags.DEFINE_string("output", None, "Directory for the simulated study and its report.")
    flags.mark_flag_as_required("output")
    flags.DEFINE_list(
        "fooled",
        [],
        "METHOD=PERCENT, how often the workers are fooled by it. Left out: the paper's.",
    )
    flags.DEFINE_float("spread", 5.0, "Standard deviation between workers, in percent.", 0, 50)
    flags.DEFINE_float("inattention", 1.0, "Golden pairs that they miss, in percent.", 0, 99)
    flags.DEFINE_integer("concurrency", 200, "Workers at once.", 1)
    flags.DEFINE_integer("seed", 1, "Of the workers.", 0)


def prepare():
    from prsr.human_study import preparation

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
    from prsr import web
    from prsr.human_study import server
    from prsr.human_study.directory import Study
    from prsr.human_study.store import Store

    path = pathlib.Path(FLAGS.study)
    if FLAGS.evaluations and not (path / "study.json").exists():
        quiet_tensorflow()
        prepare()
    elif FLAGS.evaluations:
        print(f"serving the study that is in {path}, as it was prepared")
    study = Study.open(path)
    store = Store(study, 60 * FLAGS.abandoned_after)
    app = server.create_app(study, store, FLAGS.require_worker_id, FLAGS.allow_framing_by)
    with web.listening(app, FLAGS.host, FLAGS.port) as (address, answer):
        print(f"the study: {address}")
        print(f"its progress: {address}admin#{study.admin_token()}", flush=True)
        answer()
    store.close()
    print("stopped; every answer is kept, and the same command goes on", file=sys.stderr)


def report():
    from prsr.human_study import report
    from prsr.human_study.directory import Study

    study = Study.open(pathlib.Path(FLAGS.study))
    output = pathlib.Path(FLAGS.output) if FLAGS.output else study.path / "report"
    print(report.write(study, output, FLAGS.figure_images, FLAGS.seed))
    print(f"wrote tables, figures and every answer to {output}")


def simulate():
    from prsr.human_study import report, simulation
    from prsr.human_study.directory import Study
    from prsr.progress import Progress

    original, output = Study.open(pathlib.Path(FLAGS.study)), pathlib.Path(FLAGS.output)
    ability = simulation.Ability(
        simulation.fooled_shares(original.algorithms, FLAGS.fooled, FLAGS.spread / 100),
        FLAGS.spread / 100,
        FLAGS.inattention / 100,
    )
    study = original.simulated_copy(output)
    needed = study.protocol.workers * study.protocol.images * len(study.algorithms)
    bar = Progress("answers (some more, for workers who are thrown out)", needed)
    with simulation.server(study) as url:
        outcome = simulation.run(url, study, ability, FLAGS.concurrency, FLAGS.seed, bar.update)
    print(report.write(study, output / "report", 8, FLAGS.seed))
    known = [f"{a.title} {100 * ability.fooled[a.key]:g}" for a in study.algorithms]
    print(f"The workers were made to be fooled in {', '.join(known)}% of the pairs.\n")
    print(simulation.plan_markdown(study, ability, FLAGS.seed))
    print(
        f"{outcome['workers']} workers gave {outcome['answers']:,} answers in "
        f"{outcome['seconds']:.0f} s, up to {FLAGS.concurrency} at once; the slowest of "
        f"{outcome['requests']:,} requests took {outcome['slowest_seconds']:.2f} s; see {output}"
    )


COMMANDS = {
    "prepare": (_define_prepare, prepare),
    "serve": (_define_serve, serve),
    "report": (_define_report, report),
    "simulate": (_define_simulate, simulate),
}


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in ("--help", "-h"):
        print(f"{__doc__}\n\npython -m prsr.study COMMAND --help lists the flags of one.")
        return
    if command not in COMMANDS:
        fail(f"expected one of {', '.join(COMMANDS)} after prsr.study, and got '{command}'")
    define, begin = COMMANDS[command]
    argv = [f"{sys.argv[0]} {command}", *sys.argv[2:]]
    run(begin, define, argv, needs_tensorflow=command != "serve")


if __name__ == "__main__":
    main()
