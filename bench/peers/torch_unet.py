"""PyTorch's side of `bench/engine.mjs`: the same U-Net, one measured call at a time, as asked on standard input.

Requests and answers are lines of JSON. CPU time is user + system of this process; one thread.
"""
import json
import math
import os
import resource
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(1)
HEADS, HEAD_WIDTH = 4, 32


def norm(w, name, x):
    mean = x.mean(1, keepdim=True)
    variance = x.var(1, unbiased=False, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * w[f"{name}.g"] + w[f"{name}.b"]


def conv(w, name, x, **options):
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), **options)


def block(w, p, x, time):
    h = conv(w, f"{p}ds_conv", x, padding=3, groups=x.shape[1])
    if f"{p}mlp.1.weight" in w:
        h = h + F.linear(F.gelu(time), w[f"{p}mlp.1.weight"], w[f"{p}mlp.1.bias"])[:, :, None, None]
    if f"{p}net.0.g" in w:
        h = norm(w, f"{p}net.0", h)
    h = conv(w, f"{p}net.3", F.gelu(conv(w, f"{p}net.1", h, padding=1)), padding=1)
    return h + (conv(w, f"{p}res_conv", x) if f"{p}res_conv.weight" in w else x)


def attention(w, p, x):
    b, _, height, width = x.shape
    qkv = conv(w, f"{p}fn.fn.to_qkv", norm(w, f"{p}fn.norm", x)).chunk(3, 1)
    q, k, v = [t.reshape(b, HEADS, HEAD_WIDTH, height * width) for t in qkv]
    context = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v)
    out = torch.einsum("bhde,bhdn->bhen", context, q * HEAD_WIDTH**-0.5)
    return x + conv(w, f"{p}fn.fn.to_out", out.reshape(b, HEADS * HEAD_WIDTH, height, width))


def unet(w, x, t, dim, stages):
    half = dim // 2
    angle = t[:, None] * torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))[None]
    time = torch.cat([angle.sin(), angle.cos()], -1)
    time = F.linear(F.gelu(F.linear(time, w["time_mlp.1.weight"], w["time_mlp.1.bias"])), w["time_mlp.3.weight"], w["time_mlp.3.bias"])
    skips = []
    for stage in range(stages):
        x = attention(w, f"downs.{stage}.2.", block(w, f"downs.{stage}.1.", block(w, f"downs.{stage}.0.", x, time), time))
        skips.append(x)
        if stage < stages - 1:
            x = conv(w, f"downs.{stage}.3", x, stride=2, padding=1)
    x = block(w, "mid_block2.", attention(w, "mid_attn.", block(w, "mid_block1.", x, time)), time)
    for up in range(stages - 1):
        x = block(w, f"ups.{up}.0.", torch.cat([x, skips.pop()], 1), time)
        x = attention(w, f"ups.{up}.2.", block(w, f"ups.{up}.1.", x, time))
        x = F.conv_transpose2d(x, w[f"ups.{up}.3.weight"], w[f"ups.{up}.3.bias"], stride=2, padding=1)
    return conv(w, "final_conv.1", block(w, "final_conv.0.", x, None))


def read_tensors(folder, table):
    """Raw little-endian float32, one tensor after the other, in the order of the table."""
    data = torch.from_file(os.path.join(folder, "tensors.f32"), shared=False, size=sum(e["size"] for e in table))
    tensors, at = {}, 0
    for entry in table:
        tensors[entry["name"]] = data[at : at + entry["size"]].reshape(entry["shape"]).clone()
        at += entry["size"]
    return tensors


def prepare_network(work, folder, layout):
    tensors = read_tensors(folder, work["tensors"])
    x, t, target = (tensors.pop(name) for name in ("x", "t", "target"))
    if layout == "channels_last":
        fmt = torch.channels_last
        x, target = x.contiguous(memory_format=fmt), target.contiguous(memory_format=fmt)
        tensors = {n: v.contiguous(memory_format=fmt) if v.dim() == 4 else v for n, v in tensors.items()}
    stages = len(work["mults"])
    training = work["kind"] in ("train", "workers")
    for value in tensors.values():
        value.requires_grad_(training)
    network = torch.compile(unet) if work.get("compile") else unet

    def call():
        if not training:
            with torch.no_grad():
                for batch in work.get("batches", []):
                    network(tensors, x[:batch], t[:batch], work["dim"], stages)
                return None if "batches" in work else network(tensors, x, t, work["dim"], stages)
        for _ in range(work.get("calls", 1) - 1):
            step()
        return step()

    def step():
        for value in tensors.values():
            value.grad = None
        loss = (network(tensors, x, t, work["dim"], stages) - target).abs().mean()
        loss.backward()
        return loss

    def result(path):
        value = call().detach()
        parts = [value.contiguous().reshape(-1)]
        if training:
            parts += [tensors[e["name"]].grad.contiguous().reshape(-1) for e in work["tensors"] if e["name"] in tensors]
        with open(path, "wb") as file:
            torch.cat(parts).numpy().tofile(file)

    return call, result


def prepare_adam(work, fused):
    count = work["parameters"]
    # In as many tensors as the network has, since that is how PyTorch is used.
    pieces = 200
    weights = [torch.full((count // pieces,), 0.01, requires_grad=True) for _ in range(pieces)]
    average = [value.detach().clone() for value in weights]
    for value in weights:
        value.grad = torch.full_like(value, 1e-3)
    adam = torch.optim.Adam(weights, 2e-5, fused=fused, foreach=not fused)

    def call():
        with torch.no_grad():
            adam.step()
            torch._foreach_lerp_(average, [value.detach() for value in weights], 1 - 0.995)

    return call, None


def reset_peak():
    """Forgets the peak of resident memory: a step's is wanted, not that of preparation (Linux)."""
    if sys.platform == "linux":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def peak_mib(usage):
    if sys.platform != "linux":
        return usage.ru_maxrss / 1024
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def main():
    layout = sys.argv[1]
    call, result = None, None
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        if request["do"] == "prepare":
            work = request["work"]
            if work["kind"] == "adam":
                call, result = prepare_adam(work, layout == "fused")
            else:
                call, result = prepare_network(work, request["folder"], layout)
            answer["version"] = torch.__version__
        elif request["do"] == "result":
            result(request["file"])
        else:
            reset_peak()
            before = resource.getrusage(resource.RUSAGE_SELF)
            began = time.perf_counter()
            call()
            answer["wallMs"] = 1000 * (time.perf_counter() - began)
            after = resource.getrusage(resource.RUSAGE_SELF)
            answer["cpuMs"] = 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
            answer["peakRssMiB"] = peak_mib(after)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
