"""Configs: plain data in mmengine's format, with references and checks.

A string ``"${name}"`` in a config stands for the top-level value ``name``, ``"${name.key}"`` for an entry of it.
References are resolved after the overrides of the command line, so overriding a knob reaches every place that uses it,
through ``_base_`` files, too.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from torch.utils.data import DataLoader

from . import plugin_access
from .errors import ConfigError, nearest
from .files import DATA_SUFFIXES, MOST_OF_A_FRAME, MOST_VALUES, read_plain, values
from .registry import DATA_SAMPLERS, HOOKS, KINDS, LOOPS, METRICS, check_arguments

_INSIDE = Path(__file__).with_name("configs")
CONFIGS = _INSIDE if _INSIDE.is_dir() else Path(__file__).parents[1] / "configs"
"""Folder of the configs that come with posegen: inside an installed package, beside it in a clone."""

KNOBS = ("data_root", "batch_size", "flow_iters", "full_iters", "feature_weights")
"""Top-level values that every config has; each reaches all places that use it."""

OWN_KEYS = ("trainer", "structure", "size", "load_from", "plugins", "requires", *KNOBS)
"""Top-level keys of posegen, beside those of mmengine's Runner.

``structure`` and ``size`` describe the model's input, ``trainer`` what trains it. ``load_from``: optional checkpoint
whose model weights training starts from. ``plugins``: optional files (relative to the config) and modules that are
loaded as plugins first. ``requires``: in the config of a shared model, which has no knobs, the package of each plugin
it needs, by the plugin's name.
"""

RUNNER_KEYS = (
    "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg", "test_cfg", "optim_wrapper",
    "param_scheduler", "val_evaluator", "test_evaluator", "default_hooks", "custom_hooks", "env_cfg", "log_processor",
    "log_level", "visualizer", "randomness", "experiment_name",
)  # fmt: skip
"""Top-level keys that are passed to mmengine's Runner unchanged."""

KNOWN_KEYS = ("model", "default_scope", *OWN_KEYS, *RUNNER_KEYS)
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
ON_ERROR = ("raise", "skip")
"""Values of ``train_cfg.on_error``."""
MOST_FILES = 100
"""Maximum number of files that a config in JSON or YAML inherits from."""
SCOPES = ("posegen", "mmengine")
"""Scopes that a config in JSON or YAML may name: mmengine imports the package of a scope."""

_ELSEWHERE = {  # other arguments of mmengine's Runner, and what takes their place
    "work_dir": "give --work-dir on the command line",
    "resume": "give --resume on the command line",
    "launcher": "give --launcher on the command line",
    "data_preprocessor": "data sets give images in [-1, 1] already: remove it",
    "auto_scale_lr": "each stage has its own rate, trainer.stages.N.optimizer.lr: remove it",
    "cfg": "the config itself is kept beside each run: remove it",
}

_REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}")


def load_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None, plugin_files: Sequence[str | Path] = ()
) -> Config:
    """Read a config, apply overrides, resolve references, and check every name and argument in it.

    A ``.py`` config is Python code and runs, and so do the plugins it names: load only configs you trust. ``.json`` and
    ``.yaml`` configs execute nothing: plugins they name must be in *plugin_files*, too.

    Args:
        path: a ``.py``, ``.json`` or ``.yaml`` file, or the name of a config that comes with posegen.
        overrides: values by dotted key, as from ``--cfg-options``: ``{"train_dataloader.num_workers": 2}``.
        plugin_files: files and modules to load as plugins, beside those of the config; they are kept, as absolute
            paths, in the config that is written beside a run.

    Raises:
        ConfigError: the file cannot be read, or names something that does not exist.
    """
    path = find_config(path)
    return _load(path, lambda: _read(path), overrides or {}, plugin_files)


def load_plain(content: Mapping[str, Any], path: Path) -> Config:
    """Check the content of a config that :func:`posegen.files.read_plain` read from *path*, as :func:`load_config`."""
    return _load(path, lambda: Config(dict(content), filename=str(path)), {}, ())


def shipped_configs() -> dict[str, Path]:
    """Return the configs that come with posegen by name: ``gfla_market``, ``ablations/bilinear``; bases excluded."""
    files = {path.relative_to(CONFIGS).with_suffix(""): path for path in sorted(CONFIGS.rglob("*.py"))}
    return {name.as_posix(): path for name, path in files.items() if not any(part[0] in "_." for part in name.parts)}


def is_config(path: str | Path) -> bool:
    """Return whether *path* is a file, or the name of one of :func:`shipped_configs`."""
    path = Path(path)
    return path.is_file() or (not path.exists() and path.as_posix() in shipped_configs())


