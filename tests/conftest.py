import contextlib
import functools
import io
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from unittest import mock

import filelock
import pytest
from hypothesis import HealthCheck, settings

from prsr import flags

tf = flags.quiet_tensorflow()

ROOT = pathlib.Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"

# XLA takes seconds to compile a toy model: in this process nothing is compiled, except in tests
# that are marked `xla` or `slow`. Other processes compile as users' do.
compiling, plain_function = [False], tf.function


def function(*args, jit_compile=None, **options):
    return plain_function(*args, jit_compile=jit_compile if compiling[0] else None, **options)


tf.function = function


@pytest.fixture(autouse=True)
def choose_xla(request):
    compiling[0] = bool(request.node.get_closest_marker("xla") or is_slow(request.config))


# Eight logical devices, for the tests of MirroredStrategy; before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 8
)

# What a shell starts in the background ignores Ctrl-C. The processes of these tests must not.
signal.signal(signal.SIGINT, signal.default_int_handler)

TINY = [
    "--dataset=drawn:60",
    "--image_size=8",
    "--blocks_per_stage=1",
    "--conditioning_width=4",
    "--prior_width=6",
    "--prior_layers=1",
    "--prior_hidden=6",
    "--global_batch_size=4",
    "--log_every=1",
    "--eval_every=4",
    "--eval_images=3",
    "--checkpoint_every=3",
    "--sample_images=1",
    "--num_samples=2",
]
PREPARED = ["--dataset=drawn:200", "--image_size=8", "--images_per_file=50"]
WHOLE = [*TINY, "--train_steps=14", "--ema=0.9", "--mirror", "--clip_norm=500"]

share = [1.0]  # of a property's examples, set before tests are imported


def pytest_configure(config):
    share[0] = 1 if is_slow(config) else 0.1


def is_slow(config):
    """Whether slow tests were asked for, as by `-m slow` or `-m "slow or not slow"`."""
    return "slow" in config.option.markexpr.replace("not slow", "")


