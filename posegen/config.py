"""Configs: plain data in mmengine's format, with references and checks.

A string ``"${name}"`` in a config stands for the top-level value ``name``. References are resolved after the command
line's overrides, so overriding a knob reaches every place that uses it, through ``_base_`` files too. mmengine's own
``{{_base_.name}}`` is replaced while files are read, before any override.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from torch.utils.data import DataLoader

from . import plugin_access
from .errors import ConfigError, DataError, nearest
from .files import read_text
from .registry import DATA_SAMPLERS, KINDS, LOOPS, check_arguments
from .untrusted import RefusedError, walk

_INSIDE = Path(__file__).with_name("configs")
CONFIGS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "configs"
"""Where the configs lie that come with posegen: in the package where it was installed, beside it in a clone."""

KNOBS = ("data_root", "batch_size", "flow_iters", "full_iters", "feature_weights")
"""Top-level values that every config has; each reaches all places that use it."""

OWN_KEYS = ("trainer", "structure", "size", "load_from", "plugins", "requires", *KNOBS)
"""Top-level keys that posegen reads beside those of mmengine's Runner. ``structure`` and ``size``: what the model
sees; ``trainer``: what trains it; ``load_from``, optional: a checkpoint of ours, trained or converted, whose model
weights training starts from; ``plugins``, optional: files (paths relative to the config) and modules to load as
plugins before anything is looked up; ``requires``, of a shared model (:mod:`posegen.sharing`), which trains nothing and
has no knobs: the plugins that must be there, with the package that each comes in."""

RUNNER_KEYS = (
    "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg", "test_cfg", "optim_wrapper",
    "param_scheduler", "val_evaluator", "test_evaluator", "default_hooks", "custom_hooks", "env_cfg", "log_processor",
    "log_level", "visualizer", "randomness", "experiment_name",
)  # fmt: skip
"""Top-level keys that go to mmengine's Runner as they are."""

KNOWN_KEYS = ("model", "default_scope", *OWN_KEYS, *RUNNER_KEYS)

ON_ERROR = ("raise", "skip")
"""What ``train_cfg.on_error`` may be."""

_ELSEWHERE = {  # what mmengine's Runner takes too, and where posegen has it
    "work_dir": "give --work-dir on the command line",
    "resume": "give --resume on the command line",
    "launcher": "give --launcher on the command line",
    "data_preprocessor": "data sets give images in [-1, 1] already: remove it",
    "auto_scale_lr": "each stage has its own rate, trainer.stages.N.optimizer.lr: remove it",
    "cfg": "the config itself is kept beside each run: remove it",
}

_REFERENCE = re.compile(r"\$\{(\w+)\}")


def load_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None, plugin_files: Sequence[str | Path] = ()
) -> Config:
    """Read a config, apply overrides, resolve references, and check every name and argument in it.

    A ``.py`` config is Python code and runs as such, and so do the plugins it names: load only those you trust.
    ``.json`` and ``.yaml`` configs cannot execute anything: plugins they name must be in *plugin_files* too.

    Args:
        path: of a ``.py``, ``.json`` or ``.yaml`` config; or, where there is no such file, the name of one that comes
            with posegen (:func:`shipped_configs`).
        overrides: values by dotted key, as ``--cfg-options`` gives them: ``{"train_dataloader.num_workers": 2}``.
        plugin_files: files and modules to load as plugins, beside those of the config's ``plugins``; as absolute paths
            they are kept in the config that is written beside a run.

    Raises:
        ConfigError: the file cannot be read, or names something that does not exist.
    """
    path = find_config(path)
    return _load(path, lambda: _read(path), overrides or {}, plugin_files)


def shipped_configs() -> dict[str, Path]:
    """The configs that come with posegen, by the name that commands take: ``gfla_market``, ``ablations/bilinear``.

    Those that others inherit from (in ``_base_``) are none.
    """
    files = {path.relative_to(CONFIGS).with_suffix(""): path for path in sorted(CONFIGS.rglob("*.py"))}
    return {name.as_posix(): path for name, path in files.items() if not any(part[0] in "_." for part in name.parts)}


