"""What pyproject.toml cannot say: which names the folders `benchmarks/` and `downstream/` are installed under."""

from setuptools import find_namespace_packages, setup

FOLDERS = {"diva": "diva", "diva_benchmarks": "benchmarks", "diva_downstream": "downstream"}

setup(
    package_dir=FOLDERS,
    packages=[
        package.replace(folder, name, 1)
        for name, folder in FOLDERS.items()
        for package in find_namespace_packages(include=[f"{folder}*"], exclude=["benchmarks.results*"])
    ],
)
