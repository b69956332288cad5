"""List the configs that come with posegen, or copy one."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from ..errors import ConfigError
from .common import print_columns, refuse_to_overwrite
from .completion import CONFIGS, FILES, complete_with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen configs``."""
    copied = parser.add_argument(
        "--copy",
        nargs=2,
        metavar=("NAME", "FOLDER"),
        help="copy a config, with the configs it inherits from, into a folder to change it there",
    )
    complete_with(copied, CONFIGS, FILES)
    parser.add_argument("--force", action="store_true", help="overwrite files of the same names in FOLDER")


def run(parsed: argparse.Namespace) -> int:
    """Print the list, or the copied files; return 0."""
    from ..config import CONFIGS, find_config, shipped_configs
    from ..files import written_whole

    if parsed.copy is None:
        print_columns([("CONFIG", "SUMMARY"), *((name, _summary(path)) for name, path in shipped_configs().items())])
        return 0
    name, folder = parsed.copy[0], Path(parsed.copy[1])
    if name not in shipped_configs():
        find_config(name)  # raises for an unknown name
        raise ConfigError(f"{name} is a file; --copy takes the name of a config that comes with posegen")
    places = {path: folder / path.relative_to(CONFIGS) for path in _with_bases(shipped_configs()[name])}
    refuse_to_overwrite(list(places.values()), parsed.force)
    for path, place in places.items():
        with written_whole(place) as temporary:
            shutil.copyfile(path, temporary)
        print(place)
    return 0


def _summary(path: Path) -> str:
    """Return the first line of a config, a comment."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _with_bases(path: Path) -> list[Path]:
    """Return a config and all configs that it inherits from, each once."""
    from mmengine.config import Config

    bases = [Path(os.path.normpath(path.parent / base)) for base in Config._get_base_files(str(path))]
    return list(dict.fromkeys([path, *(found for base in bases for found in _with_bases(base))]))
