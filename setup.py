import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "prsr" / "__init__.py").read_text())[1]
FACES = ["mtcnn>=1"]
LSUN = ["lmdb"]
WEB = ["flask", "waitress"]

setuptools.setup(
    name="prsr",
    version=VERSION,
    description="Pixel Recursive Super Resolution (Dahl, Norouzi and Shlens, 2017)",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=setuptools.find_packages(include=["prsr", "prsr.*"]),
    package_data={
        "prsr": [
            "py.typed",
            *(f"weights/*/{name}" for name in ("*.json", "*.h5", "*.md", "SHA256SUMS")),
            "weights/*/examples/*.jpg",
        ],
        "prsr.demo_page": ["static/*"],
        "prsr.human_study": ["static/*"],
    },
    python_requires=">=3.11,<3.14",
    install_requires=[
        "absl-py",
        "importlib_resources",  # tensorflow-datasets needs it and does not say so
        "matplotlib",
        "numpy",
        "pillow>=10.1",
        "tensorboard",  # tensorflow 2.21 no longer brings it
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
    ],
    extras_require={
        "benchmark": ["faiss-cpu", "torch"],
        "faces": FACES,
        "gpu": ["tensorflow[and-cuda]>=2.21"],
        "lsun": LSUN,
        "study": WEB,
        "test": [
            *("hypothesis", "pytest", "pytest-xdist", "scikit-image", "selenium"),
            *(*FACES, *LSUN, *WEB),
        ],
        "web": WEB,
        "lint": ["ruff"],
    },
)
