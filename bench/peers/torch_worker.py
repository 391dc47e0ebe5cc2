"""The U-Net of unet in PyTorch, timed on request; see main.go for the protocol.

python torch_worker.py MODE MODEL SIDE BATCH THREADS
"""

import contextlib
import json
import resource
import struct
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def load(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(n))
        data = f.read()
    card = json.loads(header.pop("__metadata__")["unet"])
    return card["arch"], {
        name: torch.from_numpy(np.frombuffer(data[slice(*t["data_offsets"])], "<f4").reshape(t["shape"]).copy())
        for name, t in header.items()
    }


class Block(nn.Module):
    def __init__(self, ic, oc):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(ic, oc, 3, padding=1, bias=False), nn.BatchNorm2d(oc)
        self.conv2, self.norm2 = nn.Conv2d(oc, oc, 3, padding=1, bias=False), nn.BatchNorm2d(oc)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(x)), inplace=True)


class Up(Block):
    def __init__(self, c):
        super().__init__(2 * c, c)
        self.up = nn.ConvTranspose2d(2 * c, c, 2, stride=2)

    def forward(self, x, skip):
        return super().forward(torch.cat([self.up(x), skip], dim=1))


class UNet(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.depth, ic = a["depth"], a["channels"]
        for level in range(self.depth):
            self.add_module(f"enc{level}", Block(ic, a["width"] << level))
            ic = a["width"] << level
        self.bottom = Block(ic, a["width"] << self.depth)
        for level in range(self.depth):
            self.add_module(f"dec{level}", Up(a["width"] << level))
        self.head = nn.Conv2d(a["width"], len(a["heads"]), 1)

    def forward(self, x):
        skips = []
        for level in range(self.depth):
            x = getattr(self, f"enc{level}")(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for level in reversed(range(self.depth)):
            x = getattr(self, f"dec{level}")(x, skips[level])
        return self.head(x)


def main():
    mode, path, side, batch, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    torch.set_num_threads(threads)
    arch, values = load(path)
    net = UNet(arch)
    missing = net.load_state_dict(values, strict=False)
    assert not missing.unexpected_keys and all("num_batches" in k for k in missing.missing_keys), missing
    n = batch * arch["channels"] * side * side
    x = ((torch.arange(n) % 251).float() / 251).reshape(batch, arch["channels"], side, side)
    t = (torch.arange(batch * side * side) % 7 == 0).float().reshape(batch, 1, side, side)
    if mode == "train":
        net.train()
        adam = torch.optim.Adam(net.parameters(), lr=1e-4)
        # The faster layout of the two is what PyTorch users are told to try.
        if "channels_last" in sys.argv:
            net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)

        def step():
            adam.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(net(x), t).backward()
            adam.step()
    else:
        net.eval()
        if "channels_last" in sys.argv:
            net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)

        def step():
            with torch.inference_mode():
                return torch.sigmoid(net(x))
    print("ready", "PyTorch", torch.__version__, flush=True)
    for line in sys.stdin:
        command = line.split()
        if command[0] == "step":
            start = time.perf_counter()
            step()
            print(time.perf_counter() - start, flush=True)
        elif command[0] == "output":
            step().contiguous().numpy().astype("<f4").tofile(command[1])
            print("ok", flush=True)
        elif command[0] == "memory":
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
        elif command[0] == "export":
            with contextlib.redirect_stdout(sys.stderr):  # the exporter talks
                torch.onnx.export(net, (x,), command[1], input_names=["x"], output_names=["y"], dynamo=True, external_data=False)
            print("ok", flush=True)


main()
