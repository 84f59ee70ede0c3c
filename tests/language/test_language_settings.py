"""Every setting of the language trainers is looked at before anything is computed; a new field is not forgotten."""

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from ppo_lesson.kl import FixedKL, PaperKL, ZieglerKL
from ppo_lesson.language.rlhf import RLHFConfig
from ppo_lesson.language.supervised import SupervisedConfig

KINDS = (RLHFConfig, SupervisedConfig)
FIELDS = [(k, f.name, getattr(f.type, "__name__", str(f.type))) for k in KINDS for f in dataclasses.fields(k)]
AT_ZERO = {"max_grad_norm", "score_clip", "value_clip", "target_kl", "eps", "eps_high", "dual_clip", "temperature"}


def message(kind, **setting):
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(setting))} must") as caught:
        kind(**setting)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "name", "type_"), FIELDS, ids=[f"{k.__name__}.{name}" for k, name, _ in FIELDS])
def test_no_setting_may_be_nan_a_word_or_far_below_0(kind, name, type_):
    for value in (math.nan, "many", -3 if "int" in type_ else -0.5):
        found = message(kind, **{name: value})
        assert name == "kl" or repr(value) in found or str(value) in found
    if type_ != "bool":
        for value in ("1", True):
            assert name == "kl" or repr(value) in message(kind, **{name: value})
    if "int" in type_:
        assert "2.5" in message(kind, **{name: 2.5})
    if "None" not in type_:
        assert "None" in message(kind, **{name: None})
    if name in AT_ZERO:
        message(kind, **{name: 0})


@pytest.mark.parametrize(("kind", "name", "type_"), FIELDS, ids=[f"{k.__name__}.{name}" for k, name, _ in FIELDS])
def test_a_setting_of_numpy_or_torch_is_the_same_setting(kind, name, type_):
    """np.True_ and tensor(True) passed for 1; np.int64(3) was another run than 3 to --resume, and to export none."""
    for flag in (np.True_, torch.tensor(True)):
        message(kind, **{name: flag})
    default = getattr(kind(), name)
    if type(default) in (int, float):
        for made in (np.asarray(default)[()], torch.tensor(default, dtype=torch.float64 if default % 1 else None)):
            config = kind(**{name: made})
            assert repr(config) == repr(kind()) and type(getattr(config, name)) is type(default)


def test_a_price_of_numpy_or_torch_is_the_same_setting():
    """--resume compares how settings are written, and a beta of numpy was another one than the same beta."""
    for made in (np.float64(0.5), np.asarray(0.5), torch.tensor(0.5), Fraction(1, 2), Decimal("0.5")):
        assert repr(FixedKL(made)) == repr(FixedKL(0.5)) and repr(PaperKL(made, made)) == repr(PaperKL(0.5, 0.5))
        assert repr(ZieglerKL(made, made, np.int64(9))) == repr(ZieglerKL(0.5, 0.5, 9))
    assert repr(FixedKL(1)) == repr(FixedKL(1.0))


@pytest.mark.parametrize("made", [Fraction(1, 2), Decimal("0.5")], ids=repr)
def test_a_fraction_is_a_number(made):
    for kind, name, type_ in FIELDS:
        if type_.startswith("float") and name not in ("dual_clip", "tis_cap"):  # which are 1 at least
            config = kind(**{name: made})
            assert type(getattr(config, name)) is float and repr(config) == repr(kind(**{name: 0.5}))


@pytest.mark.parametrize("kind", [RLHFConfig, SupervisedConfig])
def test_what_can_work_is_let_through(kind):
    kind()
    none = {f.name: None for f in dataclasses.fields(kind) if "None" in str(f.type)}
    kind(**none, max_grad_norm=math.inf)


def test_what_a_refusal_says():
    assert message(RLHFConfig, score_clip=-1) == "score_clip must be positive, or None for no limit; got -1"
    assert "0.2 is usual" in message(RLHFConfig, eps=1.5) and "3 is usual" in message(RLHFConfig, dual_clip=1.0)
    assert "belongs to ppo" in message(RLHFConfig, kl=PaperKL(1.0, 0.01))
    assert "token-mean" in message(RLHFConfig, aggregate="mean")
