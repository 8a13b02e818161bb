"""What a machine is, for the head of every table."""

import os
import pathlib

# Names that Linux gives to instruction sets, and those that people know them by, narrowest first.
SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_bf16": "AMX BF16",
    "amx_int8": "AMX INT8",
}


def describe():
    """`AMD EPYC 9B45, 2 processors: AVX2, AVX-512, AVX-512 VNNI, AVX-512 BF16`."""
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    model = f"{fields.get('model name', 'unknown')} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"
    known = [name for flag, name in SETS.items() if flag in flags]
    tiles = os.environ.get("PIPELINE_AMX", "off")
    return f"{model}, {os.cpu_count()} processors: {', '.join(known)}" + (f"; PIPELINE_AMX={tiles}" if "AMX BF16" in known else "")
