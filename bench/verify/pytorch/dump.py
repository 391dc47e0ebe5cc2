"""Dumps what PyTorch computes on a small U-Net, for unet/pytorch_test.go.

    python bench/verify/pytorch/dump.py [unet/testdata/pytorch_small.safetensors]

needs only torch (CPU). The network is the paper's at depth 2, width 16: per
level two 3x3 convolutions without bias, each with batch-norm and ReLU; 2x2
max-pool; 2x2 transposed convolution with bias, concatenated before the skip
connection; 1x1 convolution with bias, sigmoid, mean binary cross-entropy.
It is trained for 10 steps of Adam on one batch, in float64, so that the file
is the truth to which float32 programs may be compared; how far PyTorch's own
float32 is from it stands in the metadata.

Tensors, P being a parameter's name in unet's model files (enc0.conv1.weight,
enc0.norm1.bias, bottom.conv2.weight, dec0.up.weight, head.bias, ...):

    input [2,3,16,24], target [2,1,16,24]
    param.P      initial values, exact in half precision (F16)
    logits       of the first forward pass, training mode
    grad.P       gradient of the loss in the first step
    losses [11]  before each step and after the last
    delta.P      change of P by the 10 steps, divided by the learning rate (F16)
    running.P    running_mean and running_var after the 10 steps
    eval_logits  of the trained network in evaluation mode

Metadata: rate, steps, torch, and float32.NAME = the root mean square error of
PyTorch's float32 relative to that of the values, over all tensors of a group.
"""

import json
import math
import struct
import sys

import torch
from torch import nn
from torch.nn import functional as F

DEPTH, WIDTH, RATE, STEPS = 2, 16, 1e-3, 10


class Block(nn.Module):
    def __init__(self, ic, oc):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(ic, oc, 3, padding=1, bias=False), nn.BatchNorm2d(oc)
        self.conv2, self.norm2 = nn.Conv2d(oc, oc, 3, padding=1, bias=False), nn.BatchNorm2d(oc)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(x)))


class Up(Block):
    def __init__(self, c):
        super().__init__(2 * c, c)
        self.up = nn.ConvTranspose2d(2 * c, c, 2, stride=2)

    def forward(self, x, skip):
        return super().forward(torch.cat([self.up(x), skip], dim=1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        ic = 3
        for level in range(DEPTH):
            self.add_module(f"enc{level}", Block(ic, WIDTH << level))
            ic = WIDTH << level
        self.bottom = Block(ic, WIDTH << DEPTH)
        for level in range(DEPTH):
            self.add_module(f"dec{level}", Up(WIDTH << level))
        self.head = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, x):
        skips = []
        for level in range(DEPTH):
            x = getattr(self, f"enc{level}")(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for level in reversed(range(DEPTH)):
            x = getattr(self, f"dec{level}")(x, skips[level])
        return self.head(x)


def initial(net, g):
    """He initialisation, scales and shifts away from 1 and 0, exact in F16."""
    for p in net.parameters():
        if p.dim() == 4:
            fan = p.shape[0] if p.shape[2] == 2 else p[0].numel()
            v = torch.randn(p.shape, generator=g) * math.sqrt(2 / fan)
        else:
            v = p.detach().float() + 0.1 * torch.randn(p.shape, generator=g)
        p.data = v.half().to(p.dtype)


def run(net, x, t):
    """Returns everything that is dumped, by name, in the net's precision."""
    out = {}
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    adam = torch.optim.Adam(net.parameters(), lr=RATE)
    net.train()
    losses = []
    for step in range(STEPS + 1):
        adam.zero_grad()
        logits = net(x) if step < STEPS else logits_without_statistics(net, x)
        loss = F.binary_cross_entropy_with_logits(logits, t)
        losses.append(loss.detach())
        if step == STEPS:
            break
        loss.backward()
        if step == 0:
            out["logits"] = logits.detach()
            out.update({f"grad.{k}": p.grad.clone() for k, p in net.named_parameters()})
        adam.step()
    out["losses"] = torch.stack(losses)
    out.update({f"delta.{k}": (p.detach() - before[k]) / RATE for k, p in net.named_parameters()})
    out.update({f"running.{k}": v.clone() for k, v in net.named_buffers() if "running" in k})
    net.eval()
    out["eval_logits"] = net(x).detach()
    return out


def logits_without_statistics(net, x):
    """A training-mode forward pass that leaves the running statistics alone."""
    saved = {k: v.clone() for k, v in net.named_buffers()}
    logits = net(x)
    for k, v in net.named_buffers():
        v.copy_(saved[k])
    return logits


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, v in tensors.items():
        kind, code = ("F16", "e") if name.startswith(("param.", "delta.")) else ("F32", "f")
        raw = struct.pack(f"<{v.numel()}{code}", *v.flatten().tolist())
        header[name] = {"dtype": kind, "shape": list(v.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "unet/testdata/pytorch_small.safetensors"
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    g = torch.Generator().manual_seed(2015)
    x = torch.rand(2, 3, 16, 24, generator=g)
    t = (F.avg_pool2d(x.mean(1, keepdim=True), 5, 1, 2, count_include_pad=False) > 0.5).float()
    net = UNet()
    initial(net, g)
    params = {f"param.{k}": p.detach().clone() for k, p in net.named_parameters()}
    single = run(net, x, t)
    net = UNet().double()
    for k, p in net.named_parameters():
        p.data = params[f"param.{k}"].double()
    double = run(net, x.double(), t.double())

    metadata = {"rate": repr(RATE), "steps": str(STEPS), "torch": torch.__version__.split("+")[0]}
    for group in ["logits", "grad", "losses", "delta", "running", "eval_logits"]:
        err = ref = 0.0
        for k, v in double.items():
            if k == group or k.startswith(group + "."):
                err += float(((single[k].double() - v) ** 2).sum())
                ref += float((v**2).sum())
        metadata[f"float32.{group}"] = f"{math.sqrt(err / ref):.2g}"
    write(path, {"input": x, "target": t, **params, **double}, metadata)
    print(metadata)
    print("losses", [round(float(v), 6) for v in double["losses"]], "foreground", float(t.mean()))


main()
