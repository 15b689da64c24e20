"""A training loop that can be killed at any time and goes on from its last checkpoint.

python tests/training_loop.py REPO FOLDER NUM_WORKERS

After each step a line with its number and keys is on the disk, in FOLDER/log; after every few steps
the model, the random numbers and the place in the data are in FOLDER/checkpoint.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch import nn

from mella.loader import StreamLoader
from mella.stream import MellaStream

STEPS = 200
EVERY = 7
SIDE = 8


def collate(batch):
    pixels = torch.stack([sample["image"] for sample in batch]).float() / 255
    lengths = torch.tensor([len(sample["text"]) % 8 for sample in batch])
    return pixels, lengths, [sample["key"] for sample in batch]


@torch.no_grad()
def descend(model):
    """Take a step down the gradient. The optimizers of torch take seconds to import."""
    for weights in model.parameters():
        weights.sub_(weights.grad, alpha=0.05)


def save(state, path):
    """Write a checkpoint whole or not at all."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def train(repo, folder, num_workers):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    stream = MellaStream(
        "th",
        repo=repo,
        batch_size=4,
        chunk_bytes=8000,
        image_size=(SIDE, SIDE),
        output="torch",
        seed=5,
    )
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 8)
    )
    step, checkpoint = 0, folder / "checkpoint"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        torch.set_rng_state(state["random"])
        stream.load_state_dict(state["stream"])
        step = state["step"]
    loader = StreamLoader(stream, num_workers=num_workers, collate_fn=collate)
    with (folder / "log").open("a") as log:
        while step < STEPS:
            for pixels, lengths, keys in loader:
                loss = nn.functional.cross_entropy(model(pixels), lengths)
                model.zero_grad()
                loss.backward()
                descend(model)
                step += 1
                log.write(json.dumps([step, stream.epoch, keys]) + "\n")
                log.flush()
                os.fsync(log.fileno())
                if step % EVERY == 0 or step == STEPS:
                    state = {
                        "step": step,
                        "model": model.state_dict(),
                        "random": torch.get_rng_state(),
                        "stream": stream.state_dict(),
                    }
                    save(state, checkpoint)
                if step == STEPS:
                    break


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
