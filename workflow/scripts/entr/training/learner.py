"""The fastai learner of a cell: model, optimizer, precision, gradient accumulation and compilation."""

import inspect
import logging
from functools import partial

import torch
from fastai.callback.core import Callback, TrainEvalCallback
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.callback.training import BnFreeze, bn_types
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from torch import nn

from entr.config.training import Layers, Training
from entr.models.architectures import Splitter
from entr.training.callbacks import AccumulationByBatch, CompiledSteps, device_recorder

log = logging.getLogger("entr")

MAX_COMPILED_VARIANTS = 64
"""Variants of a model that torch compiles; a cell has more sizes and choices of layers than torch's default."""


class EagerSGD(torch.optim.SGD):
    """torch's SGD without the hooks for compiled optimizers.

    Its methods import torch's compiler, which takes as long as torch itself, to exclude themselves from compilation.
    Here only the model is compiled.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)


def make_learner(
    model: nn.Module, splitter: Splitter, settings: Training, device: torch.device, precision: str
) -> Learner:
    """Return a learner without data.

    Parameters
    ----------
    model : Module
        Moved to the device, in channels-last memory layout.
    splitter : callable
        Divides the parameters into early layers, late layers and head.
    settings : Training
        Optimizer, gradient accumulation and compilation.
    device : torch.device
        Where the model trains.
    precision : {"float32", "bf16"}
        Precision of the forward pass.
    """
    if settings.compile_mode != "none":
        compile_model(model, settings.compile_mode)
    optimizer = partial(
        OptimWrapper,
        opt=EagerSGD,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        # one kernel for all parameters
        fused=device.type == "cuda",
    )
    return Learner(
        DataLoaders(),
        model.to(device, memory_format=torch.channels_last),
        loss_func=CrossEntropyLossFlat(),
        opt_func=optimizer,
        lr=settings.learning_rate,
        splitter=splitter,
        metrics=accuracy,
        train_bn=False,
        default_cbs=False,
        # BatchNorm of frozen layers uses its stored statistics, as in fastai 0.7
        cbs=[TrainEvalCallback(), device_recorder(), BnFreeze(), *_callbacks(settings, precision)],
    )


def _callbacks(settings: Training, precision: str) -> list[Callback]:
    callbacks: list[Callback] = []
    if precision == "bf16":
        callbacks.append(MixedPrecision(AMPMode.BF16))
    if settings.gradient_accumulation > 1:
        callbacks.append(AccumulationByBatch())
    if settings.compile_mode != "none":
        callbacks.append(CompiledSteps())
    return callbacks


def compile_model(model: nn.Module, mode: str) -> None:
    """Let torch compile a model in place, once for each image size and choice of layers.

    Parameters
    ----------
    model : Module
        Names of its tensors stay.
    mode : str
        Mode of `torch.compile`. Kernels lie in torch's own cache, where the next cell finds them.
    """
    torch._dynamo.config.recompile_limit = MAX_COMPILED_VARIANTS
    # not model.compile, which makes one graph per block instead of one for the whole model
    model.forward = torch.compile(model.forward, mode=mode, dynamic=False)
    log.info("training steps: compiled (mode %s)", mode)


def set_trainable(learner: Learner, layers: Layers, *, freeze_batchnorm: bool = False) -> None:
    """Unfreeze all layers, or freeze all but the head.

    Parameters
    ----------
    learner : Learner
        Result of `make_learner`; its model consists of backbone and head.
    layers : {"all", "head"}
        The layers to train.
    freeze_batchnorm : bool
        Exclude BatchNorm layers of the backbone; they then use their stored statistics.
    """
    if layers == "all":
        learner.unfreeze()
        if freeze_batchnorm:
            for module in learner.model[0].modules():
                if isinstance(module, bn_types):
                    module.requires_grad_(requires_grad=False)
    else:
        learner.freeze()
