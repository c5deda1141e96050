"""Any network: a copy that leaves the given one alone, and a fingerprint of what it computes."""

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping
from types import CellType, CodeType, FunctionType

import torch

from fgsm_lib import InputError
from fgsm_lib.words import first_line


def network_sha256(network: torch.nn.Module) -> str:
    """A fingerprint of a network: its layers, their code and settings, its weights and buffers.

    Buffers that are not saved count as well.
    """
    facts = [repr(network)]
    for name, module in network.named_modules():
        plain = {
            key: value for key, value in vars(module).items() if _is_plain(value) and key[0] != "_"
        }
        plain.pop("training", None)
        facts.append(f"{name} {sorted(plain.items())}")
        for function in _functions(module):
            code, known = function.__code__, function.__globals__
            named = {n: known[n] for n in code.co_names if n in known and _is_plain(known[n])}
            facts.append(f"{_written(code)} {sorted(named.items())}")
    # A function set on the network may be printed with its address.
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", "\n".join(facts)).encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _is_plain(value: object) -> bool:
    """Whether it is a setting: numbers and texts, also in lists and dictionaries."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | str)


def _functions(module: torch.nn.Module) -> list[FunctionType]:
    """A module's methods, but those that torch wrote, its hooks, and functions set on it."""
    kinds = [kind for kind in type(module).__mro__ if not kind.__module__.startswith("torch.")]
    places = [vars(kind) for kind in kinds] + [vars(module)]
    places += [module._forward_pre_hooks, module._forward_hooks]
    return [f for place in places for f in place.values() if isinstance(f, FunctionType)]


def _written(code: CodeType) -> list:
    """What a function does, without its file and line numbers."""
    inner = [_written(c) if isinstance(c, CodeType) else c for c in code.co_consts]
    plain = [c for c in inner if not isinstance(c, frozenset)]  # printed in any order
    return [code.co_code, code.co_names, plain]


def copied(network: torch.nn.Module) -> torch.nn.Module:
    """A deep copy, hooks and all.

    Tensors that were computed (weights that a norm sets before each pass, features that were
    kept) are no leaves, which torch refuses to copy; so their values are copied. Functions that
    name a part of the network (a hook, a forward set on it) name its copy. A compiled network is
    copied as it was before: a copy of compiled code would run on the given weights.
    """
    if any(map(torch.nn.parameter.is_lazy, network.parameters())):
        raise InputError("network has weights without a shape; expected one that has run once.")
    computed = [
        tensor
        for module in network.modules()
        for tensor in _tensors(vars(module))
        if not tensor.is_leaf
    ]
    memo = {id(tensor): tensor.detach().clone() for tensor in computed}
    try:
        with torch.no_grad():
            new = copy.deepcopy(network, memo)
    except Exception as error:  # a network may hold anything: an open file, a lock
        raise InputError(
            f"network cannot be copied ({first_line(error)}); expected one that copy.deepcopy can "
            "copy, because what is measured is a copy."
        ) from None
    for module in new.modules():
        for held in (vars(module), module._forward_pre_hooks, module._forward_hooks):
            for key, value in held.items():
                if isinstance(value, FunctionType):
                    held[key] = _about_the_copy(value, memo)
        for name, part in module.named_children():
            if hasattr(part, "_orig_mod"):
                module._modules[name] = part._orig_mod
    return getattr(new, "_orig_mod", new)


def _about_the_copy(function: FunctionType, memo: dict) -> FunctionType:
    """A function in which variables that named a module, or what it holds, name the copy."""

    def renamed(value: object) -> object:
        if id(value) in memo:  # a dictionary of kept features
            return memo[id(value)]
        is_part = isinstance(getattr(value, "__self__", value), torch.nn.Module)
        return copy.deepcopy(value, memo) if is_part else value

    def cell(given: CellType) -> CellType:
        try:
            return CellType(renamed(given.cell_contents))
        except ValueError:  # empty so far
            return given

    code, known = function.__code__, function.__globals__
    named = {name: renamed(known[name]) for name in code.co_names if name in known}
    closure = tuple(map(cell, function.__closure__ or ()))
    if all(named[name] is known[name] for name in named) and not closure:
        return function  # which may write a global that others read
    new = FunctionType(
        code, {**known, **named}, function.__name__, function.__defaults__, closure or None
    )
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def held(network: torch.nn.Module) -> list[tuple[torch.Tensor, int]]:
    """The tensors that modules hold, and how often each was written: others after a pass, if it
    keeps activations. They stay alive in here, so that no other takes the place of one."""
    tensors = (tensor for module in network.modules() for tensor in _tensors(vars(module)))
    return [(tensor, 0 if tensor.is_inference() else tensor._version) for tensor in tensors]


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in a value, in the lists and dictionaries in it, and so on."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