def find_config(path: str | Path) -> Path:
    """Return the file of a config: *path* itself, or the one of that name among :func:`shipped_configs`.

    Raises:
        ConfigError: there is neither; names the nearest.
    """
    path, shipped = Path(path), shipped_configs()
    if is_config(path):
        return path if path.is_file() else shipped[path.as_posix()]
    if path.stem in shipped:  # a path inside a clone
        raise ConfigError(f"there is no config {path}; for the one that comes with posegen, say {path.stem}")
    if path.suffix or len(path.parts) > 1:
        if not path.parent.is_dir():
            raise ConfigError(f"there is no config {path}; {path.parent} is not a folder")
        near = nearest(str(path), map(str, path.parent.glob("*.*")))
        raise ConfigError(f"there is no config {path}{near}\n`posegen configs` lists those that come with posegen.")
    raise ConfigError(
        f"there is no config {path}, and none of that name comes with posegen{nearest(path.name, shipped)}\n"
        "`posegen configs` lists those that do."
    )


def unresolved(config: Config) -> Config:
    """Return a loaded config with overrides applied and references kept, to write beside a run and to load again.

    A config that was not loaded from a file is returned as it is.
    """
    return config.__dict__.get("_unresolved", config)


def require(config: Mapping[str, Any], *keys: str) -> None:
    """Raise ConfigError if *config* lacks any of *keys*, dotted as on the command line, or has None there."""
    missing = [key for key in keys if _value(config, key) is None]
    if missing:
        where = getattr(config, "filename", None) or "the config"
        raise ConfigError(f"{where} lacks {', '.join(missing)}, which this command needs")


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, (Mapping, Config)) else None
    return config


def _load(
    path: Path, read: Callable[[], Config], overrides: Mapping[str, Any], plugin_files: Sequence[str | Path]
) -> Config:
    """Read and complete a config; every error names its file."""
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
        raise ConfigError(f"{path}: its values are nested too deep") from error


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
        _check_names(resolved, path)  # after references: a name may have been one
    for report in plugin_access.load():
        if report.error:  # a part of another plugin may have the name that the config means
            warnings.warn(f"plugin {report.name!r} failed to load and is left out: {report.error}", stacklevel=2)
    for plugin in named:
        plugin_access.load_named(plugin)
    _check_required(config, path)
    _check_sections(resolved)
    _check_parts(resolved, "")
    loaded = Config(resolved, filename=str(path))
    written = config.copy()
    while unused := _unused(written):  # without the base files, nothing would tell that an overridden part used them
        for name in unused:
            written._cfg_dict.pop(name)
    loaded.__dict__["_unresolved"] = Config(written._cfg_dict, filename=str(path))
    return loaded


# Plugins


def _named_plugins(config: Config, path: Path, also: Sequence[str | Path]) -> list[str]:
    """Return the plugins that the config and the command line name, each once, files as absolute paths."""
    named = config.get("plugins") or []
    if not isinstance(named, (list, tuple)) or not all(isinstance(plugin, str) for plugin in named):
        raise ConfigError(f"{path}: 'plugins' is a list of files and modules; got {named!r}")
    given = [plugin_access.absolute(plugin, Path.cwd()) for plugin in also]
    own = [plugin_access.absolute(plugin, path.parent) for plugin in named]
    refused = [plugin for plugin in own if plugin not in given]
    if refused and path.suffix != ".py":
        raise ConfigError(
            f"{path} wants to run code, the plugins {', '.join(refused)}; a {path.suffix} config may not do that by "
            f"itself\nIf you trust them: {' '.join(f'--plugin {plugin}' for plugin in refused)}"
        )
    return list(dict.fromkeys([*own, *given]))


def _check_required(config: Config, path: Path) -> None:
    """Raise ConfigError if plugins that a shared model needs are not loaded."""
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


# Configs in JSON and YAML


def _read(path: Path) -> Config:
    if path.suffix not in DATA_SUFFIXES:
        return Config.fromfile(path)
    # Not by mmengine: it inserts values of the environment into the text, and reads that with a loader that executes.
    content, text = _inherit(path, (), [])
    return Config(content, cfg_text=text, filename=str(path))


def _inherit(path: Path, inheriting: tuple[str, ...], read: list[Path]) -> tuple[dict[str, Any], str]:
    """Merge a config into those that it inherits from, as mmengine does; return it, and the text of all files."""
    read.append(path)
    if len(read) > MOST_FILES:
        raise ConfigError(f"{read[0]} inherits from more than {MOST_FILES} files")
    content, text = read_plain(path)
    if "custom_imports" in content:
        raise ConfigError(f"{path} is data, and cannot import modules: remove custom_imports, or give --plugin")
    real = os.path.realpath(path)
    if real in inheriting:
        raise ConfigError(f"{read[0]} inherits from itself, through {path.name}")
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
    """Return the files that a config in JSON or YAML inherits from, which are JSON or YAML, too."""
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
    """Raise ConfigError for names of parts and scopes that would make mmengine import a module."""
    problems = []
    for value in values(content, path):
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


# Overrides and references


