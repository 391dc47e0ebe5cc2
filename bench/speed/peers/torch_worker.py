"""The U-Net of unet in PyTorch; see worker.py. VARIANT is the layout of tensors
(plain or channels_last: users are told to try both) or compiled (torch.compile).

MODE export writes the network as ONNX to IMAGE instead.
"""

import contextlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

import worker


def norm(a, c):
    return nn.GroupNorm(c // 16, c) if a["norm"] == "group" else nn.BatchNorm2d(c)


class Block(nn.Module):
    def __init__(self, a, ic, oc):
        super().__init__()
        if a.get("block") == "residual":
            self.shortcut, self.norm0 = nn.Conv2d(ic, oc, 1, bias=False), norm(a, oc)
        self.conv1, self.norm1 = nn.Conv2d(ic, oc, 3, padding=1, bias=False), norm(a, oc)
        self.conv2, self.norm2 = nn.Conv2d(oc, oc, 3, padding=1, bias=False), norm(a, oc)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        if hasattr(self, "shortcut"):
            y = y + self.norm0(self.shortcut(x))
        return F.relu(y, inplace=True)


class Nearest(nn.Module):
    def __init__(self, a, ic, oc):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(ic, oc, 3, padding=1, bias=False), norm(a, oc)

    def forward(self, x):
        return F.relu(self.norm(self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))), inplace=True)


class Gate(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv, self.psi = nn.Conv2d(2 * c, max(16, c // 2), 1), nn.Conv2d(max(16, c // 2), 1, 1)

    def forward(self, skip, up):
        return skip * torch.sigmoid(self.psi(F.relu(self.conv(torch.cat([skip, up], dim=1)), inplace=True)))


class Up(Block):
    def __init__(self, a, c):
        super().__init__(a, 2 * c, c)
        self.up = Nearest(a, 2 * c, c) if a.get("up") == "nearest" else nn.ConvTranspose2d(2 * c, c, 2, stride=2)
        if a.get("attention"):
            self.gate = Gate(c)

    def forward(self, x, skip):
        x = self.up(x)
        if hasattr(self, "gate"):
            skip = self.gate(skip, x)
        return super().forward(torch.cat([x, skip], dim=1))


class UNet(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.depth, ic = a["depth"], a["channels"]
        for level in range(self.depth):
            self.add_module(f"enc{level}", Block(a, ic, a["width"] << level))
            ic = a["width"] << level
        self.bottom = Block(a, ic, a["width"] << self.depth)
        for level in range(self.depth):
            self.add_module(f"dec{level}", Up(a, a["width"] << level))
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


job = worker.Job()
torch.set_num_threads(job.threads)
arch, values = job.model()
net = UNet(arch)
missing = net.load_state_dict({k: torch.from_numpy(v) for k, v in values.items()}, strict=False)
assert not missing.unexpected_keys and all("num_batches" in k for k in missing.missing_keys), missing
x, t = torch.from_numpy(job.x), torch.from_numpy(job.t)
net.train(job.training)
if job.mode == "export":
    with contextlib.redirect_stdout(sys.stderr):  # the exporter talks
        torch.onnx.export(net, (x,), sys.argv[7], input_names=["x"], output_names=["y"], dynamo=True, external_data=False)
    sys.exit()
if job.variant != "plain":
    net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
run = net
if job.variant == "compiled":
    torch._inductor.config.freezing = not job.training  # folds batch-norm
    run = torch.compile(net)
if job.training:
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)

    def step():
        adam.zero_grad(set_to_none=True)
        z = run(x)
        F.binary_cross_entropy_with_logits(z, t).backward()
        adam.step()
        return z.detach()
else:

    def step():
        with torch.inference_mode() if job.variant != "compiled" else torch.no_grad():
            return torch.sigmoid(run(x))


worker.serve(job, f"PyTorch {torch.__version__} {job.variant}", step, lambda p: (torch.sigmoid(p) if job.training else p).numpy())