def tried(examples):
    """Settings for a property: a tenth of the examples by default, all of them with `-m slow`.

    They are drawn without chance: they are the same every time.
    """
    return settings(
        max_examples=round(examples * share[0]),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Properties that are tried in full are slow tests as well."""
    if is_slow(config):
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(pytest.mark.slow)


def module(command):
    return command if command == "benchmarks" else f"prsr.{command}"


def start(command, *arguments, prefix=(), program=None, **options):
    """Starts `python -m prsr.COMMAND ARGUMENTS`, or benchmarks, as a process behind a prefix.

    Args:
        program: what Python gets in place of `-m prsr.COMMAND`.
    """
    return subprocess.Popen(
        [
            *prefix,
            sys.executable,
            *map(str, program or ["-m", module(command)]),
            *map(str, arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"cwd": ROOT, **options},
    )


def run(command, *arguments, **options):
    """Runs a command to its end; returns it with `stdout` and `stderr` as text."""
    process = start(command, *arguments, **options)
    stdout, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def python(*arguments, cwd=ROOT, **environment):
    """What Python prints in a process of its own, where prsr can be imported.

    Args:
        arguments: a script and its arguments, or `-c`, code and its arguments.
        environment: variables that are added to this process's.
    """
    paths = os.pathsep.join([str(ROOT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    return succeed(run(None, cwd=cwd, env=environment, program=arguments)).stdout


def call(command, *arguments):
    """As `run`, but within this process: without the seconds that TensorFlow takes to import."""
    name = module(command)
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [name, *map(str, arguments)]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        warnings.catch_warnings(),
    ):
        # runpy's own, of modules that somebody has imported already.
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        status = 0
        try:
            runpy.run_module(name, run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
            if isinstance(status, str):  # as Python does at the end
                print(status, file=sys.stderr)
                status = 1
        except Exception:
            status = 1
            traceback.print_exc()
    return subprocess.CompletedProcess(
        [name, *arguments], status, stdout.getvalue(), stderr.getvalue()
    )


def succeed(result):
    """The result of a command, which must have worked."""
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stdout + result.stderr, result.stderr
    return result


def assert_one_line(result, *words):
    """The command refused: a non-zero status, one line of error, no traceback."""
    assert result.returncode not in (0, None), result.stderr
    assert "Traceback" not in result.stderr + result.stdout, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and result.stderr.rstrip().endswith(errors[0]), result.stderr
    for word in words:
        assert word in errors[0], errors[0]


@contextlib.contextmanager
def other_keras_settings():
    """Within it Keras has another order of axes and another precision, as other projects set."""
    config = tf.keras.config
    config.set_image_data_format("channels_first")
    config.set_floatx("float16")
    try:
        yield
    finally:
        config.set_image_data_format("channels_last")
        config.set_floatx("float32")


@functools.cache
def mirrored(replicas=2):
    # One for all tests: a second one in a process would use the first one's collective keys, unless
    # it reduces without collectives.
    reduction = None if replicas == 2 else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)], reduction)


def shared(tmp_path_factory, name, make):
    """A folder that `make(folder)` fills once for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, partial = base / name, base / f"partial-{name}"
    with filelock.FileLock(base / f"{name}.lock"):
        if not folder.exists():
            shutil.rmtree(partial, ignore_errors=True)
            make(partial)
            partial.rename(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of a few steps; to be read, and copied where it is changed."""

    def make(workdir):
        succeed(call("train", f"--workdir={workdir}", *TINY, "--train_steps=6"))

    return shared(tmp_path_factory, "tiny", make)


@pytest.fixture(scope="session")
def baseline_runs(tmp_path_factory):
    """A regression and a cross-entropy run of a few steps, by the same commands and flags."""

    def make(folder):
        for kind in ("regression", "cross_entropy"):
            options = [*TINY, "--train_steps=3", f"--architecture={kind}"]
            result = succeed(call("train", f"--workdir={folder / kind}", *options))
            assert "B alone" not in result.stderr
            assert ("mean squared error" in result.stderr) == (kind == "regression")
            assert len(list((folder / kind / "samples").iterdir())) == 1

    return shared(tmp_path_factory, "baselines", make)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """A run with all options that nothing interrupted."""

    def make(workdir):
        succeed(call("train", f"--workdir={workdir}", *WHOLE))

    return shared(tmp_path_factory, "whole", make)


@pytest.fixture(scope="session")
def tiny_export(tiny_run, tmp_path_factory):
    """`tiny_run` as a SavedModel, written by the command as its own process."""

    def make(folder):
        succeed(run("export", f"--workdir={tiny_run}", f"--output={folder}"))

    return shared(tmp_path_factory, "export", make)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """Records of drawn letters, written by the command."""

    def make(folder):
        result = succeed(call("prepare", *PREPARED, f"--output={folder}"))
        assert "train: 186 images in 4 file(s), 0 skipped" in result.stdout

    return shared(tmp_path_factory, "prepared", make)


@pytest.fixture(
    scope="session", params=["chromium", pytest.param("webkit", marks=pytest.mark.slow)]
)
def browser(request):
    """Headless Chromium; slow tests are tried in WebKit, the engine of Safari, as well."""
    return request.getfixturevalue(request.param)


in_chromium = pytest.mark.parametrize("browser", ["chromium"], indirect=True)  # wants its tools


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Headless Chromium, with a camera that shows a moving picture."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def webkit():
    """WebKitGTK's small browser, on a screen of its own."""
    webdriver = pytest.importorskip("selenium.webdriver")
    driver, xvfb = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    browsers = sorted(pathlib.Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    if not (driver and xvfb and browsers):
        pytest.skip("needs Debian's webkit2gtk-driver and xvfb")
    read, write = os.pipe()
    screen = subprocess.Popen(
        [xvfb, "-displayfd", str(write), "-screen", "0", "1280x1024x24", "-noreset"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    display = os.read(read, 20).decode().strip()
    assert display, "Xvfb did not start"
    environment = {
        **os.environ,
        "DISPLAY": f":{display}",
        "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # which containers have no room for
    }
    options = webdriver.WebKitGTKOptions()
    options.binary_location = str(browsers[-1])
    options.add_argument("--automation")
    service = webdriver.WebKitGTKService(executable_path=driver, env=environment)
    browser = webdriver.WebKitGTK(options=options, service=service)
    yield browser
    browser.quit()
    screen.terminate()
    screen.wait()
    os.close(read)  # Xvfb writes to it again


def beside_the_project(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"needs the {name} images that lie beside the project")
    return DATA / name


@pytest.fixture
def celeba():
    return beside_the_project("celeba")


@pytest.fixture
def mnist():
    return beside_the_project("mnist")