def is_config(path: str | Path) -> bool:
    """Whether that is a file, or the name of one of :func:`shipped_configs`."""
    path = Path(path)
    return path.is_file() or (not path.exists() and path.as_posix() in shipped_configs())


def find_config(path: str | Path) -> Path:
    """The file of a config: *path* where that is one, else the one of that name among :func:`shipped_configs`.

    Raises:
        ConfigError: there is neither; names the nearest.
    """
    path = Path(path)
    shipped = shipped_configs()
    name = path.as_posix()
    if is_config(path):
        return path if path.is_file() else shipped[name]
    if path.stem in shipped:  # as it is called in a clone
        raise ConfigError(f"there is no config {path}; for the one that comes with posegen, say {path.stem}")
    if path.suffix or len(path.parts) > 1:
        raise ConfigError(f"there is no config {path}{_neighbors(path)}")
    raise ConfigError(
        f"there is no config {path}, and none of that name comes with posegen{nearest(name, shipped)}\n"
        "`posegen configs` lists those that do."
    )


def load_plain(content: Mapping[str, Any], path: Path) -> Config:
    """The config that :func:`read_plain` read from a file, which is not read again. Else as :func:`load_config`."""
    return _load(path, lambda: Config(dict(content), filename=str(path)), {}, ())


def _load(
    path: Path, read: Callable[[], Config], overrides: Mapping[str, Any], plugin_files: Sequence[str | Path]
) -> Config:
    try:
        try:
            config = read()
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # a Python config may raise anything
            raise ConfigError(f"{path} cannot be read as a config: {type(error).__name__}: {error}") from error
        return _complete(config, path, overrides, plugin_files)
    except ConfigError as error:
        if path.name in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: its values refer to one another too deep") from error


def _read(path: Path) -> Config:
    if path.suffix not in DATA_SUFFIXES:
        return Config.fromfile(path)
    # Not by mmengine: it puts values of the environment into the text, and reads that with a loader that executes.
    content, text = _inherit(path, (), [])
    return Config(content, cfg_text=text, filename=str(path))


def _complete(config: Config, path: Path, overrides: Mapping[str, Any], plugin_files: Sequence[str | Path]) -> Config:
    for name in [name for name in config if name.startswith("_")]:  # helper variables of Python configs
        config._cfg_dict.pop(name)
    _check_top_level(config, path)
    _override(config, overrides)
    named = _named_plugins(config, path, plugin_files)
    if named:
        config._cfg_dict["plugins"] = named
    resolved = _Resolver(config._cfg_dict).resolve(config._cfg_dict, ())
    if path.suffix in DATA_SUFFIXES:
        _check_names(resolved, path)  # only now: a name may have been a reference
    for report in plugin_access.load():
        if report.error:  # a part of another plugin may go by the name that the config means
            warnings.warn(f"plugin {report.name!r} failed to load and is left out: {report.error}", stacklevel=2)
    for plugin in named:
        plugin_access.load_named(plugin)
    _check_required(config, path)
    _check_sections(resolved)
    _check_parts(resolved, "")
    _check_loaders(resolved)
    _check_on_error(resolved)
    loaded = Config(resolved, filename=str(path))
    loaded.__dict__["_unresolved"] = Config(config._cfg_dict, filename=str(path))
    return loaded


def _named_plugins(config: Config, path: Path, also: Sequence[str | Path]) -> list[str]:
    """The plugins that the config and the command line name, each once, files as absolute paths."""
    values = config.get("plugins") or []
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) for value in values):
        raise ConfigError(f"{path}: 'plugins' is a list of files and modules; got {values!r}")
    given = [plugin_access.absolute(plugin, Path.cwd()) for plugin in also]
    own = [plugin_access.absolute(plugin, path.parent) for plugin in values]
    refused = [plugin for plugin in own if plugin not in given]
    if refused and path.suffix != ".py":
        raise ConfigError(
            f"{path} wants to run code, the plugins {', '.join(refused)}; a {path.suffix} config may not do that by "
            f"itself\nIf you trust them: {' '.join(f'--plugin {plugin}' for plugin in refused)}"
        )
    return list(dict.fromkeys([*own, *given]))


