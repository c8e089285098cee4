"""Writing text with a trained model, one token at a time.

Dimensions: T time steps (here the prefix's length), B batch size (here 1),
V vocabulary.
"""

import math

import torch


def choose(logits, temperature=0.0, top_k=None, generator=None):
    """Pick the next token by its scores (V): best at temperature 0, else drawn from
    `distribution`."""
    if temperature == 0:
        return logits.argmax().item()
    probabilities = distribution(logits, temperature, top_k).cpu()
    return torch.multinomial(probabilities, 1, generator=generator).item()


def distribution(logits, temperature=1.0, top_k=None):
    """Return softmax(scores / temperature) over the `top_k` best scores (None: all)."""
    if top_k is not None:
        limit = logits.topk(min(top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < limit, float("-inf"))
    return torch.softmax(logits / temperature, dim=0)


@torch.no_grad()
def predict(prefix, num_preds, net, vocab, device, temperature=0.0, top_k=None,
            generator=None):  # fmt: skip
    """Continue `prefix` by `num_preds` tokens; the prefix only warms up the state, no
    weight changes."""
    check_prediction(prefix, num_preds, net, vocab, temperature, top_k)
    split, join = getattr(vocab, "split", list), getattr(vocab, "join", "".join)
    outputs = [vocab[token] for token in split(prefix)]
    state = net.begin_state(batch_size=1, device=device)
    was_training = net.training
    net.eval()  # dropout, where there is any, is for training only
    try:
        warm_up = torch.tensor([outputs], device=device)  # (1, T)
        logits, state = net(warm_up, state)  # (T, V)
        for _ in range(num_preds):
            outputs.append(choose(logits[-1], temperature, top_k, generator))
            latest = torch.tensor([outputs[-1:]], device=device)  # (1, 1)
            logits, state = net(latest, state)  # (1, V)
    finally:
        net.train(was_training)
    return join(vocab.to_tokens(outputs))


def check_prediction(prefix, num_preds, net, vocab, temperature, top_k):
    """Raise ValueError with one clear sentence for anything `predict` cannot do."""
    split, join = getattr(vocab, "split", list), getattr(vocab, "join", "".join)
    tokens = split(prefix)
    if not tokens:
        raise ValueError(
            "the prefix is empty; give at least one character to start from"
        )
    unknown = sorted({t for t in tokens if vocab.to_tokens(vocab[t]) != t})
    if unknown:
        known = join(sorted({*vocab.to_tokens([*range(len(vocab))])} - {"<unk>"}))
        raise ValueError(
            f"the prefix has {getattr(vocab, 'kind', 'characters')} that the "
            f"vocabulary does not know, {unknown}; it knows {known[:80]!r}"
            + " and more" * (len(known) > 80)
        )
    if num_preds < 0:
        raise ValueError(f"num_preds is {num_preds}; it must be 0 or more")
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; it must be 0 (greedy) or more, and finite"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(
            f"top_k is {top_k}; it must be at least 1, or None for all characters"
        )
    if getattr(net, "num_directions", 1) == 2:
        raise ValueError(
            "a bidirectional model cannot predict: it reads the text to the right, "
            "not written yet"
        )
