"""Lazy imports of large packages that fastai and torchvision import and that most jobs never use.

fastai imports matplotlib, scipy, scikit-learn and timm, and torchvision imports torch's compiler. Together they take
three times as long as torch itself. Within `lazy_imports`, an import of such a package yields a placeholder, which
imports the package when it is first used. Afterwards Python imports them as usual.
"""

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

RARELY_USED = ("IPython", "fastdownload", "matplotlib", "onnx", "scipy", "sklearn", "spacy", "timm", "torch._dynamo")
"""Packages that a cell of a torchvision model does not use."""


@contextmanager
def lazy_imports(*packages: str) -> Iterator[None]:
    """Import packages lazily within a block of import statements.

    The garbage collector pauses meanwhile, and ignores the imported modules afterwards: they are never garbage, and
    each full collection would traverse them.

    Parameters
    ----------
    *packages : str
        Names of packages, by default `RARELY_USED`. Those that are already imported or not installed are ignored.
    """
    names = {package for package in packages or RARELY_USED if package not in sys.modules and _is_installed(package)}
    finder = _PlaceholderFinder(names)
    collecting = gc.isenabled()
    gc.disable()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        for package in tuple(finder.packages):
            finder.release(package)
        sys.meta_path.remove(finder)
        gc.freeze()
        if collecting:
            gc.enable()


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package.partition(".")[0]) is not None


class _PlaceholderFinder(MetaPathFinder, Loader):
    """Finder of placeholders for some packages and their submodules.

    Parameters
    ----------
    packages : set of str
        The packages that are imported lazily.
    """

    def __init__(self, packages: set[str]) -> None:
        self.packages = packages

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  named by importlib
        target: ModuleType | None = None,  # noqa: ARG002  named by importlib
    ) -> ModuleSpec | None:
        """Return a placeholder's specification for a module of a lazy package."""
        return ModuleSpec(name, self) if self.package_of(name) else None

    def package_of(self, module: str) -> str | None:
        """Return the lazy package that a module belongs to, if any."""
        return next((one for one in self.packages if module == one or module.startswith(f"{one}.")), None)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a placeholder."""
        return _Placeholder(self, spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing, because the module is imported when it is used."""

    def release(self, package: str) -> None:
        """Remove the placeholders of a package, so that Python imports it as usual from now on."""
        self.packages.discard(package)
        placeholders = [name for name, module in sys.modules.items() if isinstance(module, _Placeholder)]
        for name in placeholders:
            if name == package or name.startswith(f"{package}."):
                parent, _, child = name.rpartition(".")
                if vars(sys.modules.get(parent, self)).get(child) is sys.modules.pop(name):
                    delattr(sys.modules[parent], child)


class _Placeholder(ModuleType):
    """Stand-in for a module, or for a member of it, which is imported when it is first used.

    Parameters
    ----------
    finder : _PlaceholderFinder
        The finder that made it.
    module : str
        Name of the module.
    *members : str
        Path of attributes from the module to the member, empty for the module itself.
    """

    def __init__(self, finder: _PlaceholderFinder, module: str, *members: str) -> None:
        super().__init__(module)
        vars(self).update(_finder=finder, _module=module, _members=members)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module contains
        package = self._finder.package_of(self._module)
        if package is None or name == "__all__":
            return getattr(self._resolve(), name)
        if name == "__path__" and not self._members:
            return []
        # inspection of the placeholder, for example by a decorator, is not yet a use of the module
        if name.startswith("_"):
            raise AttributeError(f"{self._module} is imported lazily, and {name} is not known yet")
        return _Placeholder(self._finder, self._module, *self._members, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  whatever the member accepts and returns
        return self._resolve()(*args, **kwargs)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._resolve())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._resolve(),)

    def _resolve(self) -> Any:  # noqa: ANN401  whatever the module contains
        package = self._finder.package_of(self._module)
        if package is not None:
            self._finder.release(package)
        found = importlib.import_module(self._module)
        for member in self._members:
            found = getattr(found, member)
        return found
