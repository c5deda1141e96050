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
            key: value
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str | tuple) and key[0] != "_"
        }
        plain.pop("training", None)
        facts.append(f"{name} {sorted(plain.items())}")
        facts += [repr(_written(function.__code__)) for function in _functions(module)]
    # A function set on the network may be printed with its address.
    digest = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", "\n".join(facts)).encode())
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


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
    name a module of the network (a hook, a forward set on it) name its copy. A compiled network
    is copied as it was before: a copy of compiled code would run on the given weights.
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
    """A function in which variables that named a module, or its method, name the copy."""

    def renamed(value: object) -> object:
        is_part = isinstance(getattr(value, "__self__", value), torch.nn.Module)
        return copy.deepcopy(value, memo) if is_part else value

    code, known = function.__code__, function.__globals__
    named = {name: renamed(known[name]) for name in code.co_names if name in known}
    closure = tuple(CellType(renamed(cell.cell_contents)) for cell in function.__closure__ or ())
    new = FunctionType(
        code, {**known, **named}, function.__name__, function.__defaults__, closure or None
    )
    new.__kwdefaults__ = function.__kwdefaults__
    return new


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """The tensors in a value, in the lists and dictionaries in it, and so on."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