class _PlainLoader(yaml.SafeLoader):
    """YAML's safe loader, without what unfolds before it can be counted, and with tuples, which mmengine writes where a
    Python config had some."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "'<<' is not read: use _base_", key.start_mark)
            if not isinstance(key, yaml.ScalarNode):  # a tuple of tuples of tuples takes for ever to be looked up
                raise yaml.constructor.ConstructorError(None, None, "a name is text or a number", key.start_mark)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > 100:  # in base 60, each digit takes longer than the one before
            raise yaml.constructor.ConstructorError(None, None, "a number of more than 100 digits", node.start_mark)
        return super().construct_yaml_int(node)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
_PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: tuple(loader.construct_sequence(node)),  # type: ignore[arg-type]
)


DATA_SUFFIXES = (".json", ".yaml", ".yml")
MOST_BYTES, MOST_VALUES, MOST_FILES = 4 << 20, 100_000, 100
"""Of a config that is data. YAML, and references, may name one value many times, so that a small file unfolds to more;
files, that it inherits from."""
SCOPES = ("posegen", "mmengine")
"""What may stand before a part's name and a dot, and as a scope: packages that mmengine then imports."""


def read_plain(path: Path, most: int = MOST_BYTES) -> tuple[dict[str, Any], str]:
    """What stands in a config that is data, and its text: read once, and nothing of it looked up.

    Raises:
        ConfigError: it cannot be read, is larger than *most* bytes, holds no names with values, or unfolds to more
            than :data:`MOST_VALUES`.
    """
    try:
        text = read_text(path, most)
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _PlainLoader)
    except DataError as error:
        raise ConfigError(str(error)) from error
    # the last three are PyYAML's own
    except (ValueError, RecursionError, yaml.YAMLError, AttributeError, ArithmeticError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read as plain data: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path} holds no names with values, but {type(content).__name__}")
    _values(content, path)
    return content, text


def _values(content: Any, path: Path) -> list[Any]:
    """All that is in a config, counted."""
    try:
        return [value for value, _ in walk(content, MOST_VALUES)]
    except RefusedError as error:
        raise ConfigError(f"{path}: {error}") from error


def _inherit(path: Path, inheriting: tuple[str, ...], read: list[Path]) -> tuple[dict[str, Any], str]:
    """A config that is data over those that it inherits from, as mmengine lays them, and the text of all."""
    read.append(path)
    if len(read) > MOST_FILES:
        raise ConfigError(f"{read[0]} inherits from more than {MOST_FILES} files")
    content, text = read_plain(path)
    if "custom_imports" in content:
        raise ConfigError(f"{path} is data, and cannot import modules: remove custom_imports, or give --plugin")
    real = os.path.realpath(path)
    if real in inheriting:
        raise ConfigError(f"{read[0]} inherits from itself, by way of {path.name}")
    merged: dict[str, Any] = {}
    texts = []
    for base in _bases(content.pop("_base_", []), path):
        below, text_below = _inherit(base, (*inheriting, real), read)
        if twice := merged.keys() & below.keys():
            raise ConfigError(f"{path} inherits {', '.join(sorted(twice))} from more than one file")
        merged |= below
        texts.append(text_below)
    merged = Config._merge_a_into_b(content, merged)
    return {name: value for name, value in merged.items() if not name.startswith("__")}, "\n".join([*texts, text])


def _bases(named: Any, path: Path) -> list[Path]:
    """The files that a config which is data inherits from: data, too."""
    bases = [named] if isinstance(named, str) else named
    if not isinstance(bases, (list, tuple)):
        raise ConfigError(f"{path}: _base_ is a file or a list of files, got {named!r}")
    for base in bases:
        if not isinstance(base, str) or "::" in base:
            raise ConfigError(f"{path} is data, and inherits from files only; _base_ has {base!r}")
        if Path(base).suffix == ".py":
            raise ConfigError(f"{path} is data, but inherits from {base}, which is code: name a .json or .yaml file")
        if Path(base).suffix not in DATA_SUFFIXES:
            raise ConfigError(f"{path} inherits from {base!r}, which is no .json or .yaml file")
    return [path.parent / base for base in bases]


