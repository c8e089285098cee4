"""Writing text with a trained model, one token at a time.

Dimensions: T time steps (here the prefix's length), B batch size (here 1),
V vocabulary.
"""

import torch

from course_utils.checks import check_prediction, checked, same_device
from course_utils.modes import eval_mode


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
    with eval_mode(net) as net:  # no dropout here
        state = net.begin_state(batch_size=1, device=device)
        warm_up = torch.tensor([outputs], device=device)  # (1, T)
        logits, state = net(warm_up, state)  # (T, V)
        for _ in range(num_preds):
            outputs.append(choose(logits[-1], temperature, top_k, generator))
            latest = torch.tensor([outputs[-1:]], device=device)  # (1, 1)
            logits, state = net(latest, state)  # (1, V)
    return join(vocab.to_tokens(outputs))


choose, distribution = checked()(choose), checked()(distribution)
predict = checked(same_device)(predict)
