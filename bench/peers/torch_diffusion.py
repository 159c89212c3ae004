"""PyTorch's side of `bench/diffusion.mjs`: blur as the official code computes it, one depthwise convolution per step, around the U-Net.

A batch is blurred up to its largest severity, each image taken where it is due; Algorithm 2 blurs its estimate s times and s - 1 times.
Requests and answers are lines of JSON. CPU time is user + system of this process; one thread.
"""
import json
import math
import resource
import sys

from torch_unet import F, peak_mib, read_tensors, reset_peak, torch, unet


def window(taps, sigma):
    centre = taps // 2
    values = torch.tensor([math.exp(-((k - centre) ** 2) / (2 * sigma * sigma)) for k in range(taps)], dtype=torch.float64)
    values = values / values.sum()
    return torch.outer(values, values).float()


class Blur:
    def __init__(self, config, channels):
        self.steps, self.discrete, self.channels = config["steps"], config["discrete"], channels
        routine, std = config["routine"], config["kernelStd"]
        self.mode = "reflect" if routine.endswith("reflect") or routine == "Special_6_routine" else "circular"
        self.kernels = []
        for i in range(self.steps):
            taps = 11 if routine == "Special_6_routine" else config["kernelSize"]
            sigma = {
                "Constant": std,
                "Constant_reflect": std,
                "Exponential": math.exp(std * i),
                "Exponential_reflect": math.exp(std * i),
                "Special_6_routine": 0.35 + i / 100,
            }[routine]
            self.kernels.append(window(taps, sigma).expand(channels, 1, taps, taps).contiguous())

    def step(self, x, i):
        kernel = self.kernels[i]
        radius = kernel.shape[-1] // 2
        x = F.conv2d(F.pad(x, (radius,) * 4, mode=self.mode), kernel, groups=self.channels)
        if self.discrete and i == self.steps - 1:
            x = x.mean((2, 3), keepdim=True).expand_as(x)
        return x

    def times(self, x, severity):
        for i in range(severity):
            x = self.step(x, i)
        return x

    def batch(self, x, severities, training):
        chosen = torch.empty_like(x)
        for i in range(max(severities)):
            x = self.step(x, i)
            for row, severity in enumerate(severities):
                if severity == i + 1:
                    chosen[row] = x[row]
        if training and self.discrete:
            chosen = torch.floor((chosen + 1) / 2 * 255) / 255 * 2 - 1
        return chosen


def prepare(work, folder, layout):
    tensors = read_tensors(folder, work["tensors"])
    x = tensors.pop("x")
    blur = Blur(work["degradation"], x.shape[1])
    severities, kind = work["severities"], work["kind"]
    dim, stages = work["network"]["dim"], len(work["network"]["mults"])
    if layout == "channels_last":
        fmt = torch.channels_last
        x = x.contiguous(memory_format=fmt)
        tensors = {n: v.contiguous(memory_format=fmt) if v.dim() == 4 else v for n, v in tensors.items()}
        blur.kernels = [k.contiguous(memory_format=fmt) for k in blur.kernels]

    def write(path, parts):
        with open(path, "wb") as file:
            torch.cat([p.detach().contiguous().reshape(-1) for p in parts]).numpy().tofile(file)

    if kind == "degrade":

        def call(k):
            with torch.no_grad():
                return blur.batch(x, severities[k], False)

        return call, lambda path, k: write(path, [call(0)])

    if kind == "sample":

        def call(k):
            severity = severities[k][0]
            with torch.no_grad():
                t = torch.full((x.shape[0],), float(severity - 1))
                restored = unet(tensors, x, t, dim, stages)
                return x - blur.times(restored, severity) + blur.times(restored, severity - 1)

        return call, lambda path, k: write(path, [call(k)])

    for value in tensors.values():
        value.requires_grad_(True)
    adam = torch.optim.Adam(list(tensors.values()), 2e-5, fused=True)
    average = [value.detach().clone() for value in tensors.values()]

    def loss(k):
        adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            degraded = blur.batch(x, severities[k], True)
        t = torch.tensor([float(s - 1) for s in severities[k]])
        value = (unet(tensors, degraded, t, dim, stages) - x).abs().mean()
        value.backward()
        return value

    def call(k):
        loss(k)
        adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, [value.detach() for value in tensors.values()], 1 - 0.995)

    def result(path, k):
        value = loss(0)
        names = [e["name"] for e in work["tensors"] if e["name"] in tensors]
        write(path, [value] + [tensors[name].grad for name in names])

    return call, result


def main():
    layout = sys.argv[1]
    call, result = None, None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        if request["do"] == "prepare":
            call, result = prepare(request["work"], request["folder"], layout)
            answer["version"] = torch.__version__
        elif request["do"] == "result":
            result(request["file"], request.get("index", 0))
        else:
            reset_peak()
            before = resource.getrusage(resource.RUSAGE_SELF)
            call(request["index"])
            after = resource.getrusage(resource.RUSAGE_SELF)
            answer["cpuMs"] = 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
            answer["peakRssMiB"] = peak_mib(after)
        print(json.dumps(answer), flush=True)


main()