def _check_names(content: Mapping[str, Any], path: Path) -> None:
    """Raise ConfigError where a part, or a scope, is named such that mmengine would import a module."""
    problems = []
    for value in _values(content, path):
        if not isinstance(value, dict):
            continue
        for key in ("type", "constructor"):
            name = value.get(key)
            if isinstance(name, str) and "." in name and (name.count(".") > 1 or name.partition(".")[0] not in SCOPES):
                problems.append(f"{path} is data, and names parts, not objects of Python: {name!r}")
        for key in ("_scope_", "default_scope"):
            if value.get(key, SCOPES[0]) not in (*SCOPES, None):
                problems.append(f"{path} is data, and imports nothing: {key} is one of {SCOPES}, got {value[key]!r}")
    if problems:
        raise ConfigError("\n".join(dict.fromkeys(problems)))


def _check_required(config: Config, path: Path) -> None:
    """Raise ConfigError where plugins that a shared model needs are not loaded."""
    required = config.get("requires", {})
    if not isinstance(required, Mapping) or not all(isinstance(package, str) for package in required.values()):
        raise ConfigError(f"{path}: 'requires' has the package of each plugin by the plugin's name; got {required!r}")
    there = {report.name for report in plugin_access.load() if not report.error}
    missing = [f"  - {name!r}, of {package or 'no package'}" for name, package in required.items() if name not in there]
    if missing:
        raise ConfigError(
            f"{path} needs plugins that are not installed:\n" + "\n".join(missing) + "\n"
            "Install their packages, if you trust them; a single file is loaded with --plugin FILE, or in Python with "
            "posegen.plugins.load_named(FILE)."
        )


def unresolved(config: Config) -> Config:
    """A loaded config with its references as they stand in the file, overrides applied: what is written beside a run,
    so that it can be loaded, and overridden, again. A config that was not loaded from a file is itself."""
    return config.__dict__.get("_unresolved", config)


def require(config: Mapping[str, Any], *keys: str) -> None:
    """Raise ConfigError where *config* lacks any of *keys*, dotted as on the command line, or has None there."""
    missing = [key for key in keys if _value(config, key) is None]
    if missing:
        where = getattr(config, "filename", None) or "the config"
        raise ConfigError(f"{where} lacks {', '.join(missing)}, which this command needs")


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, (Mapping, Config)) else None
    return config


def _neighbors(path: Path) -> str:
    near = nearest(path.name, [other.name for other in path.parent.glob("*.*")]) if path.parent.is_dir() else ""
    return near or f"; {path.parent} is not a folder" * (not path.parent.is_dir())


def _check_top_level(config: Config, path: Path) -> None:
    # Its text holds its base files' too: a value that only something overridden used is no mistake.
    used = set(_REFERENCE.findall(repr(config._cfg_dict) + config.text))
    unknown = [name for name in config if name not in KNOWN_KEYS and name not in used]
    if unknown:
        lines = [f"  - {name!r}{_advice(name, KNOWN_KEYS)}" for name in unknown]
        raise ConfigError(
            f"{path} has unknown top-level keys:\n" + "\n".join(lines) + "\n"
            "A value of your own is used as '${name}' somewhere in the config; a helper variable begins with '_'."
        )
    missing = [name for name in KNOBS if name not in config]
    if missing and "requires" not in config:
        raise ConfigError(
            f"{path} lacks the top-level values {', '.join(missing)} (every config has {', '.join(KNOBS)})"
        )


def _advice(name: str, known: Iterable[str]) -> str:
    return f": {_ELSEWHERE[name]}" if name in _ELSEWHERE else nearest(name, known)


def _override(config: Config, overrides: Mapping[str, Any]) -> None:
    for key in overrides:
        parts = key.split(".")
        node: Any = config._cfg_dict
        for depth, part in enumerate(parts):
            last = depth == len(parts) - 1
            where = ".".join(parts[:depth]) or "the config"
            if isinstance(node, Mapping):
                optional = key == "load_from" or (last and "type" in node)  # an argument of a part is checked with it
                if part not in node and not optional:
                    advice = nearest(part, node) if depth else _advice(part, node)
                    raise ConfigError(f"--cfg-options {key}: {where} has no key {part!r}{advice}")
                node = node.get(part)
            elif isinstance(node, (list, tuple)):
                if not part.isdigit() or int(part) >= len(node):
                    raise ConfigError(f"--cfg-options {key}: {where} is a list of {len(node)}, it has no item {part!r}")
                node = node[int(part)]
            else:
                raise ConfigError(f"--cfg-options {key}: {where} is the value {node!r}, it has no key {part!r}")
    config.merge_from_dict(dict(overrides), allow_list_keys=True)