def _override(config: Config, overrides: Mapping[str, Any]) -> None:
    """Apply overrides; raise ConfigError for a key that does not exist."""
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
    """Replace references by the values they refer to, and count: references to references may exceed any memory."""

    def __init__(self, top: Mapping[str, Any]) -> None:
        self.top = top
        self.values = self.characters = 0

    def resolve(self, node: Any, resolving: tuple[str, ...]) -> Any:
        self.values += 1
        if self.values > MOST_VALUES or self.characters > MOST_OF_A_FRAME:
            raise ConfigError(
                f"references unfold to more than {MOST_VALUES:,} values, or {MOST_OF_A_FRAME:,} characters"
            )
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
        if name.partition(".")[0] in resolving:
            raise ConfigError(f"config values refer to each other in a circle: {' → '.join([*resolving, name])}")
        first, *keys = name.split(".")
        if first not in self.top:
            raise ConfigError(f"the config refers to ${{{name}}}, which it does not define{nearest(first, self.top)}")
        value = self.resolve(self.top[first], (*resolving, first))
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                near = nearest(key, value) if isinstance(value, Mapping) else ""
                raise ConfigError(f"the config refers to ${{{name}}}, and there is no {key!r}{near}")
            value = value[key]
        return value


# Checks


def _check_top_level(config: Config, path: Path) -> None:
    # The text includes base files: a value that only an overridden part used is no mistake.
    if unknown := _unused(config, config.text):
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


def _unused(config: Config, text: str = "") -> list[str]:
    """Return the top-level values of a user's own that nothing in the config, or in *text*, refers to."""
    used = {name.partition(".")[0] for name in _REFERENCE.findall(repr(config._cfg_dict) + text)}
    return [name for name in config if name not in KNOWN_KEYS and name not in used]


def _advice(name: str, known: Iterable[str]) -> str:
    return f": {_ELSEWHERE[name]}" if name in _ELSEWHERE else nearest(name, known)


def _check_sections(config: Mapping[str, Any]) -> None:
    """Check data loaders and ``train_cfg``, which mmengine builds from arguments without a type."""
    wrong = [
        f"{name} is {type(config[name]).__name__}"
        for name in (*LOADERS, "train_cfg")
        if config.get(name) is not None and not isinstance(config[name], Mapping)
    ]
    if wrong:
        raise ConfigError(f"names with values are expected: {', '.join(wrong)}")
    for name in LOADERS:
        arguments = {key: value for key, value in (config.get(name) or {}).items() if key != "num_batch_per_epoch"}
        check_arguments(DataLoader, arguments, where=name, complete=False)
    on_error = (config.get("train_cfg") or {}).get("on_error", "raise")
    if on_error not in ON_ERROR:
        raise ConfigError(
            f"train_cfg.on_error, what to do with a training sample that cannot be read, is "
            f"{' or '.join(map(repr, ON_ERROR))}; got {on_error!r}"
        )


def _check_parts(node: Any, path: str) -> None:
    """Check the arguments of every registered part, of posegen or of mmengine, wherever it is."""
    if isinstance(node, Mapping):
        arguments = {key: value for key, value in node.items() if key not in ("type", "_scope_")}
        _check_part(node.get("type"), arguments, path)
        for key, value in node.items():
            _check_parts(value, f"{path}.{key}")
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            _check_parts(value, f"{path}.{index}")


def _check_part(name: Any, arguments: dict[str, Any], path: str) -> None:
    """Check the arguments of a part; if parts of several kinds have that name, those of any of them are accepted.

    Parts of networks and data come first: the others need posegen's and mmengine's engines, which take a second to
    import and are not needed to use a model.
    """
    if not isinstance(name, str):
        return
    errors = []
    for find in (_find_parts_of_models, _find_parts):
        for part in find(name):
            try:
                check_arguments(part, arguments, where=f"{path.lstrip('.') or 'config'} ({name})", complete=False)
                return
            except ConfigError as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _find_parts_of_models(name: str) -> list[Any]:
    """Return posegen's parts of a name whose kind is not of the engine."""
    kinds = [kind for kind in KINDS.values() if kind not in (HOOKS, METRICS)]
    for kind in kinds:
        kind.import_from_location()
    return [kind.module_dict[name] for kind in kinds if name in kind.module_dict]


def _find_parts(name: str) -> list[Any]:
    """Return all parts of a name; of each kind and its ancestors the nearest."""
    found = {}
    kinds = (*KINDS.values(), LOOPS, DATA_SAMPLERS)
    for kind in kinds:
        kind.import_from_location()  # the engine also registers parts of other kinds: trainers
    for kind in kinds:
        registry: Registry | None = kind
        while registry is not None:  # up to mmengine's own
            registry.import_from_location()
            if name in registry.module_dict:
                found[id(registry.module_dict[name])] = registry.module_dict[name]
                break
            registry = registry.parent
    return list(found.values())
