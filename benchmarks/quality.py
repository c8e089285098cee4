"""Held-out quality after at most a minute, beside the book's recipes, on The Time Machine; three seeds each."""

import torch

from course_utils import corpora, try_gpu
from course_utils.experiments.quality import book_recipe, d2l_en_split, d2l_en_tokens, whole_text
from course_utils.loaders import load_data_time_machine

SEEDS = (0, 1, 2)
QUICK = {"num_epochs": 4, "num_hiddens": 192, "dropout": 0.05, "lr": 0.012}  # soon below 5.0 on held-out text


def measure():
    """Return name -> one figure for each seed; perplexities and seconds."""
    device = try_gpu()
    train_iter, vocab = load_data_time_machine(32, 64, max_tokens=-1, corpus="time_machine")
    text = train_iter.corpus, train_iter.held_out, len(vocab), device
    tokens, en_vocab = d2l_en_tokens(corpora.find("time_machine").text)
    split = tokens, len(en_vocab), device
    runs = {
        "heldout_perplexity_book_60s": [whole_text(*text, seed=seed) for seed in SEEDS],
        "heldout_perplexity_book_5s": [whole_text(*text, seed=seed, **QUICK) for seed in SEEDS],
        "heldout_perplexity_book_recipe": [book_recipe(*text, seed=seed) for seed in SEEDS],
        "validation_perplexity_d2l_en_split_20s": [d2l_en_split(*split, seed=seed) for seed in SEEDS],
        "validation_perplexity_d2l_en_recipe": [d2l_en_split(*split, recipe="d2l-en", seed=seed) for seed in SEEDS],
    }
    figures = {name: [run.held_out for run in reached] for name, reached in runs.items()}
    return figures | {f"seconds_{name}": [run.seconds for run in reached] for name, reached in runs.items()}


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(measure())