class _Resolver:
    """Puts in place of each reference what it refers to. References to references may unfold to more than memory holds,
    so what is made is counted."""

    def __init__(self, top: Mapping[str, Any]) -> None:
        self.top = top
        self.values = self.characters = 0

    def resolve(self, node: Any, resolving: tuple[str, ...]) -> Any:
        self.values += 1
        if self.values > MOST_VALUES or self.characters > MOST_BYTES:
            raise ConfigError(f"references unfold to more than {MOST_VALUES:,} values, or {MOST_BYTES:,} characters")
        if isinstance(node, Mapping):
            return ConfigDict({key: self.resolve(value, resolving) for key, value in node.items()})
        if isinstance(node, (list, tuple)):
            return type(node)(self.resolve(value, resolving) for value in node)
        if not isinstance(node, str):
            return node
        whole = _REFERENCE.fullmatch(node)
        if whole:
            return self._look_up(whole[1], resolving)
        return _REFERENCE.sub(lambda match: self._text(match[1], resolving), node)

    def _text(self, name: str, resolving: tuple[str, ...]) -> str:
        text = str(self._look_up(name, resolving))
        self.characters += len(text)
        return text

    def _look_up(self, name: str, resolving: tuple[str, ...]) -> Any:
        if name in resolving:
            raise ConfigError(f"config values refer to each other in a circle: {' → '.join([*resolving, name])}")
        if name not in self.top:
            raise ConfigError(f"the config refers to ${{{name}}}, which it does not define{nearest(name, self.top)}")
        return self.resolve(self.top[name], (*resolving, name))


def _check_parts(node: Any, path: str) -> None:
    """Check the arguments of every registered part, ours or mmengine's, wherever it stands."""
    if isinstance(node, Mapping):
        arguments = {key: value for key, value in node.items() if key not in ("type", "_scope_")}
        _check_part(node.get("type"), arguments, path)
        for key, value in node.items():
            _check_parts(value, f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _check_parts(value, f"{path}.{index}")


def _check_part(name: Any, arguments: dict[str, Any], path: str) -> None:
    """Check the arguments of a part. Parts of several kinds may have one name: those of any of them will do."""
    errors = []
    for part in _find_parts(name):
        try:
            check_arguments(part, arguments, where=f"{path.lstrip('.') or 'config'} ({name})", complete=False)
            return
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _find_parts(name: Any) -> list[Any]:
    """All parts of that name; of one kind and its ancestors the nearest."""
    if not isinstance(name, str):
        return []
    found = {}
    for kind in (*KINDS.values(), LOOPS, DATA_SAMPLERS):
        registry: Registry | None = kind
        while registry is not None:  # up to mmengine's own
            registry.import_from_location()
            if name in registry.module_dict:
                found[id(registry.module_dict[name])] = registry.module_dict[name]
                break
            registry = registry.parent
    return list(found.values())


def _check_sections(config: Mapping[str, Any]) -> None:
    """Raise ConfigError where what has to be names with values is something else."""
    wrong = [
        f"{name} is {type(config[name]).__name__}"
        for name in ("train_dataloader", "val_dataloader", "test_dataloader", "train_cfg")
        if config.get(name) is not None and not isinstance(config[name], Mapping)
    ]
    if wrong:
        raise ConfigError(f"names with values are expected: {', '.join(wrong)}")


def _check_loaders(config: Mapping[str, Any]) -> None:
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        arguments = {key: value for key, value in (config.get(name) or {}).items() if key != "num_batch_per_epoch"}
        check_arguments(DataLoader, arguments, where=name, complete=False)


def _check_on_error(config: Mapping[str, Any]) -> None:
    value = (config.get("train_cfg") or {}).get("on_error", "raise")
    if value not in ON_ERROR:
        raise ConfigError(
            f"train_cfg.on_error is {' or '.join(map(repr, ON_ERROR))}: what becomes of a training sample that cannot "
            f"be read; got {value!r}"
        )
