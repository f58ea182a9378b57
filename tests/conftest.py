import functools
import os
import pathlib
import shutil
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"

# Two logical devices, for the tests of MirroredStrategy; before TensorFlow starts.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)

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


def start(command, *arguments, prefix=(), **options):
    """Starts `python -m prsr.COMMAND ARGUMENTS` as its own process, behind a prefix."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", f"prsr.{command}", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(command, *arguments, **options):
    """Runs a command to its end; returns it with `stdout` and `stderr` as text."""
    process = start(command, *arguments, **options)
    stdout, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def assert_one_line(result, *words):
    """The command refused: a non-zero status, one line of error, no traceback."""
    assert result.returncode not in (0, None), result.stderr
    assert "Traceback" not in result.stderr + result.stdout, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and result.stderr.rstrip().endswith(errors[0]), result.stderr
    for word in words:
        assert word in errors[0], errors[0]


@functools.cache
def mirrored():
    # One for all tests: a second one in a process would use the first one's collective keys.
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of a few steps."""
    workdir = tmp_path_factory.mktemp("run") / "tiny"
    result = run("train", f"--workdir={workdir}", *TINY, "--train_steps=6")
    assert result.returncode == 0, result.stderr
    return workdir


@pytest.fixture(scope="session")
def baseline_runs(tmp_path_factory):
    """A regression and a cross-entropy run of a few steps, by the same commands and flags."""
    folder = tmp_path_factory.mktemp("baselines")
    for kind in ("regression", "cross_entropy"):
        result = run(
            "train",
            f"--workdir={folder / kind}",
            *TINY,
            "--train_steps=3",
            f"--architecture={kind}",
        )
        assert result.returncode == 0, result.stderr
        assert "B alone" not in result.stderr
        assert ("mean squared error" in result.stderr) == (kind == "regression")
        assert len(list((folder / kind / "samples").iterdir())) == 1
    return folder


@pytest.fixture(scope="session")
def tiny_export(tiny_run, tmp_path_factory):
    """`tiny_run` as a SavedModel, written by the command."""
    folder = tmp_path_factory.mktemp("export") / "tiny"
    result = run("export", f"--workdir={tiny_run}", f"--output={folder}")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
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
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


@pytest.fixture
def celeba():
    if not (DATA / "celeba").is_dir():
        pytest.skip("needs the CelebA images that lie beside the project")
    return DATA / "celeba"


@pytest.fixture
def mnist():
    if not (DATA / "mnist").is_dir():
        pytest.skip("needs the MNIST files that lie beside the project")
    return DATA / "mnist"
