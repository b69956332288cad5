"""Registries, one per kind of part. Parts register themselves, and configs name them.

Every registry is a child of mmengine's registry of the same kind, so that mmengine's ``Runner`` builds parts of posegen
from a config whose ``default_scope`` is ``"posegen"``. mmengine allows one child per scope, so the parts *of* a model
(flow estimators, renderers, ...) are children of ``MODELS`` below.

    from posegen.registry import RENDERERS

    @RENDERERS.register_module()
    class MyRenderer(nn.Module): ...
"""

from __future__ import annotations

import inspect
from typing import Any

from mmengine import registry as mmengine_registry
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry

from . import plugin_access
from .errors import ConfigError, UnknownNameError, nearest


class PartRegistry(Registry):
    """mmengine's registry with errors that list the known names, and plugins loaded before the first lookup.

    Registering a second part under a name is a ConfigError that names the origins of both.
    """

    def _register_module(self, module: Any, module_name: str | list[str] | None = None, force: bool = False) -> None:
        if not str(getattr(module, "__module__", "")).startswith("posegen."):
            self.import_from_location()  # parts of the core take their names first
        names = [module_name or module.__name__] if isinstance(module_name, (str, type(None))) else module_name
        for name in names:
            force = force or self.module_dict.get(name) is module  # registering a part again changes nothing
            if name in self.module_dict and not force:
                first, second = plugin_access.origin(self.module_dict[name]), plugin_access.origin(module)
                raise ConfigError(
                    f"two parts are called {name!r}, a {self.name.replace('_', ' ')} each: the one of {first}, which "
                    f"stays, and the one of {second}; rename one of them, or uninstall one of the two"
                )
        super()._register_module(module, module_name, force)

    def get(self, key: str) -> Any:
        """Return the class or function registered under *key* in this registry or in an ancestor.

        Raises:
            UnknownNameError: there is none; lists the known names and the nearest.
        """
        plugin_access.load()
        found = None if self._is_of_python(key) else super().get(key)
        if "." in key and (found is None or not _is_registered(found, self._get_root_registry())):
            raise UnknownNameError(
                f"{key!r} is no registered {self.name.replace('_', ' ')}: a config names parts, not objects of Python"
            )
        if found is None:
            names = sorted(self.module_dict)
            raise UnknownNameError(
                f"no {self.name.replace('_', ' ')} is called {key!r}{nearest(key, names)}\n"
                f"there are: {', '.join(names) or 'none'}{plugin_access.failures()}"
            )
        return found

    def _is_of_python(self, key: str) -> bool:
        """Return whether a dotted name has no registry's scope: mmengine would import the module it names."""
        scope, name = self.split_scope_key(key)
        root = self._get_root_registry()
        return scope is not None and ("." in name or scope not in (root.scope, *root.children))

    def build_part(self, cfg: Any, **extra: Any) -> Any:
        """Build a part from ``dict(type=NAME, **arguments)``; return an object that is already built unchanged.

        Raises:
            ConfigError: an argument is unknown, or a required one is missing.
        """
        if not isinstance(cfg, (dict, ConfigDict, Config)):
            return cfg
        arguments = dict(cfg)
        if "type" not in arguments:
            raise ConfigError(f"a {self.name.replace('_', ' ')} needs a 'type'; got {dict(cfg)}")
        kind = arguments.pop("type")
        part = self.get(kind) if isinstance(kind, str) else kind
        arguments.update(extra)
        check_arguments(part, arguments, where=f"{self.name} {kind}")
        return part(**arguments)


def _is_registered(part: Any, registry: Registry) -> bool:
    """Return whether a part is in a registry or one of its children."""
    return any(part is known for known in registry.module_dict.values()) or any(
        _is_registered(part, child) for child in registry.children.values()
    )


def check_arguments(part: Any, arguments: dict[str, Any], where: str, complete: bool = True) -> None:
    """Raise ConfigError if *arguments* do not fit the signature of *part*; names the nearest argument."""
    signature = inspect.signature(part)
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in arguments:
        if name not in names:
            raise ConfigError(f"{where} has no argument {name!r}{nearest(name, names)}\nit takes: {', '.join(names)}")
    missing = [p.name for p in parameters if p.name in names and p.default is p.empty and p.name not in arguments]
    if complete and missing:
        raise ConfigError(f"{where} needs {', '.join(map(repr, missing))}")


REGISTRIES: list[PartRegistry] = []
"""All registries, including those that are not listed to users."""


def _child(name: str, parent: Registry, scope: str = "posegen", locations: list[str] | None = None) -> PartRegistry:
    REGISTRIES.append(PartRegistry(name, parent=parent, scope=scope, locations=locations or []))
    return REGISTRIES[-1]


MODELS = _child("model", mmengine_registry.MODELS, locations=["posegen.models"])
FLOW_ESTIMATORS = _child("flow_estimator", MODELS, "posegen_flow_estimator", ["posegen.models"])
FLOW_PRIORS = _child("flow_prior", MODELS, "posegen_flow_prior", ["posegen.models"])
RENDERERS = _child("renderer", MODELS, "posegen_renderer", ["posegen.models"])
DISCRIMINATORS = _child("discriminator", MODELS, "posegen_discriminator", ["posegen.models"])
FEATURE_NETWORKS = _child("feature_network", MODELS, "posegen_feature_network", ["posegen.losses"])
LOSSES = _child("loss", MODELS, "posegen_loss", ["posegen.losses"])
DATASETS = _child("dataset", mmengine_registry.DATASETS, locations=["posegen.data"])
STRUCTURE_ENCODERS = _child("structure_encoder", mmengine_registry.TRANSFORMS, locations=["posegen.data"])
AUGMENTATIONS = _child("augmentation", STRUCTURE_ENCODERS, "posegen_augmentation", ["posegen.data"])
METRICS = _child("metric", mmengine_registry.METRICS, locations=["posegen.evaluation"])
HOOKS = _child("hook", mmengine_registry.HOOKS, locations=["posegen.engine"])

# Kinds of mmengine's Runner that posegen.engine provides; not listed to users.
LOOPS = _child("loop", mmengine_registry.LOOPS, locations=["posegen.engine"])
DATA_SAMPLERS = _child("data_sampler", mmengine_registry.DATA_SAMPLERS, locations=["posegen.engine"])
FUNCTIONS = _child("function", mmengine_registry.FUNCTIONS, locations=["posegen.data.collate"])
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optim_wrapper_constructor", mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS, locations=["posegen.engine"]
)

# Kinds that mmengine builds, too; it warns if a scope has no registry of them.
_OTHERS = (
    "VISUALIZERS",
    "VISBACKENDS",
    "LOG_PROCESSORS",
    "OPTIM_WRAPPERS",
    "OPTIMIZERS",
    "PARAM_SCHEDULERS",
    "EVALUATOR",
)
for _kind in _OTHERS:
    _child(getattr(mmengine_registry, _kind).name, getattr(mmengine_registry, _kind))

KINDS: dict[str, PartRegistry] = {
    "flow-estimators": FLOW_ESTIMATORS,
    "flow-priors": FLOW_PRIORS,
    "renderers": RENDERERS,
    "discriminators": DISCRIMINATORS,
    "models": MODELS,
    "losses": LOSSES,
    "feature-networks": FEATURE_NETWORKS,
    "datasets": DATASETS,
    "structure-encoders": STRUCTURE_ENCODERS,
    "augmentations": AUGMENTATIONS,
    "metrics": METRICS,
    "hooks": HOOKS,
}
