"""One sentence for what cannot be done, before anything is done: the value, its limit, and what to do.

`checked` holds a function to the rules of its arguments' names; what several arguments must have in common follows.
"""

import functools
import inspect

import torch

from course_utils.language import say
from course_utils.rules import RULES, shown, text, window, wrong_precision


class NoBatch(ValueError):
    """The sizes leave no room for a batch: nothing is wrong but the sizes, or the text is too short."""


def checked(*together, **own):
    """Hold the function below to the rules: each argument to that of its name, or to the one under its name in `own`.

    Numbers are handed over as plain ones of Python, so that none overflows; all else as it came. Each of `together` is
    then called with the arguments, name -> value, defaults included.
    """

    def hold(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            __tracebackhide__ = True  # IPython leaves these frames out: the reader's line counts
            given = bound(function, signature, args, kwargs)
            try:
                _hold_to(RULES | own, given.arguments)
                everything = inspect.BoundArguments(signature, given.arguments.copy())
                everything.apply_defaults()
                for check in together:
                    check(everything.arguments)
            except ValueError as refusal:
                raise refusal.with_traceback(None) from None  # a traceback as short as the sentence
            return function(*given.args, **given.kwargs)

        return call

    return hold


def bound(function, signature, args, kwargs):
    """Bind the arguments, or say in one sentence which are missing or unheard of."""
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        words = ", ".join(name for name in signature.parameters if name != "self")
        raise TypeError(f"{function.__qualname__}: {error}; its arguments are {words}") from None


def _hold_to(rules, arguments):
    for name, value in arguments.items():
        if name in rules:
            arguments[name] = rules[name](name, value)
        elif name == "weights":  # more arguments by name
            _hold_to(rules, value)


def explained(sentence):
    """Ask `sentence(*args)` why the function below has failed, and raise it as a ValueError unless it is None.

    For what changes nothing and is called too often to be looked at each time.
    """

    def hold(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args, **kwargs):
            __tracebackhide__ = True
            try:
                return function(*args, **kwargs)
            except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
                given = bound(function, signature, args, kwargs)
                reason = sentence(*given.args, **given.kwargs)
                if reason is None:
                    raise
            raise ValueError(reason)

        return call

    return hold


# What several arguments must have in common


def known_tokens(arguments):
    """Refuse tokens beyond the vocabulary, which is `vocab`, or has `vocab_size` tokens, or is the model's."""
    size = arguments.get("vocab_size", getattr(arguments.get("net"), "vocab_size", None))
    size = len(arguments["vocab"]) if "vocab" in arguments else size
    read = {name: arguments.get(name) for name in ("tokens", "held_out", "elsewhere", "X", "inputs")}
    train_iter = arguments.get("train_iter")
    courses = type(train_iter).__module__ == "course_utils.loaders"  # another one may make its batches of anything
    read["train_iter"] = train_iter.corpus if courses else None
    for name, values in read.items():
        if size is not None and values is not None and len(values) and values.max() >= size:
            raise ValueError(
                f"{name} holds the token {values.max()}, but the last one is {size - 1}; use its vocabulary"
            )


def trainable(arguments):
    """A model learns if a weight requires a gradient, and gradients are switched on."""
    gradients_on(arguments)
    if not any(weight.requires_grad for weight in arguments["net"].parameters()):
        raise ValueError("no weight of the model requires a gradient; call net.requires_grad_(True)")


def gradients_on(arguments):
    """What trains, or asks autograd, needs them."""
    if not torch.is_grad_enabled():
        raise ValueError("gradients are switched off; call torch.set_grad_enabled(True), or leave torch.no_grad()")


def fits_memory(arguments, most=10**8):
    """The largest tensor of a run must not be beyond all measure."""
    B, T, V, H = (arguments[name] for name in ("batch_size", "num_steps", "vocab_size", "num_hiddens"))
    if B * T * max(V, H) > most:
        raise ValueError(f"{B} × {T} × {max(V, H)} numbers are too many; choose sizes with less than {most:,}")


def long_enough(arguments):
    """One window with its labels must fit into the text."""
    have, num_steps = len(arguments["tokens"]), arguments["num_steps"]
    if have <= num_steps:
        raise ValueError(f"a text of {have:,} tokens has no window of {num_steps} steps with labels; use more text")


def same_device(arguments):
    """A model that is only read must be where it is asked to compute."""
    weight = next(arguments["net"].parameters(), None)
    there, asked = getattr(weight, "device", None), torch.device(arguments["device"])
    if there is not None and there.type != asked.type:
        raise ValueError(f"the model is on {there}, but device is {asked}; move it with net.to({str(asked)!r})")


def same_vocabulary(arguments):
    """The model must score as many tokens as the vocabulary has."""
    known, size = getattr(arguments["net"], "vocab_size", None), len(arguments["vocab"])
    if known not in (None, size):
        raise ValueError(f"the model knows {known} tokens, the vocabulary has {size}; build it with len(vocab)")


def does_not_fit(net, inputs, state):
    """Say what is wrong with a call of `RNNModel.forward` that failed, or return None."""
    try:
        window("inputs", inputs)
        known_tokens({"net": net, "inputs": inputs})
        expected = net.begin_state(inputs.device, batch_size=len(inputs))
    except ValueError as error:
        return str(error)
    except (AttributeError, RuntimeError, TypeError):  # a layer of the reader's, which has its own words
        return None
    shapes = [_shapes(each) for each in (state, expected)]
    if shapes[0] != shapes[1]:
        return f"state is {shapes[0]}, for these inputs it must be {shapes[1]}; begin_state makes a first one"
    return wrong_precision(net)


def not_numbered(vocab, indices):
    """Say what is wrong with a call of `Vocab.to_tokens` that failed."""
    return f"indices is {shown(indices)}; it must be a whole number from 0 to {len(vocab) - 1}, or a list of such"


def not_a_token(vocab, tokens):
    """Say what is wrong with tokens that cannot be numbered, or return None."""
    several = tokens if isinstance(tokens, list | tuple) else [tokens]
    for each in several:
        if getattr(each, "__hash__", None) is None:
            return f"a token is {shown(each)}; it must be a string, or the tokens one list of strings"
    return None


def _shapes(state):
    parts = state if isinstance(state, tuple) else (state,)
    return " and ".join(f"{tuple(part.shape)}" if isinstance(part, torch.Tensor) else shown(part) for part in parts)


def windows_fit(arguments, sampling=None):
    """At least one batch of windows must fit into the text, which is `corpus`, or has `num_tokens` tokens."""
    sampling, batch_size, num_steps = sampling or arguments["sampling"], arguments["batch_size"], arguments["num_steps"]
    have = arguments["num_tokens"] if "num_tokens" in arguments else len(arguments["corpus"])
    needed = batch_size * num_steps + (num_steps if sampling == "random" else 1)
    if have < needed:
        sentence = (
            "the training text has {have:,} tokens, but batch_size={batch_size} and num_steps={num_steps} "
            "with {sampling} sampling need {needed:,}; use more text, a smaller batch or fewer steps"
        )
        sizes = {"batch_size": batch_size, "num_steps": num_steps, "have": have, "needed": needed}
        raise NoBatch(say(sentence, sampling=say(sampling), **sizes))


@checked(same_vocabulary, prefix=text)
def check_prediction(prefix, num_preds, net, vocab, temperature, top_k):
    """Raise ValueError with one clear sentence for anything `predict` cannot do."""
    split, join = getattr(vocab, "split", list), getattr(vocab, "join", "".join)
    tokens = split(prefix)
    if not tokens:
        raise ValueError(say("the prefix is empty; give at least one character to start from"))
    unknown = sorted({token for token in tokens if vocab.to_tokens(vocab[token]) != token})
    if unknown:
        known = join(sorted({*vocab.to_tokens([*range(len(vocab))])} - {"<unk>"}))
        kind = say(getattr(vocab, "kind", "characters"))
        sentence = "the prefix has {kind} that the vocabulary does not know, {unknown}; it knows {known!r}"
        named = say(sentence, kind=kind, unknown=unknown, known=known[:80])
        raise ValueError(named + say(" and more") * (len(known) > 80))
    if getattr(net, "num_directions", 1) == 2:
        raise ValueError(say("a bidirectional model cannot predict: it reads the text to the right, not written yet"))


@checked(same_vocabulary, trainable)
def check_training(net, train_iter, vocab, lr, num_epochs, every, recipe, prefix):
    """Raise ValueError with one clear sentence for anything that cannot be trained."""
    missing = [name for name in ("__len__", "batch_size", "num_steps", "held_out") if not hasattr(train_iter, name)]
    if missing or not len(train_iter):
        lacks = missing[0] if missing else "batch"
        raise ValueError(f"train_iter has no {lacks}; load it with load_data_time_machine")
    if not all(weight.isfinite().all() for weight in net.parameters()):
        raise ValueError("the model has weights that are not finite, as after diverging; build a new one")
    held_out = train_iter.held_out if isinstance(train_iter.held_out, torch.Tensor) else None
    known_tokens({"vocab": vocab, "train_iter": train_iter, "held_out": held_out})
    if prefix is not None and getattr(net, "num_directions", 1) == 1:
        check_prediction(prefix, 0, net, vocab, 0.0, None)


@checked()
def check_optimizer(optimizer):
    """Raise ValueError unless a recipe has returned an optimiser."""
