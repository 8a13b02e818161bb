"""Scoring, ours and what a user would take instead, in turn on this machine.

    benches/peers/run scoring [rounds]

*Model alone*: images per second of `benches/scoring.rs` against ONNX Runtime (its best batch; FP32 and INT8) and OpenVINO (throughput mode,
its best batch; FP32, BF16 and INT8). INT8 of both is one QDQ model, quantised by ONNX Runtime on images like those that are scored. *End to end*: 60,000 rows of 785 columns from a CSV file to a CSV file of labels and probabilities, by
`pipeline score` and by pandas or polars with ONNX Runtime. Figures are medians of the rounds.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
import onnxruntime
import openvino
import pandas
import polars
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
MODELS = TARGET / "peers"
THREADS = os.cpu_count()
IMAGES = 8192
ROWS = 60_000


def ours_alone():
    """Images per second of every model, engine and precision, by criterion's name."""
    command = ["cargo", "bench", "--quiet", "--bench", "scoring"]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = {}
    for path in (TARGET / "criterion" / "model alone").glob("*/*/new/estimates.json"):
        images = json.loads((path.parent / "benchmark.json").read_text())["throughput"]["Elements"]
        found[path.parts[-4], path.parts[-3]] = images / (json.loads(path.read_text())["median"]["point_estimate"] * 1e-9)
    return found


def timed(run, images):
    run()
    times, end = [], time.perf_counter() + 1.5
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return images / statistics.median(times)


def pixels(count):
    return (np.arange(count * 784, dtype=np.int64) * 7919 % 256).astype(np.float32).reshape(count, 1, 28, 28)


class Images(CalibrationDataReader):
    """Images from which ranges of activations are measured."""

    def __init__(self):
        self.batches = iter(pixels(256).reshape(8, 32, 1, 28, 28))

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def quantised(model):
    """The same model in INT8, as a graph that quantises and dequantises around its operators."""
    name = f"{model}.qdq"
    quantize_static(
        MODELS / f"{model}.onnx", MODELS / f"{name}.onnx", Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    return name


def runtime(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(MODELS / f"{model}.onnx", options, providers=["CPUExecutionProvider"])


def runtime_alone(model, batch):
    session, images = runtime(model), pixels(1024)

    def run():
        for start in range(0, 1024, batch):
            session.run(None, {"image": images[start:start + batch]})

    return timed(run, 1024)


def openvino_alone(model, batch, precision):
    core = openvino.Core()
    network = core.read_model(MODELS / f"{model}.onnx")
    network.reshape([batch, 1, 28, 28])
    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(network, "CPU", hints)
    queue = openvino.AsyncInferQueue(compiled)
    images = pixels(batch)

    def run():
        for _ in range(IMAGES // batch // 4):
            queue.start_async({0: images}, share_inputs=True)
        queue.wait_all()

    return timed(run, IMAGES // batch // 4 * batch)


def best(measure, batches):
    return max(measure(batch) for batch in batches)


def table():
    """The CSV file, made once."""
    path = MODELS / "rows.csv"
    if not path.exists():
        values = pixels(ROWS).reshape(ROWS, 784).astype(np.uint8)
        frame = pandas.DataFrame(values, columns=[f"pixel{index + 1}" for index in range(784)])
        frame.insert(0, "label", np.arange(ROWS) % 10)
        frame.to_csv(path, index=False)
    return path


def ours(model):
    pipeline = TARGET / "release" / "pipeline"
    command = [pipeline, "score", "--model", MODELS / f"{model}.onnx", "--input", table(), "--output", MODELS / "ours.csv"]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ROWS / (time.perf_counter() - start)


def with_frames(model, read):
    """A user's script: read the file, predict in batches, write a file."""
    start = time.perf_counter()
    frame = read(table())
    session = runtime(model)
    images = frame.reshape(ROWS, 1, 28, 28)
    labels, probabilities = [], []
    for at in range(0, ROWS, 256):
        label, probability = session.run(None, {"image": images[at:at + 256]})
        labels.append(label)
        probabilities.append(probability)
    result = pandas.DataFrame(np.concatenate(probabilities), columns=[f"p_{index}" for index in range(10)])
    result.insert(0, "label", np.concatenate(labels))
    result.to_csv(MODELS / "theirs.csv", index=False)
    return ROWS / (time.perf_counter() - start)


def by_pandas(path):
    return pandas.read_csv(path).drop(columns="label").to_numpy(dtype=np.float32)


def by_polars(path):
    return polars.read_csv(path).drop("label").to_numpy().astype(np.float32)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    subprocess.run(["cargo", "build", "--quiet", "--release"], cwd=ROOT, check=True)
    figures = {}

    def note(key, value):
        figures.setdefault(key, []).append(value)

    for _ in range(rounds):
        for (model, name), value in ours_alone().items():
            note((model, "alone", f"atelier, {name}"), value)
        for model in ("small", "medium"):
            note((model, "alone", "ONNX Runtime, FP32"), best(lambda batch: runtime_alone(model, batch), (1, 8, 32, 128)))
            for name, precision in (("FP32", "f32"), ("BF16", "bf16")):
                value = best(lambda batch: openvino_alone(model, batch, precision), (1, 8, 32, 128))
                note((model, "alone", f"OpenVINO, {name}"), value)
            qdq = quantised(model)
            note((model, "alone", "ONNX Runtime, INT8"), best(lambda batch: runtime_alone(qdq, batch), (1, 8, 32, 128)))
            note((model, "alone", "OpenVINO, INT8"), best(lambda batch: openvino_alone(qdq, batch, "f32"), (1, 8, 32, 128)))
            note((model, "end to end", "atelier"), ours(model))
            note((model, "end to end", "pandas + ONNX Runtime"), with_frames(model, by_pandas))
            note((model, "end to end", "polars + ONNX Runtime"), with_frames(model, by_polars))
    print(f"\n{machine.describe()}\n{THREADS} threads; ONNX Runtime {onnxruntime.__version__}, OpenVINO {openvino.__version__.split('-')[0]}, pandas "
          f"{pandas.__version__}, polars {polars.__version__}; median of {rounds} rounds\n")
    median = {key: statistics.median(values) for key, values in figures.items()}
    for key in sorted(median):
        spread = f"{min(figures[key]):,.0f}–{max(figures[key]):,.0f}"
        print(f"{key[0]:7} {key[1]:11} {key[2]:26} {median[key]:10,.0f} a second   ({spread})")
    print()
    for model in ("small", "medium"):
        def ratio(what, mine, theirs):
            if (model, what, mine) in median and (model, what, theirs) in median:
                print(f"{model}, {what}: {mine} is {median[model, what, mine] / median[model, what, theirs]:.2f} × {theirs}")
        ratio("alone", "atelier, kernels fp32", "ONNX Runtime, FP32")
        ratio("alone", "atelier, kernels fp32", "OpenVINO, FP32")
        ratio("alone", "atelier, kernels bf16", "OpenVINO, BF16")
        ratio("alone", "atelier, kernels int8", "ONNX Runtime, INT8")
        ratio("alone", "atelier, kernels int8", "OpenVINO, INT8")
        ratio("alone", "atelier, kernels int8", "atelier, kernels bf16")
        ratio("end to end", "atelier", "pandas + ONNX Runtime")
        ratio("end to end", "atelier", "polars + ONNX Runtime")


if __name__ == "__main__":
    main()
