"""What the workers have in common: a job from the command line, the model file,
and the protocol of main.go.

python X_worker.py VARIANT MODE MODEL SIDE BATCH THREADS [IMAGE MASK]

MODE forward and train answer requests; mode mask segments IMAGE (PNG, side x
side) and writes MASK (PNG), to time a program from its start.
"""

import json
import resource
import struct
import sys
import time

import numpy as np

CHANNELS = 3


class Job:
    def __init__(self):
        self.variant, self.mode, self.path = sys.argv[1:4]
        self.side, self.batch, self.threads = map(int, sys.argv[4:7])
        self.training = self.mode == "train"
        if self.mode == "mask":
            from PIL import Image

            pixels = np.asarray(Image.open(sys.argv[7]).convert("RGB"), "f4") / np.float32(255)
            self.x = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
        else:
            n = self.batch * CHANNELS * self.side**2
            self.x = ((np.arange(n) % 251).astype("f4") / np.float32(251)).reshape(self.batch, CHANNELS, self.side, self.side)
        n = self.batch * self.side**2
        self.t = (np.arange(n) % 7 == 0).astype("f4").reshape(self.batch, 1, self.side, self.side)

    def model(self):
        """Architecture and weights (as PyTorch lays them out) of the file."""
        with open(self.path, "rb") as f:
            (n,) = struct.unpack("<Q", f.read(8))
            header = json.loads(f.read(n))
            data = f.read()
        card = json.loads(header.pop("__metadata__")["unet"])
        return card["arch"], {
            name: np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"]).copy()
            for name, t in header.items()
        }


def serve(job, name, step, probabilities):
    """Answers requests. step() does one step; probabilities() turns its result
    into an array [batch][1][side][side]."""
    if job.mode == "mask":
        from PIL import Image

        Image.fromarray(((probabilities(step())[0, 0] >= 0.5) * 255).astype("u1")).save(sys.argv[8])
        return
    print("ready", name, flush=True)
    for line in sys.stdin:
        command = line.split()
        if command[0] == "step":
            start = time.perf_counter()
            step()
            print(time.perf_counter() - start, flush=True)
        elif command[0] == "output":
            np.ascontiguousarray(probabilities(step()), "<f4").tofile(command[1])
            print("ok", flush=True)
        elif command[0] == "memory":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
