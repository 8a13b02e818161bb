"""A whole training step (forward, loss, backward, AdamW), ours and PyTorch's, in turn on this machine.

    benches/peers/run training [rounds]

The two networks are those of `benches/training.rs`, batch 128, on as many threads as the machine has cores. Each round runs
`cargo bench --bench training -- step` and then every way of PyTorch; figures are medians of the rounds' medians. The ratio is
against PyTorch's best way of the same precision.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch
from torch import nn

import machine

BATCH = 128
ROOT = pathlib.Path(__file__).resolve().parents[2]


def small():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10),
    )


def medium():
    layers, inputs = [], 1
    for outputs in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1152, 128), nn.ReLU(), nn.Linear(128, 10))


# Name, memory layout, BF16 autocast.
WAYS = [
    ("FP32, NCHW", torch.contiguous_format, False),
    ("FP32, channels last", torch.channels_last, False),
    ("BF16 autocast, channels last", torch.channels_last, True),
]


def pytorch(make, layout, half, seconds=4.0):
    """Images per second of a training step."""
    torch.manual_seed(0)
    network = make().to(memory_format=layout)
    images = torch.randn(BATCH, 1, 28, 28).to(memory_format=layout)
    labels = torch.arange(BATCH) % 10
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss = nn.CrossEntropyLoss()

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            value = loss(network(images), labels)
        value.backward()
        optimiser.step()

    for _ in range(5):
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return BATCH / statistics.median(times)


def ours():
    """Images per second of each step that `benches/training.rs` times, by criterion's name."""
    command = ["cargo", "bench", "--quiet", "--bench", "training", "--", "step"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = {}
    for estimates in (target / "criterion" / "step").glob("*/*/new/estimates.json"):
        median = json.loads(estimates.read_text())["median"]["point_estimate"] * 1e-9
        found[f"{estimates.parts[-4]}, {estimates.parts[-3]}"] = BATCH / median
    return found


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    torch.set_num_threads(os.cpu_count())
    figures = {}
    for _ in range(rounds):
        for name, value in ours().items():
            figures.setdefault(("atelier", name), []).append(value)
        for network in (small, medium):
            for way, layout, half in WAYS:
                figures.setdefault(("PyTorch", f"{network.__name__}, {way}"), []).append(pytorch(network, layout, half))
    print(f"\n{machine.describe()}\nWhole training step, batch {BATCH}, {os.cpu_count()} threads, PyTorch {torch.__version__}, median of {rounds} rounds\n")
    median = {key: statistics.median(values) for key, values in figures.items()}
    for (who, name), value in sorted(median.items(), key=lambda item: item[0][1]):
        spread = f"{min(figures[who, name]):,.0f}–{max(figures[who, name]):,.0f}"
        print(f"{who:8}  {name:38} {value:9,.0f} images/s   ({spread})")
    print()
    for network in ("small", "medium"):
        for precision in ("FP32", "BF16"):
            mine = [value for (who, name), value in median.items() if who == "atelier" and name == f"{network}, {precision}"]
            theirs = [value for (who, name), value in median.items()
                      if who == "PyTorch" and name.startswith(f"{network}, {precision}")]
            if mine:
                print(f"{network}, {precision}: {mine[0] / max(theirs):.2f} × PyTorch's best")


if __name__ == "__main__":
    main()
